"""A throw-away PostgreSQL with the services' databases, made as `up` makes them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.migrate import migrate, targets, with_secrets
from infra.runtime.environment import Environment
from infra.runtime.migration import serving
from infra.runtime.postgres import SHARED_HOME, prepare_cluster
from infra.runtime.processes import POSTGRES
from infra.runtime.state import Bank, make_bank


@dataclass(frozen=True)
class Databases:
    """Where the databases are: the admin's URL, and each service's for its own role."""

    bank: Bank
    admin_url: str
    ledger_url: str
    gateway_url: str
    gifting_url: str
    tasks_url: str


@contextmanager
def serve_databases(state: Path, partitions: int = 4) -> Iterator[Databases]:
    """Run a PostgreSQL with migrated databases while the block runs; nothing of it stays."""
    environment = Environment()
    bank = with_secrets(make_bank(state, partitions=partitions, sandbox=True))
    cluster = prepare_cluster(bank, environment, lambda _: None)
    try:
        with serving(cluster, bank.log_file(POSTGRES)):
            migrate(bank, environment, cluster.admin_url, lambda _: None)
            urls = {
                target.service: target.service_url
                for target in targets(bank, environment, cluster.admin_url)
            }
            yield Databases(
                bank, cluster.admin_url, urls["ledger"], urls["gateway"], urls["gifting"],
                urls["tasks"],
            )  # fmt: skip
    finally:
        shutil.rmtree(SHARED_HOME / bank.bank_id, ignore_errors=True)
