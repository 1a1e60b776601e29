"""A month that some accounts refuse to close: who runs the close is told, and can't overlook it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.ledger.rules import BUILT_IN
from tests.acceptance.steps import do
from tests.support.bank import LocalBank

OPEN: dict[str, Any] = {"key": "open", "type": "open_account", "active_from": "2015-08"}

pytestmark = pytest.mark.slow


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A rules file, to be replaced by hand."""
    file = tmp_path / "rules.json"
    file.write_bytes(BUILT_IN.read_bytes())
    return file


@pytest.fixture
def bank(tmp_path: Path, rules: Path) -> Iterator[LocalBank]:
    """A bank of two, one of whom is on a plan that its rules file does not have any more."""
    made = LocalBank(tmp_path / "state", {"LEDGER_RULES_FILE": str(rules)})
    try:
        made.up("--clock", "2015-08-10T12:00:00+08:00")
        do(made, [
            OPEN | {"account": "anna", "plan": "std-30mb"},
            OPEN | {"account": "ben", "plan": "basic-10mb"},
        ])  # fmt: skip
        made.done("down")
        (version,) = json.loads(rules.read_bytes())
        del version["plans"]["basic-10mb"]
        rules.write_text(json.dumps([version]))
        made.up()
        made.done("clock", "set", "2015-09-01T08:00:00+08:00")
        yield made
    finally:
        made.erase()


def test_who_closes_a_month_is_told_of_each_account_that_refused(bank: LocalBank, rules: Path):
    ended = bank.run("close-month", "2015-08", "--json")
    assert ended.returncode == 1
    result = json.loads(ended.stdout)
    assert (result["accounts"], result["refused"]) == (1, 1)
    assert result["refused_by_code"] == {"plan_unknown": 1}
    (refused,) = result["refused_accounts"]
    assert (refused["account"], refused["code"]) == ("ben", "plan_unknown")

    ended = bank.run("close-month", "2015-08")
    assert ended.returncode == 1
    shown = " ".join(ended.stdout.split())
    assert "accounts that refused │ 1" in shown
    assert "plan_unknown │ 1" in shown
    assert "ben: no version of the rules has the plan basic-10mb" in shown

    bank.done("down")
    rules.write_bytes(BUILT_IN.read_bytes())
    bank.up()
    assert bank.json("close-month", "2015-08")["refused"] == 0
    assert bank.json("verify")["ok"]
