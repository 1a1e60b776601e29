"""A ledger and tasks on one PostgreSQL of this folder's own; each test gets empty databases."""

from collections.abc import Iterator

import pytest
import structlog

from tests.support.claims_world import ClaimsWorld
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
def tasks_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerServer]:
    """A PostgreSQL of this folder's own."""
    made = LedgerServer(tmp_path_factory.mktemp("tasks-server"), partitions=2)
    yield made
    made.close()


@pytest.fixture
def world(tasks_server: LedgerServer) -> Iterator[ClaimsWorld]:
    """A ledger and tasks of one's own."""
    urls = [tasks_server.new_database(service) for service in ("ledger", "tasks")]
    ledger = RealLedger(urls[0])
    made = ClaimsWorld(ledger, urls[1])
    yield made
    made.close()
    ledger.close()
    for url in urls:
        tasks_server.drop(url)
