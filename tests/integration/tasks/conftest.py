"""A ledger and tasks on one PostgreSQL of this folder's own; each test gets empty databases."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from tests.support.ledger import RealLedger
from tests.support.ledger_server import LedgerServer
from tests.support.tasks_world import World


@pytest.fixture(scope="package", autouse=True)
def plain_logs() -> Iterator[None]:
    """Log tracebacks as plain text; the default draws them with all variables, for seconds."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def tasks_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerServer]:
    """A PostgreSQL of this folder's own."""
    made = LedgerServer(tmp_path_factory.mktemp("tasks-server"), partitions=2)
    yield made
    made.close()


class Worlds:
    """Makes worlds on a server, and removes them."""

    def __init__(self, server: LedgerServer) -> None:
        self._server = server
        self._urls: list[str] = []
        self._made: list[Any] = []

    def make(self, *, neutral: bool = False) -> World:
        """Return a ledger and tasks of one's own."""
        self._urls += [self._server.new_database(service) for service in ("ledger", "tasks")]
        self._made.append(RealLedger(self._urls[-2]))
        self._made.append(World(self._made[-1], self._urls[-1], neutral=neutral))
        return self._made[-1]  # type: ignore[no-any-return]

    def close(self) -> None:
        """End what was started and drop the databases."""
        for each in reversed(self._made):
            each.close()
        for url in self._urls:
            self._server.drop(url)


@pytest.fixture
def make_world(tasks_server: LedgerServer) -> Iterator[Callable[..., World]]:
    """`make_world(neutral=…)`: a ledger and tasks of one's own."""
    worlds = Worlds(tasks_server)
    yield worlds.make
    worlds.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A ledger and tasks with a partner that has bought data."""
    made = make_world()
    made.register()
    return made
