"""The operating system's view of a bank: which processes belong to it, and how they are ended."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.errors import CliError

STATE_MARK = "DATABANK_STATE"
PROCESS_MARK = "DATABANK_PROCESS"
SUPERVISOR = "supervisord"
POSTGRES = "postgres"
STOP_S = 7.0
KILL_S = 3.0
POLL_S = 0.05

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def bank_processes(state: Path) -> dict[psutil.Process, str]:
    """Return the living processes that `up` started for this state, with their names.

    Both marks must be in a process's environment: a shell whose user exported `DATABANK_STATE`
    is no part of the bank.
    """
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(*GONE, OSError):
            marks = process.environ()
            if marks.get(STATE_MARK) == str(state) and PROCESS_MARK in marks:
                found[process] = marks[PROCESS_MARK]
    return found


def stop_bank(state: Path, within_s: float = STOP_S) -> int:
    """End every process of this state, the database last; returns how many there were.

    Supervisord ends its children in order. Without it the services get TERM and, when they are
    gone, the database gets INT. What still lives after `within_s` seconds is killed.
    """
    before = bank_processes(state)
    deadline = time.monotonic() + within_s
    asked: set[psutil.Process] = set()
    while alive := bank_processes(state):
        if time.monotonic() > deadline:
            _kill(state)
            break
        for process in _next_to_stop(alive):
            if process not in asked:
                asked.add(process)
                with contextlib.suppress(*GONE):
                    quick = alive[process] == POSTGRES
                    process.send_signal(signal.SIGINT if quick else signal.SIGTERM)
        time.sleep(POLL_S)
    return len(before)


def _next_to_stop(alive: dict[psutil.Process, str]) -> list[psutil.Process]:
    supervisors = [process for process, name in alive.items() if name == SUPERVISOR]
    services = [process for process, name in alive.items() if name not in (SUPERVISOR, POSTGRES)]
    return supervisors or services or list(alive)


def _kill(state: Path) -> None:
    """Kill what is left, supervisord first, so that it restarts nothing."""
    deadline = time.monotonic() + KILL_S
    while alive := bank_processes(state):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in alive)
            raise CliError("not_stopped", f"processes of {state} cannot be ended: {pids}")
        for process in sorted(alive, key=lambda process: alive[process] != SUPERVISOR):
            with contextlib.suppress(*GONE):
                process.kill()
        time.sleep(POLL_S)


@contextmanager
def state_lock(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a state folder. Raises CliError `already_running` with the holder's pid."""
    handle = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(handle, 32, 0).decode().strip()
            raise CliError(
                "already_running",
                f"a bank already runs on {run_dir.parent} (pid {pid}): "
                f"stop it with `databank down --state {run_dir.parent}`",
                pid=pid,
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def lock_holder(run_dir: Path) -> int | None:
    """Return the pid of the `up` that holds this state, None when nobody does."""
    try:
        handle = os.open(run_dir / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(handle, 32, 0).decode().strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(handle)
    return None
