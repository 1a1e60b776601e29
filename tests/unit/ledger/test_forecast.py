"""The forecast is what then really happens when nobody does anything."""

import copy
from typing import Any

import pytest

from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    Buy,
    ChangePlan,
    CloseAccount,
    CloseMonth,
    Hold,
    Touch,
    Transfer,
    Usage,
)
from services.ledger.domain.context import Context
from services.ledger.domain.forecast import forecast
from services.ledger.domain.rules import CarryOver
from tests.support.gateway import MIB, PEOPLE, lived_bank, opened_bank
from tests.support.memory import CALENDAR, LIMITS, MemoryBank, carrying, expired_by_close

DAY_MS = 86_400_000


def told(bank: MemoryBank, account: str, within_ms: int | None = None) -> dict[str, Any]:
    context = Context(bank.clock.at, CALENDAR, bank.partitions[0].rulebook)
    return forecast(bank.account(account), context, within_ms)


def available(account: Account, at: int) -> int:
    return sum(lot.free for lot in account.lots.values() if lot.expires_at > at)


@pytest.mark.parametrize("seed", range(12))
def test_the_next_cycle_is_what_the_close_and_the_grant_then_bring(seed: int) -> None:
    bank = lived_bank(seed, steps=30)
    bank.settle()
    for account in PEOPLE:
        month = CALENDAR.month_of(bank.clock.at)
        answer = told(bank, account)
        next_cycle, earlier = answer["next_cycle"], answer["earlier_months"]
        ahead = copy.deepcopy(bank)
        ahead.clock.at = CALENDAR.month_end(month)
        before = ahead.account(account)
        (close,) = ahead.do(CloseMonth(key="real", account=account, month=month))
        state = ahead.account(account)
        assert next_cycle["available_bytes"] == available(state, ahead.clock.at)
        assert all(each["month"] < month for each in earlier)
        carried = sum(each["carried_bytes"] for each in earlier) + next_cycle["carried_bytes"]
        expired = sum(each["expired_bytes"] for each in earlier) + next_cycle["expired_bytes"]
        assert carried == close.result.get("carried_bytes", 0)
        assert expired == state.expired - before.expired
        assert next_cycle["starts_at"] == ahead.clock.at
        assert next_cycle["plan_bytes"] == 30 * MIB


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_what_the_forecast_says_expires_is_what_the_close_lets_expire(
    seed: int, limit: CarryOver
) -> None:
    bank = lived_bank(seed, steps=40, rulebook=carrying(limit))
    bank.settle()
    for account in PEOPLE:
        ends_at = CALENDAR.month_end(CALENDAR.month_of(bank.clock.at))
        foreseen = {
            lot["lot_id"]: lot["expired_bytes"]
            for each in told(bank, account)["expiring"]
            for lot in each["lots"]
            if each["at"] <= ends_at
        }
        expired = expired_by_close(bank, account)
        assert foreseen == {lot_id: expired.get(lot_id, 0) for lot_id in foreseen}
        running = {
            lot.lot_id
            for lot in bank.account(account).lots.values()
            if lot.expires_at > bank.clock.at
        }
        assert foreseen.keys() >= expired.keys() & running


@pytest.mark.parametrize("limit", [CarryOver(mode="auto_extend"), *LIMITS], ids=str)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("days", [0, 31, 62])
def test_what_expires_by_the_months_end_is_the_same_in_both_tables(
    seed: int, limit: CarryOver, days: int
) -> None:
    bank = lived_bank(seed, steps=40, rulebook=carrying(limit))
    bank.settle()
    bank.clock.at += days * DAY_MS
    for account in PEOPLE:
        answer = told(bank, account)
        next_cycle = answer["next_cycle"]
        by_end = sum(
            each["expired_bytes"]
            for each in answer["expiring"]
            if each["at"] <= next_cycle["starts_at"]
        )
        assert by_end + next_cycle["lapsed_bytes"] == next_cycle["expired_bytes"]
        for each in answer["expiring"]:
            assert all(0 <= lot["expired_bytes"] <= lot["bytes"] for lot in each["lots"])


