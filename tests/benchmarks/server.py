"""The PostgreSQL that everything is measured on: the bank's own, with the bank's settings."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from infra.migrate import migrate, targets, with_secrets
from infra.runtime.environment import Environment
from infra.runtime.migration import serving
from infra.runtime.postgres import SHARED_HOME, Cluster, prepare_cluster
from infra.runtime.processes import POSTGRES
from infra.runtime.state import Bank, make_bank
from infra.runtime.urls import database_url
from shared.db import connect

PGBENCH_DATABASE = "pgbench"
PGBENCH_SCALE = 20
PGBENCH_OPTIONS = ("-N", "-c", "8", "-j", "2")
TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
SHOWN_SETTINGS = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "data_checksums",
    "shared_buffers", "work_mem", "max_wal_size", "checkpoint_timeout", "max_connections", "jit",
    "autovacuum",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A running server, made for this benchmark alone."""

    folder: Path
    cluster: Cluster

    def settings(self) -> dict[str, str]:
        """Return the settings that matter to speed and safety, and the version."""
        with connect(self.cluster.admin_url) as connection:
            rows = connection.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"
                " UNION ALL SELECT 'version', version()",
                (list(SHOWN_SETTINGS),),
            ).fetchall()
        return dict(sorted(rows))

    def checkpoint(self) -> None:
        """Write everything out, so that each measurement begins alike."""
        with connect(self.cluster.admin_url) as connection:
            connection.execute("CHECKPOINT")

    def prepare_pgbench(self) -> None:
        """Make pgbench's tables."""
        with connect(self.cluster.admin_url) as connection:
            connection.execute(f"CREATE DATABASE {PGBENCH_DATABASE}")
        self._pgbench("-i", "-q", "-s", str(PGBENCH_SCALE))

    def pgbench(self, seconds: int) -> float:
        """Return the transactions per second of pgbench over some seconds."""
        output = self._pgbench("-n", *PGBENCH_OPTIONS, "-T", str(seconds))
        found = TPS.search(output)
        if found is None:
            raise RuntimeError(f"pgbench said no tps:\n{output}")
        return float(found.group(1))

    def _pgbench(self, *options: str) -> str:
        url = database_url(self.cluster.admin_url, dbname=PGBENCH_DATABASE)
        with connect(url) as connection:
            info = connection.info
            login = {"PGHOST": info.host, "PGPORT": str(info.port), "PGUSER": info.user}
            login |= {"PGDATABASE": info.dbname, "PGPASSWORD": info.password}
        done = subprocess.run(
            [str(self.cluster.binaries / "pgbench"), *options],
            env=os.environ | login, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"pgbench failed:\n{done.stderr}")
        return done.stdout

    @contextmanager
    def ledger(self, name: str) -> Iterator[tuple[Bank, str]]:
        """Lend a new bank with an empty, migrated ledger database; yields its service's URL."""
        environment = Environment()
        bank = with_secrets(make_bank(self.folder / name, sandbox=True))
        admin_url = self.cluster.admin_url
        migrate(bank, environment, admin_url, lambda _: None)
        made = targets(bank, environment, admin_url)
        try:
            yield bank, next(each.service_url for each in made if each.service == "ledger")
        finally:
            with connect(admin_url) as connection:
                for each in made:
                    name_of = sql.Identifier(str(each.role))
                    connection.execute(
                        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name_of)
                    )


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run a server while the block runs; nothing of it stays."""
    bank = make_bank(folder / "server")
    try:
        cluster = prepare_cluster(bank, Environment(), lambda _: None)
        with serving(cluster, bank.log_file(POSTGRES)):
            yield Server(folder, cluster)
    finally:
        shutil.rmtree(SHARED_HOME / bank.bank_id, ignore_errors=True)
