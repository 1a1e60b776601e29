"""`why`: which lots paid for a usage record, from the log, with and without the account's name."""

from typing import Any

import pytest

from services.ledger.domain.commands import (
    Buy,
    CloseMonth,
    OpenAccount,
    Reverse,
    Transfer,
    Usage,
)
from services.ledger.questions import why
from shared.errors import RefusedError
from tests.support.ledger import MIB, RealLedger
from tests.support.memory import CALENDAR, OPERATOR

AT = CALENDAR.parse("2015-08-10T12:00:00")


def use(usage_id: str, amount: int, account: str = "ann") -> Usage:
    return Usage(usage_id=usage_id, account=account, bytes=amount, occurred_at=AT)


@pytest.fixture
def lived(ledger: RealLedger) -> RealLedger:
    """Two subscribers with some usage; ann's second record takes from two lots and none."""
    names = ("ann", "bob", "cat", "dan")
    ledger.do(*(OpenAccount(key="o", account=one, plan="std-30mb") for one in names))
    ledger.do(Buy(key="p", account="ann", bytes=4 * MIB))
    ledger.do(use("u1", MIB), use("u2", 37 * MIB), use("same", 1), use("same", 1, "bob"))
    return ledger


def test_why_names_each_lot_that_paid_and_what_none_did(lived: RealLedger) -> None:
    for account in ("ann", None):
        answer = why(lived.ledger, "u2", account, CALENDAR)
        pack = next(one["lot_id"] for one in answer["slices"] if one["kind"] == "pack")
        paid = {one["lot_id"]: one["bytes"] for one in answer["slices"]}
        assert sum(paid.values()) == 33 * MIB
        assert set(paid) == {"plan:2015-08", pack}
        assert (answer["account"], answer["bytes"], answer["unfunded_bytes"]) == (
            "ann", 37 * MIB, 4 * MIB,
        )  # fmt: skip
        assert answer["sponsored_bytes"] == 0
        assert answer["rule_version"] == 1
        assert answer["event_ids"] == ["ann:4"]
        assert answer["occurred_at"] == "2015-08-10T12:00:00+08:00"
        assert answer["reversed"] is None
        assert not answer["late"]


def test_why_of_a_reversed_record_says_so(lived: RealLedger) -> None:
    lived.do(Reverse(key="r", account="ann", usage_id="u1", reason="a broken element"))
    answer = why(lived.ledger, "u1", "ann", CALENDAR)
    assert answer["reversed"]["restored_bytes"] == MIB
    assert answer["reversed"]["reason"] == "a broken element"
    charged, undone = answer["event_ids"]
    assert charged == "ann:4"
    assert undone > charged
    assert sum(one["bytes"] for one in answer["slices"]) == MIB


def test_an_unknown_record_is_not_found_and_a_shared_id_asks_whose(lived: RealLedger) -> None:
    for usage_id, account in (("none", None), ("u1", "bob"), ("none", "ann")):
        with pytest.raises(RefusedError) as refusal:
            why(lived.ledger, usage_id, account, CALENDAR)
        assert (refusal.value.code, refusal.value.status) == ("usage_not_found", 404)
    with pytest.raises(RefusedError) as refusal:
        why(lived.ledger, "same", None, CALENDAR)
    assert (refusal.value.code, refusal.value.extra) == (
        "usage_ambiguous", {"accounts": ["ann", "bob"]},
    )  # fmt: skip
    assert why(lived.ledger, "same", "bob", CALENDAR)["account"] == "bob"


def test_the_records_sum_to_what_the_account_has_spent(lived: RealLedger) -> None:
    lived.at("2015-09-02T09:00:00")
    lived.do(CloseMonth(key="c", account="ann", month="2015-08"))
    lived.do(use("late", 3 * MIB))
    assert why(lived.ledger, "late", None, CALENDAR)["late"]
    answers = [why(lived.ledger, one, "ann", CALENDAR) for one in ("u1", "u2", "same", "late")]
    state, _ = lived.ledger.account("ann")
    slices = [part for answer in answers for part in answer["slices"]]
    assert sum(part["bytes"] for part in slices) == state.spent
    assert sum(answer["unfunded_bytes"] for answer in answers) == state.unfunded


def test_a_dry_run_says_what_will_happen_and_leaves_every_table_as_it_was(
    lived: RealLedger,
) -> None:
    asked: list[Any] = [
        Transfer(key="t", account="ann", to="bob", bytes=1),
        Transfer(key="u", account="bob", to="ann", bytes=5 * MIB),
        Buy(key="p", account="ann", bytes=4 * MIB),
        Buy(key="p", account="ann", bytes=5 * MIB),
        OpenAccount(key="o", account="new", plan="std-30mb", active_from="2015-06"),
        Transfer(key="v", account="new", to="ann", bytes=30 * MIB),
        Reverse(key="r", account="ann", usage_id="u1", reason="a broken element"),
        Reverse(key="r", account="bob", usage_id="u1", reason="a broken element"),
        use("u1", MIB), use("u1", 2 * MIB), use("u9", 40 * MIB, "cat"),
    ]  # fmt: skip
    before = everything(lived)
    rehearsed = lived.ledger.rehearse(asked, "operator", OPERATOR)
    assert everything(lived) == before
    assert rehearsed == lived.do(*asked)
    assert everything(lived) != before
    assert [each.code for each in rehearsed] == [
        "insufficient_data", None, None, "conflict", None, None, None, "usage_not_found",
        None, "conflict", None,
    ]  # fmt: skip
    assert rehearsed[2].repeated
    assert lived.verified()["accounts"] == 5


def everything(ledger: RealLedger) -> list[object]:
    tables = ("stored_events", "command_keys", "account_state", "inbox_positions", "jobs")
    return [
        ledger.rows(number, f"SELECT * FROM {table} ORDER BY 1, 2")
        for number in range(len(ledger.partitions))
        for table in tables
    ]
