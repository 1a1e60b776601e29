"""A whole bank on this machine, driven through its command line as an operator does."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from infra.errors import CliError
from infra.migrate import targets
from infra.runtime.environment import Environment
from infra.runtime.postgres import find_cluster, shared_home
from infra.runtime.processes import bank_processes, stop_bank
from infra.runtime.state import Bank, find_bank
from shared.log_database import WRITER_LOCK_SPACE

ROOT = Path(__file__).parents[2]
COMMAND_S = 180.0
# Where a bank's ports lie from its first one on.
PLACES = (0, 1, 2, 3, 10, 11, 12, 13)
# Processes of one run have shares of their own: a bank that is stopped for a while gets its ports
# back. Runs at the same time begin at different places.
SHARE, BLOCK = 1_800, 20
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.cycle(
    12_000 + WORKER % 4 * SHARE + (os.getpid() * BLOCK + base) % SHARE + n
    for n in (0, 4)
    for base in range(0, SHARE, BLOCK)
)
OWN_SETTINGS = (
    "DATABANK_STATE", "DATABASE_URL", "LEDGER_DATABASE_URL", "GATEWAY_DATABASE_URL",
    "GIFTING_DATABASE_URL", "TASKS_DATABASE_URL", "AMQP_URL", "LEDGER_PARTITIONS", "BANK_TIMEZONE",
)  # fmt: skip


class LocalBank:
    """A bank with its own state folder, ports and environment."""

    def __init__(self, state: Path, environment: dict[str, str] | None = None) -> None:
        self.state = state
        self.root = ROOT
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
        self.environment = kept | {"DATABANK_STATE": str(state)} | (environment or {})

    @property
    def bank(self) -> Bank:
        """What `bank.json` says."""
        return find_bank(self.state)

    def popen(self, *arguments: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start a command and don't wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", *arguments],
            cwd=self.root, env=self.environment, text=True, **kwargs,
        )  # fmt: skip

    def run(self, *arguments: str, timeout: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and return its output, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "infra.cli.main", *arguments],
            cwd=self.root, env=self.environment, text=True, capture_output=True, timeout=timeout,
            check=False,
        )  # fmt: skip

    def done(self, *arguments: str, timeout: float = COMMAND_S) -> str:
        """Run a command that must succeed and return what it printed."""
        ended = self.run(*arguments, timeout=timeout)
        assert ended.returncode == 0, f"{arguments}: {ended.stderr}"
        return ended.stdout

    def json(self, *arguments: str, timeout: float = COMMAND_S) -> Any:
        """Run a command that must succeed with `--json` and return its answer."""
        return json.loads(self.done(*arguments, "--json", timeout=timeout))

    def up(self, *arguments: str) -> Any:
        """Start the bank in the background and return what it says of itself when it is ready."""
        return self.json("up", "--sandbox", "--detach", "--port", str(self.port), *arguments)

    def pids(self) -> dict[str, int]:
        """Return the pid of every process by name, those of forked children not counted."""
        status = json.loads(self.run("status", "--json").stdout)
        return {each["name"]: each["pid"] for each in status["processes"] if each["pid"]}

    def is_ready(self) -> bool:
        """Ask `status`."""
        return self.run("status").returncode == 0

    def erase(self) -> None:
        """Stop the bank by force and remove everything that it left on disk."""
        self.run("down", timeout=60)
        stop_bank(self.state)
        with contextlib.suppress(CliError):
            shutil.rmtree(shared_home(self.bank), ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)

    def living(self) -> dict[int, str]:
        """Return the bank's processes as the operating system knows them."""
        return {process.pid: name for process, name in bank_processes(self.state).items()}


def service_url(bank: Bank, service: str) -> str:
    """Return the URL with which a service of a running bank uses its database."""
    environment = Environment()
    made = targets(bank, environment, find_cluster(bank, environment).admin_url)
    return next(each.service_url for each in made if each.service == service)


@contextmanager
def turn_held(bank: Bank, partition: int) -> Iterator[None]:
    """Keep a ledger partition's turn to write, as another process that is slow does."""
    with psycopg.connect(service_url(bank, "ledger"), autocommit=True) as connection:
        turn = (WRITER_LOCK_SPACE, partition)
        connection.execute("SELECT pg_advisory_lock(%s, %s)", turn)
        yield


def free_port() -> int:
    """Return a port such that a bank's ports from it on are free."""
    for port in itertools.islice(PORTS, 2 * SHARE // BLOCK):
        if all(_is_free(port + n) for n in PLACES):
            return port
    raise AssertionError("no free ports")


def wait_until(true: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait for something to become true; fails with `what` otherwise."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
