"""A gateway on a real PostgreSQL, with its own role's rights only."""

from collections.abc import Callable, Iterator

import pytest
import structlog

from services.gateway.application import Gateway
from tests.support.database import Databases
from tests.support.gateway import BankReader, empty_views, make_gateway
from tests.support.gifting import GiftingLog
from tests.support.tasks import TasksLog

MakeGateway = Callable[..., Gateway]


@pytest.fixture
def gateway_of(databases: Databases) -> Iterator[MakeGateway]:
    """`gateway_of(reader, gifts, tasks)`: a gateway with empty views that reads these logs."""
    empty_views(databases.gateway_url)
    made: list[Gateway] = []

    def make(
        reader: BankReader, gifts: GiftingLog | None = None, tasks: TasksLog | None = None
    ) -> Gateway:
        made.append(make_gateway(databases.gateway_url, reader, gifts, tasks))
        return made[-1]

    yield make
    for gateway in made:
        gateway.store.close()


@pytest.fixture(scope="package", autouse=True)
def _plain_tracebacks() -> Iterator[None]:
    """Print errors plainly: the pretty form, with every local, takes seconds."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    before = structlog.get_config()
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    yield
    structlog.configure(**before)
