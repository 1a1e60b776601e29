"""Starts a bank, keeps it running until it is told to stop, and stops it in order."""

import errno
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from infra.errors import CliError
from infra.migrate import migrate, targets, with_secrets
from infra.runtime.environment import Environment
from infra.runtime.postgres import prepare_cluster
from infra.runtime.processes import POSTGRES, bank_processes, state_lock, stop_bank
from infra.runtime.programs import Program, postgres_program, service_programs
from infra.runtime.readiness import RUNNING, bank_parts
from infra.runtime.state import Bank, make_folders
from infra.runtime.supervisor import Supervisor, tail
from infra.runtime.wish import OWN_DATABASE, Wish, check_ports, wished_bank, wished_clock
from shared.db import connect
from shared.errors import UnavailableError

DATABASE_START_S = 60.0
READY_S = 120.0
# A process that has been dying for this long while the bank starts won't recover by itself.
FAILING_S = 10.0
WATCH_S = 0.5
POLL_S = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Listener(Protocol):
    """Hears how far the start has come."""

    def step(self, text: str) -> None:
        """Hear what is being done now."""

    def note(self, text: str) -> None:
        """Hear a remark that should stay readable."""

    def ready(self, bank: Bank) -> None:
        """Hear that every part is ready."""


class StopRequested(BaseException):
    """The operator asked the bank to stop (Ctrl-C, TERM), wherever the start is."""


def run_bank(
    wish: Wish, environment: Environment, listener: Listener, work: Callable[[Bank], None]
) -> None:
    """Start the bank, do `work` with it, and keep it running until INT, TERM or HUP.

    Raises CliError when the state is in use, a port is taken or a part does not start; whatever
    was started is stopped before that.
    """
    make_folders(wish.state)
    with state_lock(wish.state / "run"):
        try:
            with stop_signals():
                running = _start(wish, environment, listener)
                listener.ready(running.bank)
                work(running.bank)
                running.watch()
        except StopRequested:
            listener.step("stop")
        except OSError as error:
            raise _clear(error, wish.state) from error
        finally:
            stop_bank(wish.state)


class RunningBank:
    """The processes of a bank under a supervisord of ours."""

    def __init__(self, bank: Bank, programs: list[Program], listener: Listener) -> None:
        self.bank = bank
        self._programs = programs
        self._listener = listener
        self._supervisor = Supervisor(bank)
        self._failing_since: dict[str, float] = {}

    def launch(self) -> None:
        """Start supervisord, with the bank's own database if it has one."""
        self._failing_since = {}
        self._supervisor.launch(self._programs)
        if any(program.name == POSTGRES for program in self._programs):
            self._supervisor.start(POSTGRES)

    def start_services(self) -> None:
        """Start every service and wait until all parts are ready. Raises CliError."""
        for program in self._programs:
            if program.name != POSTGRES:
                self._supervisor.start(program.name)
        deadline = time.monotonic() + READY_S
        while waiting := [part for part in bank_parts(self.bank) if not part.ready]:
            self._fail_if_failing("service_failed")
            if time.monotonic() > deadline:
                part = waiting[0]
                log = self.bank.log_file(part.name)
                raise CliError(
                    "not_ready", f"{part.name} is not ready: {part.detail or part.state}{tail(log)}"
                )
            time.sleep(POLL_S)

    def await_database(self, admin_url: str) -> None:
        """Wait until the own database takes connections. Raises CliError `postgres_failed`."""
        deadline = time.monotonic() + DATABASE_START_S
        while True:
            try:
                connect(admin_url).close()
            except UnavailableError as error:
                self._fail_if_failing("postgres_failed")
                if time.monotonic() > deadline:
                    log = self.bank.log_file(POSTGRES)
                    raise CliError("postgres_failed", f"{error.detail}{tail(log)}") from error
                time.sleep(POLL_S)
            else:
                return

    def watch(self) -> None:
        """Keep supervisord running; ends only by StopRequested or a CliError."""
        while True:
            time.sleep(WATCH_S)
            if not self._supervisor.alive():
                self._listener.note("supervisord ended unasked: the bank is started again")
                stop_bank(self.bank.state)
                self.launch()
                self.start_services()

    def _fail_if_failing(self, code: str) -> None:
        """Raise when supervisord is gone or a process has been dying again and again."""
        if not self._supervisor.alive():
            raise CliError("supervisor_failed", "supervisord ended while the bank was starting")
        for info in self._supervisor.processes():
            if info.state == RUNNING:
                self._failing_since.pop(info.name, None)
            elif info.state in ("BACKOFF", "FATAL"):
                since = self._failing_since.setdefault(info.name, time.monotonic())
                if info.state == "FATAL" or time.monotonic() - since > FAILING_S:
                    log = self.bank.log_file(info.name)
                    raise CliError(code, f"{info.name} does not stay up{tail(log)}")


def _start(wish: Wish, environment: Environment, listener: Listener) -> RunningBank:
    if left := bank_processes(wish.state):
        listener.note(f"an earlier start left {len(left)} processes: they are ended")
        stop_bank(wish.state)
    bank = with_secrets(wished_bank(wish, environment))
    check_ports(bank)
    if remark := wished_clock(bank, wish):
        listener.note(remark)
    programs, admin_url = [], str(environment.database_url)
    if bank.database == OWN_DATABASE:
        listener.step("prepare the database")
        cluster = prepare_cluster(bank, environment, listener.note)
        programs, admin_url = [postgres_program(bank, cluster)], cluster.admin_url
    urls = {each.service: each.service_url for each in targets(bank, environment, admin_url)}
    programs += service_programs(bank, environment, urls)
    running = RunningBank(bank, programs, listener)
    listener.step("start the database")
    running.launch()
    if bank.database == OWN_DATABASE:
        running.await_database(admin_url)
    listener.step("migrate")
    migrate(bank, environment, admin_url, listener.step)
    listener.step("start the services")
    running.start_services()
    return running


@contextmanager
def stop_signals() -> Iterator[None]:
    """Turn the first stop signal into StopRequested; later ones don't disturb the stopping."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequested

    for each in STOP_SIGNALS:
        signal.signal(each, stop)
    yield


def _clear(error: OSError, state: Path) -> CliError:
    if error.errno == errno.ENOSPC:
        return CliError("disk_full", f"no space is left for {error.filename or state}")
    return CliError("failed", f"the system refused: {error}")
