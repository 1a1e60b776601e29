"""Supervisord as a child: keeps the bank's processes running, answers on a private socket."""

import contextlib
import http.client
import shutil
import socket
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from infra.errors import CliError
from infra.runtime.environment import inherited
from infra.runtime.postgres import make_private, short_folder
from infra.runtime.processes import POSTGRES, PROCESS_MARK, STATE_MARK, SUPERVISOR
from infra.runtime.programs import Program, escape, section
from infra.runtime.state import Bank, write_private

ANSWER_TIMEOUT_S = 10.0
LAUNCH_TIMEOUT_S = 15.0
DISK_FULL_BYTES = 64 << 10
SERVICES_GROUP = "services"
DATABASE_GROUP = "database"
RPC_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"

AWAY = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord says about a process."""

    name: str
    state: str
    pid: int
    description: str
    lives_s: int


class Supervisor:
    """Drives the supervisord of a bank."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._socket_dir = short_folder(bank.run_dir)
        self._socket = self._socket_dir / "supervisor.sock"
        self._child: subprocess.Popen[bytes] | None = None

    def launch(self, programs: list[Program]) -> None:
        """Start supervisord with these programs, none of them started. Raises CliError."""
        make_private(self._socket_dir)
        self._socket.unlink(missing_ok=True)
        config = self._bank.run_dir / "supervisor.conf"
        write_private(config, self._config(programs))
        log = self._bank.log_file(SUPERVISOR)
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)],
                env=inherited(**{STATE_MARK: str(self._bank.state), PROCESS_MARK: SUPERVISOR}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + LAUNCH_TIMEOUT_S
        while not self.answers():
            if not self.alive() or time.monotonic() > deadline:
                raise CliError("supervisor_failed", f"supervisord did not start{tail(log)}")
            time.sleep(0.05)

    def alive(self) -> bool:
        """Say whether the supervisord that was launched still runs."""
        return self._child is not None and self._child.poll() is None

    def answers(self) -> bool:
        """Say whether a supervisord answers on the socket."""
        try:
            self._call("getState")
        except AWAY:
            return False
        return True

    def start(self, name: str) -> None:
        """Start a process; it is kept running from now on."""
        group = DATABASE_GROUP if name == POSTGRES else SERVICES_GROUP
        with contextlib.suppress(xmlrpc.client.Fault):  # Already started.
            wait = False
            self._call("startProcess", f"{group}:{name}", wait)

    def processes(self) -> list[ProcessInfo]:
        """Return what runs; empty when supervisord does not answer."""
        try:
            found = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        except AWAY:
            return []
        return [
            ProcessInfo(
                name=each["name"],
                state=each["statename"],
                pid=each["pid"],
                description=each["description"],
                lives_s=each["now"] - each["start"] if each["pid"] else 0,
            )
            for each in found
        ]

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = _UnixTransport(self._socket)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _config(self, programs: list[Program]) -> str:
        """Return the configuration; groups stop in the order of falling priority."""
        run_dir = self._bank.run_dir
        groups = {
            SERVICES_GROUP: [each.name for each in programs if each.name != POSTGRES],
            DATABASE_GROUP: [each.name for each in programs if each.name == POSTGRES],
        }
        daemon = {
            "nodaemon": "true",
            "silent": "true",
            "umask": "077",
            "identifier": f"databank-{self._bank.bank_id}",
            "pidfile": escape(str(run_dir / "supervisord.pid")),
            "logfile": escape(str(self._bank.log_file(SUPERVISOR))),
            "logfile_maxbytes": "5MB",
            "logfile_backups": "1",
        }
        parts = [
            section("unix_http_server", {"file": escape(str(self._socket)), "chmod": "0600"}),
            section("supervisord", daemon),
            section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": RPC_FACTORY}),
            *(program.section(self._bank.log_file(program.name)) for program in programs),
        ]
        for priority, (group, names) in zip((20, 10), groups.items(), strict=True):
            if names:
                settings = {"programs": ",".join(names), "priority": str(priority)}
                parts.append(section(f"group:{group}", settings))
        return "\n".join(parts)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002
        return _UnixConnection(self._path)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def tail(log: Path, lines: int = 12) -> str:
    """Return the end of a log and its path, as the end of an error message."""
    try:
        text = log.read_text(errors="replace").rstrip().splitlines()[-lines:]
    except OSError:
        text = []
    full = "; no space is left there" if _disk_is_full(log.parent) else ""
    return f"; see {log}{full}" + "".join(f"\n    {line}" for line in text)


def _disk_is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < DISK_FULL_BYTES
    except OSError:
        return False
