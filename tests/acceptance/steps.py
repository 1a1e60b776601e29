"""What an operator (or bad luck) does to a bank in the acceptance tests."""

import json
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import psutil

from infra.cli.client import ledger_of
from infra.cli.output import CliError
from tests.support.bank import LocalBank, wait_until

READY_S = 90.0
ARRIVAL_S = 60.0
POLL_S = 0.1


def start(bank: LocalBank, *arguments: str) -> subprocess.Popen[str]:
    """Start a command in the background, its answer as JSON."""
    return bank.popen(*arguments, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process: subprocess.Popen[str], within_s: float = 180.0) -> Any:
    """Wait for a command that must succeed and return its answer."""
    out, err = process.communicate(timeout=within_s)
    assert process.returncode == 0, err
    return json.loads(out)


def do(bank: LocalBank, commands: Sequence[dict[str, Any]], *, code: int = 0) -> dict[str, Any]:
    """Send commands through `do -` and return the document of their outcomes."""
    process = bank.popen(
        "do", "-", "--json", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(json.dumps(list(commands)), timeout=180)
    assert process.returncode == code, err
    found: dict[str, Any] = json.loads(out)
    return found


def settled(bank: LocalBank) -> dict[str, Any]:
    """Return the totals once nothing is in transit."""
    deadline = time.monotonic() + ARRIVAL_S
    while True:
        totals: dict[str, Any] = bank.json("totals")
        if totals["in_transit"] == 0:
            return totals
        assert time.monotonic() < deadline, f"still in transit: {totals}"


def kill(bank: LocalBank, service: str) -> None:
    """Kill every process of a service, children too, with SIGKILL."""
    killed = 0
    for pid, name in bank.living().items():
        if name.startswith(service):
            try:
                psutil.Process(pid).kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
    assert killed, f"no process of {service} was there"


def ledger_events(bank: LocalBank) -> int:
    """Return how far the ledger's logs are, all together; 0 while it does not answer."""
    try:
        with ledger_of(bank.bank) as ledger:
            heads = ledger.get("/v1/heads")["heads"]
    except (CliError, httpx2.HTTPError):
        return 0
    return sum(lanes["all"] for lanes in heads.values())


def wait_for_progress(bank: LocalBank, running: subprocess.Popen[str], since: int) -> int:
    """Wait until the ledger has stored more events than `since` while a command runs on."""
    while True:
        now = ledger_events(bank)
        if now > since:
            return now
        assert running.poll() is None, "the command ended too early"
        time.sleep(POLL_S)


def wait_until_ready(bank: LocalBank) -> None:
    """Wait until every part is ready."""
    wait_until(bank.is_ready, READY_S, "every part is ready")
