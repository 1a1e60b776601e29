"""The dry run's replay: the same rules change nobody, others change what they say."""

from random import Random

import msgspec

from services.ledger.codec import decode_event
from services.ledger.domain.commands import (
    Adjust,
    AnyCommand,
    Buy,
    CloseMonth,
    Hold,
    OpenAccount,
    Post,
    Release,
    Reverse,
    Transfer,
    Usage,
)
from services.ledger.domain.replay import Closing, Replay
from services.ledger.domain.rules import CarryOver, Plan, Rules
from shared.contracts.ledger import Event
from shared.contracts.offers import Offer
from shared.ids import digest, stream_id
from tests.support.memory import CALENDAR, RULEBOOK, MemoryBank

MIB = 1 << 20
RULES = RULEBOOK.latest()
PEOPLE = ["ann", "bob", "cat"]


def events_of(bank: MemoryBank, name: str) -> list[Event]:
    stream = stream_id(name)
    return [decode_event(*row[2:]) for row in bank.of(name).log if row[0] == stream]


def replayed(bank: MemoryBank, name: str, month: str, rules: Rules) -> tuple[Closing, Closing]:
    found = Replay(month, rules, RULEBOOK, CALENDAR).of(events_of(bank, name))
    assert found is not None
    return found


def with_carry_over(carry_over: CarryOver) -> Rules:
    plans = {name: Plan(plan.bytes_per_month, carry_over) for name, plan in RULES.plans.items()}
    return msgspec.structs.replace(RULES, plans=plans)


def live(bank: MemoryBank, random: Random, month: str) -> None:
    """Let a month pass in which everybody does something."""
    for day in range(2, 28):
        bank.at(f"{month}-{day:02d}T12:00:00")
        for name in PEOPLE:
            key, amount = f"{month}-{day}-{name}", random.randrange(1, 3 * MIB)
            other = random.choice([each for each in PEOPLE if each != name])
            hold_id = digest("operator", name, f"{month}-{day - 1}-{name}").hex()
            choices: list[AnyCommand | Usage] = [
                Usage(usage_id=key, account=name, bytes=amount, occurred_at=bank.clock.at),
                Buy(key=key, account=name, bytes=amount),
                Transfer(key=key, account=name, to=other, bytes=amount),
                Hold(
                    key=key,
                    account=name,
                    bytes=amount,
                    deadline=f"{month}-{day + 1:02d}T18:00:00",
                ),
                Release(key=key, account=name, hold_id=hold_id),
                Post(key=key, account=name, hold_id=hold_id, to=other),
                Adjust(key=key, account=name, direction="take", bytes=amount, reason="test"),
            ]
            bank.do(random.choice(choices))
        bank.settle()


def test_the_rules_in_force_change_nobody() -> None:
    for seed in range(20):
        random = Random(seed)
        bank = MemoryBank(now="2015-08-01T00:00:00")
        bank.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in PEOPLE))
        for month, end in (("2015-08", "2015-09-01T06:00:00"), ("2015-09", "2015-10-01T06:00:00")):
            live(bank, random, month)
            bank.at(end)
            bank.do(*(CloseMonth(key=f"c{month}", account=name, month=month) for name in PEOPLE))
        for name in PEOPLE:
            for month in ("2015-08", "2015-09"):
                before, after = replayed(bank, name, month, RULES)
                assert before == after
                assert before.carried + before.expired > 0


def story() -> MemoryBank:
    bank = MemoryBank(now="2015-08-01T00:00:00")
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    bank.at("2015-08-20T00:00:00")
    bank.do(Usage(usage_id="u", account="ann", bytes=10 * MIB, occurred_at=bank.clock.at))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    return bank


def test_without_carry_over_what_was_carried_would_have_expired() -> None:
    before, after = replayed(story(), "ann", "2015-08", with_carry_over(CarryOver()))
    assert before == Closing(carried=20 * MIB)
    assert after == Closing(expired=20 * MIB)


def test_a_cap_and_a_share_take_their_part() -> None:
    half = CarryOver(mode="auto_extend", share_percent=50, cap_bytes=8 * MIB)
    _, after = replayed(story(), "ann", "2015-08", with_carry_over(half))
    assert after == Closing(carried=8 * MIB, expired=12 * MIB)


def test_a_larger_plan_leaves_more_to_carry_over() -> None:
    plans = {**RULES.plans, "std-30mb": Plan(50 * MIB, RULES.plans["std-30mb"].carry_over)}
    larger = msgspec.structs.replace(RULES, plans=plans)
    _, after = replayed(story(), "ann", "2015-08", larger)
    assert after == Closing(carried=40 * MIB)


def test_what_a_campaign_paid_stays_paid() -> None:
    bank = story_of(
        Usage(usage_id="s", account="ann", bytes=5 * MIB, occurred_at=0), sponsored=True
    )
    before, after = replayed(bank, "ann", "2015-08", RULES)
    assert before == after == Closing(carried=30 * MIB)


def test_a_reversed_record_gives_back_what_it_took_this_time() -> None:
    bank = story_of(Usage(usage_id="r", account="ann", bytes=20 * MIB, occurred_at=0), undo=True)
    plans = {**RULES.plans, "std-30mb": Plan(10 * MIB, RULES.plans["std-30mb"].carry_over)}
    smaller = msgspec.structs.replace(RULES, plans=plans)
    before, after = replayed(bank, "ann", "2015-08", smaller)
    assert before == Closing(carried=30 * MIB)
    assert after == Closing(carried=10 * MIB)


def test_a_record_is_undone_after_the_close_that_forgot_its_lot() -> None:
    bank = MemoryBank(now="2015-08-01T00:00:00")
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    bank.at("2015-09-01T00:10:00")
    # A late record of August takes all of August's lot; the close then forgets it.
    late = CALENDAR.parse("2015-08-31T23:00:00")
    bank.do(Usage(usage_id="late", account="ann", bytes=30 * MIB, occurred_at=late))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c8", account="ann", month="2015-08"))
    bank.at("2015-09-10T00:00:00")
    bank.do(Reverse(key="undo", account="ann", usage_id="late", reason="wrong"))
    bank.at("2015-10-01T06:00:00")
    bank.do(CloseMonth(key="c9", account="ann", month="2015-09"))
    before, after = replayed(bank, "ann", "2015-09", RULES)
    assert before == after
    assert before.carried + before.expired > 0


def story_of(record: Usage, *, sponsored: bool = False, undo: bool = False) -> MemoryBank:
    """A month with one record, that a campaign pays, or that is reversed."""
    bank = MemoryBank(now="2015-08-01T00:00:00")
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    if sponsored:
        bank.sponsor(
            Offer(
                campaign="campaign:any", version=1, partner="partner:any", sponsor_id="s",
                asp_id="a", rating_group="any", starts_at=0, budget="unlimited",
            )
        )  # fmt: skip
    bank.at("2015-08-20T00:00:00")
    bank.do(msgspec.structs.replace(record, occurred_at=bank.clock.at))
    if undo:
        bank.do(Reverse(key="undo", account="ann", usage_id=record.usage_id, reason="wrong"))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    return bank


def test_a_month_that_is_not_closed_is_not_replayed() -> None:
    assert Replay("2015-09", RULES, RULEBOOK, CALENDAR).of(events_of(story(), "ann")) is None
