"""A hold pins bytes until its deadline: posted, released or timed out, and no byte is lost."""

from msgspec.structs import replace

from services.ledger.domain.commands import (
    CloseMonth,
    Hold,
    OpenAccount,
    Post,
    Release,
    Touch,
    Usage,
)
from services.ledger.domain.rules import RuleBook
from shared.contracts.ledger import HoldReleased
from tests.support.memory import CALENDAR, RULEBOOK, MemoryBank

MIB = 1 << 20


def two_friends(now: str = "2015-08-30T12:00:00") -> MemoryBank:
    bank = MemoryBank(partitions=2, now=now)
    people = ("ann", "bob", "cat")
    bank.do(*(OpenAccount(key="open", account=name, plan="std-30mb") for name in people))
    return bank


def hold(bank: MemoryBank, amount: int, deadline: str = "2015-09-02T12:00:00") -> str:
    outcome = bank.do(Hold(key=f"hold-{amount}", account="ann", bytes=amount, deadline=deadline))[0]
    assert outcome.status == "done", outcome
    return str(outcome.result["hold_id"])


def test_the_deadline_is_told_in_the_banks_zone_now_and_again() -> None:
    bank = two_friends()
    asked = Hold(key="h", account="ann", bytes=MIB, deadline="2015-09-02T04:00:00Z")
    for outcome in (*bank.do(asked), *bank.do(asked)):
        assert outcome.result["deadline"] == "2015-09-02T12:00:00+08:00"


def lots(bank: MemoryBank, name: str) -> dict[str, int]:
    return {lot.kind: lot.remaining for lot in bank.account(name).lots.values()}


def test_held_bytes_are_used_for_nothing_else() -> None:
    bank = two_friends()
    hold(bank, 25 * MIB)
    at = CALENDAR.parse("2015-08-30T11:00:00")
    used = bank.do(Usage(usage_id="u", account="ann", bytes=6 * MIB, occurred_at=at))[0]
    assert (used.spent_bytes, used.unfunded_bytes) == (5 * MIB, MIB)
    again = bank.do(Hold(key="more", account="ann", bytes=1, deadline="2015-09-01T00:00:00"))[0]
    assert (again.code, again.extra) == ("insufficient_data", {"available_bytes": 0})


def test_a_hold_is_posted_in_parts_to_several_receivers() -> None:
    bank = two_friends()
    name = hold(bank, 10 * MIB)
    bank.do(Post(key="p1", account="ann", hold_id=name, to="bob", bytes=4 * MIB))
    bank.do(Post(key="p2", account="ann", hold_id=name, to="cat"))
    bank.settle()
    assert lots(bank, "bob") == {"plan": 30 * MIB, "gift": 4 * MIB}
    assert lots(bank, "cat") == {"plan": 30 * MIB, "gift": 6 * MIB}
    assert bank.account("ann").holds == {}
    assert (
        bank.do(Post(key="p3", account="ann", hold_id=name, to="bob"))[0].code == "hold_not_found"
    )


def test_more_than_is_held_is_not_posted() -> None:
    bank = two_friends()
    name = hold(bank, MIB)
    outcome = bank.do(Post(key="p", account="ann", hold_id=name, to="bob", bytes=MIB + 1))[0]
    assert (outcome.code, outcome.extra) == ("hold_exceeded", {"held_bytes": MIB})


def test_a_release_gives_the_bytes_back_to_the_same_lots() -> None:
    bank = two_friends()
    before = bank.account("ann").lots
    name = hold(bank, 10 * MIB)
    bank.do(Release(key="r", account="ann", hold_id=name))
    assert bank.account("ann").lots == before


def test_a_hold_times_out_at_its_deadline_once_whoever_looks_first() -> None:
    bank = two_friends()
    name = hold(bank, 10 * MIB, "2015-08-31T12:00:00")
    bank.at("2015-08-31T12:00:00")
    assert bank.do(Post(key="p", account="ann", hold_id=name, to="bob"))[0].code == "hold_not_found"
    bank.do(Touch(key="t", account="ann"), Touch(key="t", account="ann"))
    released = [event for event in bank.of("ann").events() if isinstance(event, HoldReleased)]
    assert [event.cause for event in released] == ["timed_out"]
    assert lots(bank, "ann") == {"plan": 30 * MIB}


