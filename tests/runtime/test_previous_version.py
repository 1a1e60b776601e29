"""An upgrade migrates first: the version before must work on the new schema, and the way back."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.steps import do, settled
from tests.support.bank import ROOT, LocalBank

# The tag of the version before, else the last commit of it that this branch knows.
PREVIOUS = ("v0.1.0", "89effa202c611d4ee62d6e676a9bb1793f0a231d")
OPEN = {"key": "open", "type": "open_account", "plan": "std-30mb"}
GIFT = {"type": "transfer", "account": "anna", "to": "ben", "bytes": 1 << 20}


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
    assert settled(bank)["transferred"] == before["transferred"] + GIFT["bytes"]
    assert bank.json("verify")["ok"]


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
