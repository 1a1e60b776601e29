"""A ledger and gifting on one PostgreSQL of this folder's own; each test gets empty databases."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from services.gifting.domain.rules import BUILT_IN, Rules
from tests.support.gifting_world import World
from tests.support.ledger import RealLedger
from tests.support.ledger_server import LedgerServer


@pytest.fixture(scope="package", autouse=True)
def plain_logs() -> Iterator[None]:
    """Log tracebacks as plain text; the default draws them with all variables, for seconds."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def gifting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerServer]:
    """A PostgreSQL of this folder's own."""
    made = LedgerServer(tmp_path_factory.mktemp("gifting-server"), partitions=2)
    yield made
    made.close()


@pytest.fixture
def make_world(gifting_server: LedgerServer) -> Iterator[Callable[..., World]]:
    """`make_world(rules)`: a ledger and gifting of one's own."""
    urls: list[str] = []
    made: list[Any] = []

    def make(rules: Rules = BUILT_IN) -> World:
        urls.extend(gifting_server.new_database(service) for service in ("ledger", "gifting"))
        made.append(RealLedger(urls[-2]))
        made.append(World(made[-1], urls[-1], rules))
        return made[-1]  # type: ignore[no-any-return]

    yield make
    for each in reversed(made):
        each.close()
    for url in urls:
        gifting_server.drop(url)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A ledger and gifting under the built-in rules, with two people."""
    made = make_world()
    made.open("ann", "bob")
    return made
