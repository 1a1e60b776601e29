"""These tests make thousands of failures on purpose; their log lines are of no use."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True, scope="package")
def quiet() -> Iterator[None]:
    quiet_logger = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet_logger)
    yield
    structlog.reset_defaults()
