"""Order of the tests (fast ones first) and the fixtures that all folders share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bank import LocalBank
from tests.support.database import Databases, serve_databases

pytest_plugins = ["tests.support.fixtures"]

FOLDERS = ("unit", "contract", "property", "runtime", "integration", "acceptance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run unit tests first, then integration, then acceptance; slow ones last in their folder."""
    root = Path(__file__).parent

    def rank(item: pytest.Item) -> tuple[int, bool]:
        folder = item.path.relative_to(root).parts[0]
        place = FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
        return place, item.get_closest_marker("slow") is not None

    items.sort(key=rank)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A real PostgreSQL with every service's migrated database; ended after the last test."""
    with serve_databases(tmp_path_factory.mktemp("databases")) as served:
        yield served


@pytest.fixture
def make_local_bank(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., LocalBank]]:
    """`make_local_bank(**environment)`: a bank of one's own, not started; erased after the test."""
    made: list[LocalBank] = []

    def make(**environment: str) -> LocalBank:
        local = LocalBank(tmp_path_factory.mktemp("bank") / "state", environment)
        made.append(local)
        return local

    yield make
    for local in made:
        local.erase()


@pytest.fixture
def local_bank(make_local_bank: Callable[..., LocalBank]) -> LocalBank:
    """A bank of one's own, not started; erased after the test."""
    return make_local_bank()