def test_what_is_posted_after_the_close_travels_on_the_carry_lots_terms() -> None:
    bank = two_friends()
    name = hold(bank, 10 * MIB)
    bank.at("2015-09-01T06:00:00")
    closed = bank.do(CloseMonth(key="c", account="ann", month="2015-08"))[0]
    assert closed.result["carried_bytes"] == 20 * MIB
    bank.do(Post(key="p", account="ann", hold_id=name, to="bob"))
    bank.settle()
    gift = next(lot for lot in bank.account("bob").lots.values() if lot.kind == "gift")
    assert gift.expires_at == CALENDAR.month_end("2015-09")
    assert bank.account("bob").expired == 0
    assert "plan:2015-08" not in bank.account("ann").lots


def test_what_is_posted_after_the_lots_end_and_would_not_carry_arrives_and_expires() -> None:
    bank = MemoryBank(partitions=2, now="2015-08-30T12:00:00")
    for name, plan in (("ann", "basic-10mb"), ("bob", "std-30mb")):
        bank.do(OpenAccount(key="open", account=name, plan=plan))
    name = hold(bank, 5 * MIB)
    bank.at("2015-09-01T00:00:00")
    bank.do(Post(key="p", account="ann", hold_id=name, to="bob"))
    bank.settle()
    assert (bank.account("bob").received, bank.account("bob").expired) == (5 * MIB, 5 * MIB)


def test_what_times_out_after_the_close_is_carried_over_like_the_rest() -> None:
    bank = two_friends()
    hold(bank, 10 * MIB)
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    bank.at("2015-09-02T12:00:00")
    bank.do(Touch(key="t", account="ann"))
    assert lots(bank, "ann") == {"carry": 30 * MIB, "plan": 30 * MIB}


def test_a_post_that_nobody_takes_comes_back_free() -> None:
    bank = two_friends()
    name = hold(bank, 10 * MIB)
    bank.do(Post(key="p", account="ann", hold_id=name, to="nobody", bytes=4 * MIB))
    bank.settle()
    account = bank.account("ann")
    assert (account.lots["plan:2015-08"].remaining, account.lots["plan:2015-08"].held) == (
        30 * MIB,
        6 * MIB,
    )


def test_deadlines_lie_ahead_and_not_too_far() -> None:
    bank = two_friends()
    codes = [
        bank.do(Hold(key="k", account="ann", bytes=1, deadline=deadline))[0].code
        for deadline in ("soon", "2015-08-30T12:00:00", "2015-10-01T12:00:00")
    ]
    assert codes == ["time_invalid", "deadline_in_past", "deadline_too_far"]


def test_what_held_parts_carry_away_counts_against_the_cap() -> None:
    rulebook = capped(5 * MIB)
    bank = MemoryBank(partitions=2, now="2015-08-30T12:00:00", rulebook=rulebook)
    people = ("ann", "bob", "cat")
    bank.do(*(OpenAccount(key="open", account=name, plan="std-30mb") for name in people))
    name = hold(bank, 30 * MIB)
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    bank.do(Post(key="p1", account="ann", hold_id=name, to="bob", bytes=15 * MIB))
    bank.do(Post(key="p2", account="ann", hold_id=name, to="cat"))
    bank.settle()
    carried = [bank.account(who).received - bank.account(who).expired for who in ("bob", "cat")]
    assert carried == [5 * MIB, 0]
    assert bank.account("ann").balances()


def capped(cap_bytes: int) -> RuleBook:
    """Return the built-in rules with a cap on what a month carries over."""
    rules = RULEBOOK.latest()
    plan = rules.plans["std-30mb"]
    carry_over = replace(plan.carry_over, cap_bytes=cap_bytes)
    plans = {**rules.plans, "std-30mb": replace(plan, carry_over=carry_over)}
    return RuleBook([(0, replace(rules, plans=plans))])
