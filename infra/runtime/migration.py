"""`databank migrate`: on the running database, or on the bank's own one, started for this alone."""

import pwd
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import CliError
from infra.migrate import migrate
from infra.runtime.environment import Environment
from infra.runtime.postgres import Cluster, find_cluster, prepare_cluster
from infra.runtime.processes import POSTGRES, lock_holder, state_lock
from infra.runtime.state import Bank, make_folders
from infra.runtime.supervisor import tail
from infra.runtime.wish import OWN_DATABASE, Wish, wished_bank
from shared.db import connect
from shared.errors import UnavailableError

START_S = 60.0
POLL_S = 0.1

Say = Callable[[str], None]


def migrate_bank(bank: Bank, environment: Environment, say: Say) -> None:
    """Migrate the databases of a bank, whether it runs or not."""
    if lock_holder(bank.run_dir) is not None:
        url = str(environment.database_url)
        if bank.database == OWN_DATABASE:
            url = find_cluster(bank, environment).admin_url
        migrate(bank, environment, url, say)
        return
    make_folders(bank.state)
    with state_lock(bank.run_dir):
        bank = wished_bank(Wish(state=bank.state), environment)
        if bank.database != OWN_DATABASE:
            migrate(bank, environment, environment.database_url, say)
            return
        cluster = prepare_cluster(bank, environment, say)
        with serving(cluster, bank.log_file(POSTGRES)):
            migrate(bank, environment, cluster.admin_url, say)


@contextmanager
def serving(cluster: Cluster, log: Path) -> Iterator[None]:
    """Run a cluster's server while the block runs. Raises CliError `postgres_failed`."""
    owner = pwd.getpwnam(cluster.user) if cluster.user else None
    with log.open("ab") as output:
        server = subprocess.Popen(
            cluster.command(),
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await(server, cluster, log)
        yield
    finally:
        server.send_signal(2)
        server.wait()


def _await(server: subprocess.Popen[bytes], cluster: Cluster, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            connect(cluster.admin_url).close()
        except UnavailableError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise CliError("postgres_failed", f"{error.detail}{tail(log)}") from error
            time.sleep(POLL_S)
        else:
            return
