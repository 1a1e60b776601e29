"""A disk that fails under the database: nothing is acknowledged that is not stored, once."""

import shutil
import subprocess
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from services.ledger.domain.commands import Buy, OpenAccount
from shared.errors import UnavailableError
from tests.support.bank import wait_until
from tests.support.ledger import MIB

BUYS = 14
FAILS_AT = 6
ATTACH_S = 20


def why_not() -> str | None:
    """Return why system calls can't be made to fail here, None if they can."""
    if shutil.which("strace") is None:
        return "fsync can't be made to fail: strace is not installed"
    traced = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return None if traced.returncode == 0 else "fsync can't be made to fail: strace may not trace"


@contextmanager
def failing_fsync(postmaster: int, log):
    """Let the sixth flush of each process fail with an input/output error."""
    inject = f"inject=fdatasync:error=EIO:when={FAILS_AT}"
    children = psutil.Process(postmaster).children()
    targets = [
        part for each in (postmaster, *(c.pid for c in children)) for part in ("-p", f"{each}")
    ]
    command = ["strace", "-f", "-q", *targets, "-e", "trace=fdatasync", "-e", inject]
    with log.open("wb") as output:
        tracer = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: is_traced(postmaster), ATTACH_S, "strace is attached")
        yield
    finally:
        tracer.terminate()
        tracer.wait(ATTACH_S)


def is_traced(pid: int) -> bool:
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_failing_fsync_acknowledges_nothing_twice_and_loses_nothing(
    server, make_ledger, tmp_path
):
    ledger = make_ledger(partitions=1)
    ledger.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    log = tmp_path / "strace.log"
    with failing_fsync(server.pid, log):
        for number in range(BUYS):
            buy = Buy(key=f"b{number}", account="ann", bytes=1)
            wait_until(partial(is_done, ledger, buy), 30, "it is acknowledged")

    assert log.read_text().count("EIO") >= 1
    assert ledger.ledger.account("ann")[0].earned == 30 * MIB + BUYS
    assert ledger.verified()["events"] == 2 + BUYS


def is_done(ledger, command: Buy) -> bool:
    try:
        return bool(ledger.do(command)[0].status == "done")
    except UnavailableError:
        return False