def test_an_earlier_month_that_is_open_is_told_apart_and_its_carry_lot_expires_with_this_one() -> (
    None
):
    bank = opened_bank(1)
    bank.do(Usage(usage_id="u", account="ann", bytes=10 * MIB, occurred_at=bank.clock.at))
    bank.at("2015-09-01T05:00:00")
    bank.do(Touch(key="t", account="ann"))
    answer = told(bank, "ann")
    assert answer["earlier_months"] == [
        {"month": "2015-08", "carried_bytes": 20 * MIB, "expired_bytes": 0}
    ]
    assert [
        (CALENDAR.text(each["at"]), lot["lot_id"], lot["bytes"], lot["expired_bytes"])
        for each in answer["expiring"]
        for lot in each["lots"]
    ] == [
        ("2015-10-01T00:00:00+08:00", "carry:2015-08:any", 20 * MIB, 20 * MIB),
        ("2015-10-01T00:00:00+08:00", "plan:2015-09", 30 * MIB, 0),
    ]
    next_cycle = answer["next_cycle"]
    assert (next_cycle["carried_bytes"], next_cycle["expired_bytes"]) == (30 * MIB, 20 * MIB)
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    closed = told(bank, "ann")
    assert closed == answer | {"earlier_months": []}


def test_bytes_that_have_lapsed_in_this_month_are_told_apart() -> None:
    bank = opened_bank(1)
    bank.do(Buy(key="p", account="ann", bytes=7 * MIB, expires_at="2015-08-13T12:00:00+08:00"))
    bank.at("2015-08-20T00:00:00")
    next_cycle = told(bank, "ann")["next_cycle"]
    assert (next_cycle["expired_bytes"], next_cycle["lapsed_bytes"]) == (7 * MIB, 7 * MIB)


def test_what_expires_is_told_by_its_end_and_narrowed_by_a_time_from_now() -> None:
    bank = opened_bank(1)
    bank.do(Buy(key="p", account="ann", bytes=7 * MIB, expires_at="2015-08-13T12:00:00+08:00"))
    bank.do(Usage(usage_id="u", account="ann", bytes=MIB, occurred_at=bank.clock.at))
    expiring = told(bank, "ann")["expiring"]
    assert [(CALENDAR.text(one["at"]), one["bytes"]) for one in expiring] == [
        ("2015-08-13T12:00:00+08:00", 6 * MIB),
        ("2015-09-01T00:00:00+08:00", 30 * MIB),
    ]
    assert [one["carries"] for each in expiring for one in each["lots"]] == [False, True]
    assert [each["bytes"] for each in told(bank, "ann", 7 * DAY_MS)["expiring"]] == [6 * MIB]
    assert told(bank, "ann", DAY_MS)["expiring"] == []


def test_a_changed_plan_and_a_hold_that_runs_out_are_foreseen() -> None:
    bank = opened_bank(1)
    bank.do(ChangePlan(key="c", account="ann", plan="std-100mb"))
    bank.do(Hold(key="h", account="ann", bytes=5 * MIB, deadline="2015-08-20T00:00:00+08:00"))
    bank.do(Transfer(key="t", account="ann", to="bob", bytes=10 * MIB))
    next_cycle = told(bank, "ann")["next_cycle"]
    assert (next_cycle["plan"], next_cycle["plan_bytes"]) == ("std-100mb", 100 * MIB)
    assert next_cycle["carried_bytes"] == 20 * MIB
    assert next_cycle["carry_over"]["mode"] == "auto_extend"


def test_a_forecast_before_the_first_touch_of_a_month_knows_its_plan_lot() -> None:
    bank = opened_bank(1)
    bank.at("2015-09-10T12:00:00")
    untouched = told(bank, "ann")
    bank.do(Touch(key="t", account="ann"))
    assert untouched == told(bank, "ann")


def test_a_closed_account_and_a_partner_have_no_next_plan() -> None:
    bank = opened_bank(1)
    bank.do(CloseAccount(key="end", account="ann"))
    for account in ("ann", "partner:didi"):
        assert told(bank, account)["expiring"] == []
        next_cycle = told(bank, account)["next_cycle"]
        assert (next_cycle["plan"], next_cycle["plan_bytes"]) == (None, 0)
