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


class Worlds:
    """Makes worlds on a server, and removes them."""

    def __init__(self, server: LedgerServer) -> None:
        self._server = server
        self._urls: list[str] = []
        self._made: list[Any] = []

    def make(self, rules: Rules = BUILT_IN) -> World:
        """Return a ledger and gifting of one's own."""
        self._urls += [self._server.new_database(service) for service in ("ledger", "gifting")]
        self._made.append(RealLedger(self._urls[-2]))
        self._made.append(World(self._made[-1], self._urls[-1], rules))
        return self._made[-1]  # type: ignore[no-any-return]

    def close(self) -> None:
        """End what was started and drop the databases."""
        for each in reversed(self._made):
            each.close()
        for url in self._urls:
            self._server.drop(url)


@pytest.fixture
def make_world(gifting_server: LedgerServer) -> Iterator[Callable[..., World]]:
    """`make_world(rules)`: a ledger and gifting of one's own."""
    worlds = Worlds(gifting_server)
    yield worlds.make
    worlds.close()


@pytest.fixture(scope="module")
def shared_world(gifting_server: LedgerServer) -> Iterator[World]:
    """A ledger and gifting of a whole file, for tests that leave nothing behind."""
    worlds = Worlds(gifting_server)
    made = worlds.make()
    made.open("ann", "bob")
    yield made
    worlds.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A ledger and gifting under the built-in rules, with two people."""
    made = make_world()
    made.open("ann", "bob")
    return made
