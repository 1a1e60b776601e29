"""Thresholds are told once per crossing, and again only after the balance was above them."""

import re

import msgspec
import pytest

from services.ledger.codec import decode_event
from services.ledger.command_schemas import command_schemas
from services.ledger.domain.commands import (
    Adjust,
    AwardOnTerms,
    Buy,
    ChangePlan,
    CloseMonth,
    OpenAccount,
    SetThresholds,
    Touch,
    Transfer,
    Usage,
)
from services.ledger.domain.context import HOUSEKEEPING, Context
from services.ledger.domain.monitors import DAY_MS, crossings, due_at, watched
from services.ledger.domain.rules import (
    CarryOver,
    GivenThresholds,
    RuleBook,
    Rules,
    RulesThresholds,
)
from shared.calendar import add_months
from shared.contracts.ledger import ThresholdCrossed
from shared.contracts.offers import RewardTerms
from shared.ids import stream_id
from tests.support.gateway import PEOPLE, funded_bank, lived_bank
from tests.support.memory import (
    CALENDAR,
    LIMITS,
    PLAN,
    RULEBOOK,
    CrashError,
    MemoryBank,
    carrying,
    expired_by_close,
)

MIB = 1 << 20


@pytest.fixture
def bank() -> MemoryBank:
    made = MemoryBank(now="2015-08-10T12:00:00")
    made.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in ("ann", "bob")))
    return made


def told(bank: MemoryBank, name: str = "ann") -> list[str]:
    stream = stream_id(name)
    events = [decode_event(*row[2:]) for row in bank.of(name).log if row[0] == stream]
    return [event.name for event in events if isinstance(event, ThresholdCrossed)]


def use(bank: MemoryBank, name: str, amount: int, crash: str = "") -> None:
    at = bank.clock.at
    bank.do(Usage(usage_id=name, account="ann", bytes=amount, occurred_at=at), crash=crash)


def test_eighty_and_a_hundred_percent_of_the_plan_and_a_low_balance_are_told_once(bank):
    use(bank, "u1", 23 * MIB)
    assert told(bank) == []
    use(bank, "u2", 1 * MIB)
    assert told(bank) == ["plan_used:80"]
    use(bank, "u3", 2 * MIB)
    assert told(bank) == ["plan_used:80"]
    use(bank, "u4", 10 * MIB)
    assert told(bank)[1:] == ["plan_used:100", f"low_balance:{MIB}"]
    use(bank, "u5", 10 * MIB)
    assert len(told(bank)) == 3


def test_records_of_one_batch_cross_once(bank):
    at = bank.clock.at
    bank.do(*(Usage(usage_id=f"u{n}", account="ann", bytes=MIB, occurred_at=at) for n in range(27)))
    assert told(bank) == ["plan_used:80"]


def test_what_came_above_again_is_told_again(bank):
    use(bank, "u1", 30 * MIB)
    assert told(bank)[2:] == [f"low_balance:{MIB}"]
    bank.do(Buy(key="b", account="ann", bytes=5 * MIB))
    assert len(told(bank)) == 3
    use(bank, "u2", 5 * MIB)
    assert told(bank)[3:] == [f"low_balance:{MIB}"]


def test_each_month_has_its_own_crossings(bank):
    use(bank, "u1", 25 * MIB)
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    use(bank, "u2", 28 * MIB)
    assert told(bank) == ["plan_used:80"]
    use(bank, "u3", 2 * MIB)
    assert told(bank) == ["plan_used:80", "plan_used:80"]


def test_a_gift_out_of_the_plan_counts_as_used(bank):
    bank.do(Transfer(key="g", account="ann", to="bob", bytes=24 * MIB))
    assert told(bank) == ["plan_used:80"]


@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_crash_changes_nothing_about_once(bank, crash):
    with pytest.raises(CrashError):
        use(bank, "u1", 25 * MIB, crash)
    use(bank, "u1", 25 * MIB)
    assert told(bank) == ["plan_used:80"]


def touch(bank: MemoryBank, at: str) -> int | None:
    bank.at(at)
    bank.do(Touch(key="due", account="ann"))
    context = Context(bank.clock.at, CALENDAR, bank.partitions[0].rulebook)
    account = bank.account("ann")
    return due_at(account, watched(account, context), context)


def test_bytes_that_end_are_told_seven_and_three_days_before(bank):
    bank.do(Buy(key="b", account="ann", bytes=MIB, expires_at="2015-08-28T00:00:00"))
    assert touch(bank, "2015-08-20T23:59:59") == CALENDAR.parse("2015-08-21T00:00:00")
    assert told(bank) == []
    assert touch(bank, "2015-08-21T00:00:00") == CALENDAR.parse("2015-08-25T00:00:00")
    assert told(bank) == ["expiring:7"]
    touch(bank, "2015-08-22T00:00:00")
    assert told(bank) == ["expiring:7"]
    assert touch(bank, "2015-08-25T00:00:00") is None
    assert told(bank) == ["expiring:7", "expiring:3"]
    assert touch(bank, "2015-08-29T00:00:00") is None
    assert len(told(bank)) == 2


