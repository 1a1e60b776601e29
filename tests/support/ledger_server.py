"""A PostgreSQL that tests may kill, and as many empty ledger databases on it as they want."""

import shutil
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.errors import CliError
from infra.migrate import migrate, targets, with_secrets
from infra.runtime.environment import Environment
from infra.runtime.migration import serving
from infra.runtime.postgres import SHARED_HOME, prepare_cluster
from infra.runtime.processes import POSTGRES
from infra.runtime.state import make_bank
from tests.support.bank import wait_until

# Recovery after a kill syncs every file of the cluster, which a busy disk makes long.
START_S = 120


class LedgerServer:
    """An own PostgreSQL cluster; each ledger on it is a copy of a migrated, empty one."""

    def __init__(self, state: Path, partitions: int = 4) -> None:
        self._environment = Environment()
        self._bank = with_secrets(make_bank(state, partitions=partitions, sandbox=True))
        self._running = ExitStack()
        self._numbers = count(1)
        self.start()
        migrate(self._bank, self._environment, self.admin_url, lambda _: None)
        found = targets(self._bank, self._environment, self.admin_url)
        self._templates = {each.service: each.service_url for each in found}

    @property
    def pid(self) -> int:
        """Return the postmaster's process id."""
        return int((self._cluster.data / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        """Start it, also after a kill, and wait until it answers."""
        self._cluster = prepare_cluster(self._bank, self._environment, lambda _: None)
        self.admin_url = self._cluster.admin_url
        wait_until(self._starts, START_S, "PostgreSQL starts")

    def _starts(self) -> bool:
        try:
            self._running.enter_context(serving(self._cluster, self._bank.log_file(POSTGRES)))
        except CliError:
            # Right after a kill the dead server's children may still hold its shared memory.
            self._cluster = prepare_cluster(self._bank, self._environment, lambda _: None)
            return False
        return True

    def kill(self) -> None:
        """End the postmaster and all its children with SIGKILL."""
        postmaster = psutil.Process(self.pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=START_S)
        self._running.close()

    @property
    def socket(self) -> Path:
        """Return the path of its Unix socket."""
        return self._cluster.socket_dir / ".s.PGSQL.5432"

    def new_ledger(self) -> str:
        """Return the URL (of the service's role) of a new, empty ledger database."""
        return self.new_database("ledger")

    def new_database(self, service: str) -> str:
        """Return the URL (of the service's role) of a new, empty database of a service."""
        parts = conninfo_to_dict(self._templates[service])
        name = f"{service}_test_{next(self._numbers)}"
        with psycopg.connect(self.admin_url, autocommit=True) as conn:
            names = {"new": sql.Identifier(name), "old": sql.Identifier(str(parts["dbname"]))}
            conn.execute(sql.SQL("CREATE DATABASE {new} TEMPLATE {old}").format(**names))
        return make_conninfo(self._templates[service], dbname=name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
        with psycopg.connect(self.admin_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(name=name))

    def admin_of(self, ledger_url: str) -> str:
        """Return the superuser's URL of a ledger database."""
        return make_conninfo(self.admin_url, dbname=str(conninfo_to_dict(ledger_url)["dbname"]))

    def close(self) -> None:
        """End it; nothing of it stays, so it need not write down anything."""
        self.kill()
        shutil.rmtree(SHARED_HOME / self._bank.bank_id, ignore_errors=True)
