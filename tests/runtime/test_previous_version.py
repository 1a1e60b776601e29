"""An upgrade migrates first: the version before must work on the new schema, and the way back.

What is promised, and shown here: on the new schema the version before does all that it ever did. An
account of which the newer version has written an event of a kind that the older does not know
waits, and what is on its way to it is put aside; everybody else goes on, and when the newer
version is back nothing is lost. Other accounts of a request to 0.1.0 that names such an account
fail with it; this version refuses such an account alone (tests/integration/ledger/
test_newer_version.py).
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.steps import do, settled
from tests.support.bank import ROOT, LocalBank, wait_until

# The tag of the version before, else the last commit of it that this branch knows.
PREVIOUS = ("v0.1.0", "89effa202c611d4ee62d6e676a9bb1793f0a231d")
OPEN = {"key": "open", "type": "open_account", "plan": "std-30mb"}
SIZE = 1 << 20
GIFT = {"type": "transfer", "account": "anna", "to": "ben", "bytes": SIZE}


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before."""
    folder = tmp_path_factory.mktemp("previous")
    for revision in PREVIOUS:
        archive = folder / "code.tar"
        git = ["git", "-C", str(ROOT), "archive", "--output", str(archive), revision]
        if subprocess.run(git, check=False, capture_output=True).returncode == 0:
            subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
            return folder
    pytest.skip(f"neither {' nor '.join(PREVIOUS)} is in this copy of the repository")


@pytest.mark.slow
def test_the_version_before_works_on_this_versions_schema_and_hands_its_bank_over(
    make_local_bank: Callable[..., LocalBank], previous: Path
):
    bank = make_local_bank()
    bank.up()
    bank.done("down")

    old = run_by(bank, previous)
    old.up()
    assert commands_of(old, "ledger-web") >= {str(previous / "infra" / "gunicorn.conf.py")}
    do(old, [OPEN | {"account": each} for each in ("anna", "ben")])
    do(old, [GIFT | {"key": "gift"}])
    before = settled(old)
    assert old.json("verify")["ok"]
    assert old.json("rebuild", "all")
    assert settled(old)["earned"] == before["earned"]
    old.done("down")

    bank.up()
    assert same(settled(bank), before)
    assert do(bank, [GIFT | {"key": "gift"}])["outcomes"][0]["repeated"]
    do(bank, [GIFT | {"key": "another"}])
    assert settled(bank)["transferred"] == before["transferred"] + SIZE
    assert bank.json("verify")["ok"]


@pytest.mark.slow
def test_accounts_with_events_of_newer_kinds_wait_and_lose_nothing(
    make_local_bank: Callable[..., LocalBank], previous: Path
):
    bank = make_local_bank()
    bank.up("--clock", "2026-06-10T12:00")
    do(bank, [OPEN | {"account": each} for each in ("anna", "ben", "cat")])
    do(bank, [{"key": "s", "type": "suspend", "account": "cat"}])
    settled(bank)
    bank.done("down")

    old = run_by(bank, previous)
    old.up()
    do(old, [GIFT | {"key": "gift"}])
    assert settled(old)["received"] == SIZE
    to_cat = {"key": "to-cat", "to": "cat"}
    do(old, [GIFT | to_cat])
    of_cat = old.popen("do", "-", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    _, said = of_cat.communicate(json.dumps([GIFT | {"key": "g", "account": "cat"}]), timeout=60)
    assert (of_cat.returncode, "[internal_error]" in said) == (1, True)
    wait_until(lambda: parked(old) == ["cat"], 30, "what goes to cat is put aside")
    do(old, [GIFT | {"key": "another"}])
    wait_until(lambda: totals(old)["in_transit"] == SIZE, 30, "all but that has arrived")
    assert old.run("verify").returncode == 1
    old.done("down")

    bank.up()
    assert parked(bank) == ["cat"]
    bank.done("parked", "retry")
    assert settled(bank)["received"] == 3 * SIZE
    do(bank, [{"key": "r", "type": "resume", "account": "cat"}])
    do(bank, [GIFT | {"key": "g", "account": "cat"}])
    assert settled(bank)["received"] == 4 * SIZE
    assert bank.json("verify")["ok"]


def parked(bank: LocalBank) -> list[str]:
    """Return the accounts that wait, one for each event."""
    return [row["account"] for row in bank.json("parked")["parked"]]


def totals(bank: LocalBank) -> Any:
    """Return the bank's totals as they are now."""
    return bank.json("totals")


def run_by(bank: LocalBank, code: Path) -> LocalBank:
    """Return the same bank, run by another version's code."""
    other = LocalBank(bank.state, {"PYTHONPATH": f"{code}{os.pathsep}"})
    other.port, other.root = bank.port, code
    return other


def commands_of(bank: LocalBank, process: str) -> set[str]:
    """Return the words of a process's command lines."""
    pids = [pid for pid, name in bank.living().items() if name == process]
    return {word for pid in pids for word in psutil.Process(pid).cmdline()}


def same(totals: dict[str, Any], others: dict[str, Any]) -> bool:
    """Compare the terms that both versions know."""
    terms = ("earned", "received", "transferred", "spent", "expired", "available", "accounts")
    return all(totals[term] == others[term] for term in terms)