def test_what_a_batch_brings_after_its_first_look_is_told_too(bank):
    bank.do(
        Buy(key="b1", account="ann", bytes=MIB, expires_at="2015-08-28T00:00:00"),
        Buy(key="b2", account="ann", bytes=MIB, expires_at="2015-08-15T00:00:00"),
    )
    assert told(bank) == ["expiring:7"]


def test_what_the_close_will_carry_over_does_not_end(bank):
    assert touch(bank, "2015-08-30T00:00:00") is None
    assert told(bank) == []
    bank.do(ChangePlan(key="p", account="ann", plan="basic-10mb"))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    assert touch(bank, "2015-09-25T00:00:00") is not None
    assert told(bank) == ["expiring:7"]


def expiring(bank: MemoryBank, days: int = 3) -> list[dict[str, int]]:
    """Return what was told to end within so many days, each time by lot."""
    return [
        {part.lot_id: part.bytes for part in event.slices}
        for event in bank.told(ThresholdCrossed)
        if (event.account, event.name) == ("ann", f"expiring:{days}")
    ]


def test_of_what_carries_over_in_part_the_rest_is_told() -> None:
    half = MemoryBank(
        now="2015-08-10T12:00:00",
        rulebook=carrying(CarryOver(mode="auto_extend", share_percent=50)),
    )
    half.do(OpenAccount(key="o", account="ann", plan=PLAN))
    use(half, "u", 11 * MIB)
    assert touch(half, "2015-08-20T00:00:00") == CALENDAR.parse("2015-08-25T00:00:00")
    assert touch(half, "2015-08-25T00:00:00") == CALENDAR.parse("2015-08-29T00:00:00")
    touch(half, "2015-08-29T00:00:00")
    assert told(half) == ["expiring:7", "expiring:3"]
    rest = 19 * MIB - 19 * MIB // 2
    assert expiring(half) == expiring(half, 7) == [{"plan:2015-08": rest}]
    half.at("2015-09-01T06:00:00")
    (outcome,) = half.do(CloseMonth(key="c", account="ann", month="2015-08"))
    assert outcome.result["expired_bytes"] == rest


def test_what_comes_above_a_cap_is_told_again() -> None:
    capped = MemoryBank(
        now="2015-08-10T12:00:00",
        rulebook=carrying(CarryOver(mode="auto_extend", cap_bytes=20 * MIB)),
    )
    capped.do(OpenAccount(key="o", account="ann", plan=PLAN))
    use(capped, "u", 10 * MIB)
    assert touch(capped, "2015-08-30T00:00:00") is None
    assert told(capped) == []
    capped.do(Buy(key="b", account="ann", bytes=3 * MIB))
    assert expiring(capped) == [{"plan:2015-08": 3 * MIB}]
    capped.at("2015-08-30T01:00:00")
    capped.do(Buy(key="b2", account="ann", bytes=2 * MIB))
    assert expiring(capped)[1:] == [{"plan:2015-08": 5 * MIB}]
    touch(capped, "2015-08-31T00:00:00")
    assert len(expiring(capped)) == 2


def test_what_has_ended_and_will_be_carried_over_has_its_part_of_the_cap() -> None:
    bank = funded_bank(rulebook=carrying(CarryOver(mode="auto_extend", cap_bytes=20 * MIB)))
    terms = RewardTerms(
        kind="pack", valid_from=bank.clock.at, carries=True,
        expires_at=CALENDAR.parse("2015-08-20T00:00:00"),
    )  # fmt: skip
    bank.do(
        AwardOnTerms(key="a", account="campaign:ride", subscriber="ann", bytes=8 * MIB, terms=terms)
    )
    bank.settle()
    touch(bank, "2015-08-29T00:00:00")
    assert expiring(bank) == [{"plan:2015-08": 18 * MIB}]
    assert expired_by_close(bank, "ann") == {"plan:2015-08": 18 * MIB}


def test_the_close_that_comes_decides_and_not_todays_rules(bank: MemoryBank) -> None:
    later = msgspec.structs.replace(carrying(CarryOver()).latest(), version=2)
    book = RULEBOOK.with_versions([(CALENDAR.parse("2015-08-31T00:00:00"), later)])
    for partition in bank.partitions:
        partition.rulebook = book
    touch(bank, "2015-08-25T00:00:00")
    assert expiring(bank, 7) == [{"plan:2015-08": 30 * MIB}]


