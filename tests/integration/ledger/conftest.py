"""One PostgreSQL for all tests of this folder; each test gets an empty ledger database on it."""

from collections.abc import Callable, Iterator

import pytest
import structlog

from tests.support.ledger import LedgerWeb, RealLedger
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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerServer]:
    """A PostgreSQL of this folder's own; a test that kills it starts it again."""
    made = LedgerServer(tmp_path_factory.mktemp("ledger-server"))
    yield made
    made.close()


@pytest.fixture
def ledger_url(server: LedgerServer) -> Iterator[str]:
    """An empty ledger database, as its service role reaches it."""
    url = server.new_ledger()
    yield url
    server.drop(url)


@pytest.fixture
def admin_url(server: LedgerServer, ledger_url: str) -> str:
    """The same database, as the superuser reaches it."""
    return server.admin_of(ledger_url)


@pytest.fixture
def make_ledger(ledger_url: str) -> Iterator[Callable[..., RealLedger]]:
    """`make_ledger(…)`: ledgers in this process, on the test's database unless told otherwise."""
    made: list[RealLedger] = []

    def make(*args: object, url: str = ledger_url, **kwargs: object) -> RealLedger:
        made.append(RealLedger(url, *args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def ledger(make_ledger: Callable[..., RealLedger]) -> RealLedger:
    """A ledger in this process, whose clock stands."""
    return make_ledger()


@pytest.fixture
def make_web(
    ledger_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LedgerWeb]]:
    """`make_web(**settings)`: real web processes on the test's database."""
    made: list[LedgerWeb] = []

    def make(**settings: str) -> LedgerWeb:
        made.append(LedgerWeb(ledger_url, tmp_path_factory.mktemp("web"), **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
