"""Fixtures that need a real part; listed in `pytest_plugins` of tests/conftest.py."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from secrets import token_hex

import pytest

from tests.support.rabbit import Broker, make_broker
from tests.support.rabbit_install import BrokerMissingError, get_broker

NEED_A_NODE = {"private_broker", "make_private_broker"}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install RabbitMQ before the first test if one will need it: it may outlast a test's timeout.

    Where that fails, the tests that need it fail and say what is missing.
    """
    wanted = NEED_A_NODE | (set() if os.environ.get("AMQP_URL") else {"amqp_url"})
    needed = any(wanted & set(getattr(item, "fixturenames", ())) for item in session.items)
    if needed and not session.config.option.collectonly:
        with suppress(BrokerMissingError):
            get_broker()


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """The broker of the whole run: AMQP_URL if set, else a private node. Never kill it."""
    given = os.environ.get("AMQP_URL")
    if given:
        yield given
        return
    broker = make_broker()
    try:
        yield broker.url
    finally:
        broker.close()


@pytest.fixture
def private_broker() -> Iterator[Broker]:
    """A node of one's own, to be killed and wiped."""
    broker = make_broker()
    try:
        yield broker
    finally:
        broker.close()


@pytest.fixture
def make_private_broker() -> Iterator[Callable[[], Broker]]:
    """Makes as many nodes as a test wants; they end with it."""
    brokers: list[Broker] = []

    def make() -> Broker:
        brokers.append(make_broker())
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()


@pytest.fixture
def bank_id() -> str:
    """A bank that no other test shares a broker's exchange or queues with."""
    return token_hex(4)
