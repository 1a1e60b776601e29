"""Months of a made-up life whose books agree, and rules that change while it goes on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.year import compare
from tests.support.bank import LocalBank

pytestmark = pytest.mark.slow


def simulate(bank: LocalBank, months: int) -> Any:
    return bank.json("simulate", "--subscribers", "40", "--months", str(months), "--seed", "7")


def test_a_life_goes_on_under_new_rules_and_its_books_agree(local_bank: LocalBank, tmp_path: Path):
    bank = local_bank
    bank.up("--clock", "2015-08-01T00:00")
    before = simulate(bank, 1)
    assert before["ok"]
    assert [each["month"] for each in before["month_ends"]] == ["2015-08"]
    assert before["month_ends"][0]["carried_bytes"] > 0
    assert before["usage"]["sponsored_bytes"] > 0
    # `why` of the records sums up to every bill, a sponsor's too.
    bills = compare(bank.bank)
    assert bills.different == []
    assert 0 < bills.sponsored_bytes <= before["usage"]["sponsored_bytes"]
    assert all(before["commands"][kind] for kind in ("hold", "post", "reverse", "close_account"))

    shown = bank.json("rules", "show", "1")
    same, none = tmp_path / "same.json", tmp_path / "none.json"
    same.write_text(json.dumps(shown))
    for plan in shown["plans"].values():
        plan["carry_over"] = {"mode": "none"}
    none.write_text(json.dumps(shown))

    unchanged = bank.json("rules", "put", str(same), "--dry-run")
    assert (unchanged["changed_accounts"], unchanged["most_changed"]) == (0, [])
    changed = bank.json("rules", "put", str(none), "--dry-run")
    carried = before["month_ends"][0]["carried_bytes"]
    assert (changed["carried_before_bytes"], changed["carried_after_bytes"]) == (carried, 0)
    assert changed["expired_after_bytes"] == changed["expired_before_bytes"] + carried
    *rows, result = map(
        json.loads,
        bank.done("rules", "put", str(none), "--dry-run", "--all", "--json").splitlines(),
    )
    assert (result, len(rows)) == (changed, changed["changed_accounts"])
    assert sum(row["carried_before_bytes"] for row in rows) == carried
    places = {each["place"] for each in bank.json("rules", "diff", str(none))["changes"]}
    assert "plans.std-30mb.carry_over.mode" in places

    too_early = json.loads(bank.run("rules", "put", str(none), "--json").stderr)
    assert too_early["code"] == "rules_too_early"
    assert "--effective-from" in too_early["detail"]
    put = bank.json("rules", "put", str(none), "--effective-from", "2015-09-15T00:00")
    assert (put["version"], put["new"]) == (2, True)
    assert not bank.json("rules", "put", str(none))["new"]

    after = simulate(bank, 1)
    assert after["ok"]
    assert after["verify"]["accounts"] == before["verify"]["accounts"]
    assert [each["month"] for each in after["month_ends"]] == ["2015-09"]
    assert after["month_ends"][0]["carried_bytes"] == 0
    assert bank.json("rules", "show")["in_force"] == 2
    assert bank.json("verify")["ok"]