@pytest.mark.parametrize("limit", LIMITS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_to_end_is_what_the_close_lets_expire(seed: int, limit: CarryOver) -> None:
    bank = lived_bank(seed, steps=40, rulebook=carrying(limit))
    bank.settle()
    month = CALENDAR.month_of(bank.clock.at)
    # A month that is still open would carry over into this one.
    earlier = add_months(month, -1)
    bank.do(*(CloseMonth(key="c", account=name, month=earlier) for name in PEOPLE))
    ends_at = CALENDAR.month_end(month)
    bank.clock.at = max(bank.clock.at, ends_at - 3 * DAY_MS)
    bank.do(*(Touch(key="t", account=name) for name in PEOPLE))
    for name in PEOPLE:
        account = bank.account(name)
        if account.holds:  # What they pin comes back later, or never.
            continue
        # As if nothing had been told before.
        account.crossed.clear()
        context = Context(bank.clock.at, CALENDAR, bank.partitions[0].rulebook)
        events = crossings(account, watched(account, context), context, HOUSEKEEPING)
        parts = {
            part.lot_id: part.bytes
            for event in events
            if event.name == "expiring:3"
            for part in event.slices
            if account.lots[part.lot_id].expires_at <= ends_at
        }
        running = {lot.lot_id for lot in account.lots.values() if lot.expires_at > bank.clock.at}
        expired = expired_by_close(bank, name)
        assert parts == {lot: amount for lot, amount in expired.items() if lot in running}


def test_bytes_that_came_after_the_telling_are_told_too(bank):
    bank.do(Buy(key="b", account="ann", bytes=MIB, expires_at="2015-08-28T00:00:00"))
    touch(bank, "2015-08-26T00:00:00")
    assert told(bank) == ["expiring:7", "expiring:3"]
    bank.at("2015-08-26T01:00:00")
    bank.do(Buy(key="b2", account="ann", bytes=MIB, expires_at="2015-08-27T00:00:00"))
    assert told(bank)[2:] == ["expiring:7", "expiring:3"]


def test_an_account_may_have_thresholds_of_its_own_and_the_rules_ones_again(bank):
    own = GivenThresholds(plan_used_percent=[50], low_balance_bytes=20 * MIB)
    bank.do(SetThresholds(key="s", account="ann", thresholds=own))
    use(bank, "u1", 15 * MIB)
    assert told(bank) == ["plan_used:50", f"low_balance:{20 * MIB}"]
    use(bank, "u2", 10 * MIB)
    assert len(told(bank)) == 2
    bank.do(SetThresholds(key="s2", account="ann"))
    assert told(bank)[2:] == ["plan_used:80"]
    assert bank.account("ann").thresholds is None


def test_a_threshold_that_stands_twice_in_older_rules_is_told_once():
    twice = RulesThresholds(plan_used_percent=[80, 80], expiring_days=[3, 3])
    rules = msgspec.structs.replace(RULEBOOK.latest(), thresholds=twice)
    bank = MemoryBank(now="2015-08-10T12:00:00", rulebook=RuleBook([(0, rules)]))
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    use(bank, "u", 25 * MIB)
    bank.do(Buy(key="b", account="ann", bytes=MIB, expires_at="2015-08-12T00:00:00"))
    assert told(bank) == ["plan_used:80", "expiring:3"]


@pytest.mark.parametrize("field", ["plan_used_percent", "expiring_days"])
def test_a_threshold_of_an_account_stands_once(field):
    with pytest.raises(ValueError, match=f"{field} has 9 more than once"):
        msgspec.convert({field: [9, 3, 9]}, GivenThresholds)


def test_without_thresholds_nothing_is_told(bank):
    bank.do(SetThresholds(key="s", account="ann", thresholds=GivenThresholds()))
    use(bank, "u1", 40 * MIB)
    assert told(bank) == []


def test_the_event_says_what_is_left(bank):
    bank.do(Adjust(key="a", account="ann", direction="take", bytes=25 * MIB, reason="test"))
    state = bank.of("ann").log[-1][3]
    assert msgspec.json.decode(state) == {
        "account": "ann", "recorded_at": bank.clock.at, "actor": "ledger",
        "correlation_id": "request", "rule_version": 1, "threshold": "plan_used", "value": 80,
        "available_bytes": 5 * MIB, "level_bytes": 6 * MIB, "lot_id": "plan:2015-08",
    }  # fmt: skip


@pytest.mark.parametrize("kind", [GivenThresholds, SetThresholds, Rules])
def test_unknown_thresholds_are_refused_where_they_are_given(kind):
    given: dict[str, object] = {"plan_used_percent": [50], "data_used_percent": [50]}
    if kind is SetThresholds:
        given = {"type": "set_thresholds", "key": "k", "account": "ann", "thresholds": given}
    elif kind is Rules:
        given = msgspec.to_builtins(RULEBOOK.latest()) | {"thresholds": given}
    with pytest.raises(msgspec.ValidationError, match="data_used_percent"):
        msgspec.convert(given, kind)


def test_the_schema_of_a_command_has_all_its_parts():
    for row in command_schemas():
        schema = row["schema"]
        for name in re.findall(r"#/\$defs/(\w+)", str(schema)):
            assert schema["$defs"][name]["additionalProperties"] is False
