"""The dry run's replay: the same rules change nobody, others change what they say."""

from random import Random
from typing import Any

import msgspec
import pytest

from services.ledger.codec import decode_event
from services.ledger.domain.commands import (
    Adjust,
    AnyCommand,
    AwardOnTerms,
    Buy,
    CloseAccount,
    CloseMonth,
    Fund,
    Hold,
    OpenAccount,
    Post,
    Release,
    Reverse,
    Transfer,
    Usage,
)
from services.ledger.domain.replay import Closing, Replay, on_other_terms
from services.ledger.domain.rules import CarryOver, Plan, Rules
from shared.contracts.ledger import Event
from shared.contracts.offers import AtCap, Caps, Hours, Offer, RewardTerms
from shared.ids import digest, quota_of, stream_id
from tests.support.memory import CALENDAR, RULEBOOK, MemoryBank

MIB = 1 << 20
RULES = RULEBOOK.latest()
PEOPLE = ["ann", "bob", "cat"]
PARTNER, RIDES = "partner:rides", "campaign:rides"


def events_of(bank: MemoryBank, name: str) -> list[Event]:
    stream = stream_id(name)
    return [decode_event(*row[2:]) for row in bank.of(name).log if row[0] == stream]


def closings(
    bank: MemoryBank, name: str, month: str, rules: Rules, *, blocked: bool = False
) -> tuple[Closing, Closing]:
    blocking = {(RIDES, 1)} if blocked else set()
    found = Replay(month, rules, RULEBOOK, CALENDAR, blocking).of(events_of(bank, name))
    assert found is not None
    return found


def replayed(
    bank: MemoryBank, name: str, month: str, rules: Rules, *, blocked: bool = False
) -> tuple[Closing, Closing]:
    """Return both closings without their terms: how much, and no matter on which."""
    before, after = closings(bank, name, month, rules, blocked=blocked)
    return Closing(before.carried, before.expired), Closing(after.carried, after.expired)


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
                before, after = closings(bank, name, month, RULES)
                assert before == after
                assert sum(before.terms.values()) == before.carried
                assert on_other_terms(before, after) == 0
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


OCTOBER, YEAR_LATER = (CALENDAR.parse(f"{month}-01T00:00:00") for month in ("2015-10", "2016-09"))


@pytest.mark.parametrize(
    ("carry_over", "terms", "changed"),
    [
        (CarryOver(mode="auto_extend"), {("carry", OCTOBER): 20 * MIB}, 0),
        (CarryOver(mode="convert_to_voucher"), {("voucher", OCTOBER): 20 * MIB}, 20 * MIB),
        (CarryOver(mode="auto_extend", months=12), {("carry", YEAR_LATER): 20 * MIB}, 20 * MIB),
        # Of what is carried over both times; the rest is a matter of how much.
        (
            CarryOver(mode="convert_to_voucher", share_percent=50),
            {("voucher", OCTOBER): 10 * MIB},
            10 * MIB,
        ),
        (CarryOver(mode="auto_extend", share_percent=50), {("carry", OCTOBER): 10 * MIB}, 0),
        (CarryOver(), {}, 0),
    ],
)
def test_what_is_carried_over_on_other_terms_is_a_change(carry_over, terms, changed):
    before, after = closings(story(), "ann", "2015-08", with_carry_over(carry_over))
    assert before.terms == {("carry", OCTOBER): 20 * MIB}
    assert after.terms == terms
    assert on_other_terms(before, after) == changed


def test_a_cap_and_a_share_take_their_part() -> None:
    half = CarryOver(mode="auto_extend", share_percent=50, cap_bytes=8 * MIB)
    _, after = replayed(story(), "ann", "2015-08", with_carry_over(half))
    assert after == Closing(carried=8 * MIB, expired=12 * MIB)


def with_plan_of(bytes_per_month: int) -> Rules:
    """Return the rules with this much in the plan that everybody has."""
    plan = Plan(bytes_per_month, RULES.plans["std-30mb"].carry_over)
    return msgspec.structs.replace(RULES, plans={**RULES.plans, "std-30mb": plan})


def test_a_larger_plan_leaves_more_to_carry_over() -> None:
    _, after = replayed(story(), "ann", "2015-08", with_plan_of(50 * MIB))
    assert after == Closing(carried=40 * MIB)


@pytest.mark.parametrize("used", [10 * MIB, 30 * MIB])
def test_of_a_closed_account_nothing_would_have_been_carried_over(used: int) -> None:
    bank = MemoryBank(now="2015-08-01T00:00:00")
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    bank.do(Usage(usage_id="u", account="ann", bytes=used, occurred_at=bank.clock.at))
    bank.do(CloseAccount(key="end", account="ann"))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    before, after = replayed(bank, "ann", "2015-08", with_plan_of(50 * MIB))
    assert before == after == Closing()


def test_what_comes_back_to_a_closed_account_would_have_expired_too() -> None:
    bank = MemoryBank(now="2015-08-01T00:00:00")
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    bank.do(Usage(usage_id="u", account="ann", bytes=40 * MIB, occurred_at=bank.clock.at))
    bank.do(CloseAccount(key="end", account="ann"))
    bank.do(Reverse(key="undo", account="ann", usage_id="u", reason="wrong"))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    before, after = replayed(bank, "ann", "2015-08", with_plan_of(50 * MIB))
    assert before == after == Closing()


def funded(now: str) -> MemoryBank:
    """A subscriber, and a campaign of 10 MiB that end with September."""
    bank = MemoryBank(now=now)
    bank.do(
        OpenAccount(key="o", account="ann", plan="std-30mb"),
        OpenAccount(key="o", account=PARTNER),
        OpenAccount(key="o", account=RIDES, partner=PARTNER),
        Buy(key="b", account=PARTNER, bytes=10 * MIB, expires_at="2015-10-01T00:00:00"),
        Fund(key="f", account=PARTNER, campaign=RIDES, bytes=10 * MIB),
    )
    bank.settle()
    return bank


def test_at_noon_a_pack_for_the_night_pays_nothing() -> None:
    bank = funded("2015-08-01T00:00:00")
    night = RewardTerms(
        kind="pack", valid_from=bank.clock.at, expires_at=CALENDAR.parse("2015-08-25T00:00:00"),
        hours=Hours(begins=22 * 60, ends=6 * 60),
    )  # fmt: skip
    bank.do(AwardOnTerms(key="a", account=RIDES, subscriber="ann", bytes=4 * MIB, terms=night))
    bank.settle()
    bank.at("2015-08-20T12:00:00")
    bank.do(Usage(usage_id="u", account="ann", bytes=10 * MIB, occurred_at=bank.clock.at))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    before, after = replayed(bank, "ann", "2015-08", RULES)
    assert before == after == Closing(carried=20 * MIB, expired=4 * MIB)


def test_a_quota_pays_late_records_out_of_what_it_had_when_they_were_charged() -> None:
    bank = funded("2015-09-01T00:05:00")
    bank.sponsor(offer(budget="escrow"))
    at = CALENDAR.parse("2015-08-31T23:55:00")
    late = Usage(usage_id="late", account="ann", bytes=4 * MIB, occurred_at=at)
    assert bank.do(late)[0].status == "retry"
    bank.settle()
    assert bank.do(late)[0].sponsored_bytes == 4 * MIB
    bank.settle()
    quota = quota_of(RIDES, bank.of("ann").number)
    has = sum(lot.free for lot in bank.account(quota).lots.values())
    assert has > 0
    bank.at("2015-10-01T06:00:00")
    bank.do(CloseMonth(key="c", account=quota, month="2015-09"))
    before, after = replayed(bank, quota, "2015-09", RULES)
    assert before == after == Closing(expired=has)


def test_what_a_reversal_gave_back_to_a_quota_ends_with_what_was_bought() -> None:
    bank = funded("2015-09-01T00:05:00")
    bank.sponsor(offer(budget="escrow"))
    # All there is: what comes back finds no lot, and gets one on the terms of the one that paid.
    record = Usage(usage_id="u", account="ann", bytes=10 * MIB, occurred_at=bank.clock.at)
    assert bank.do(record)[0].status == "retry"
    bank.settle()
    assert bank.do(record)[0].sponsored_bytes == 10 * MIB
    bank.do(Reverse(key="undo", account="ann", usage_id="u", reason="wrong"))
    quota = quota_of(RIDES, bank.of("ann").number)
    bank.at("2015-10-01T06:00:00")
    bank.do(CloseMonth(key="c", account=quota, month="2015-09"))
    before, after = replayed(bank, quota, "2015-09", RULES)
    assert before == after == Closing(expired=10 * MIB)


def test_what_a_campaign_paid_stays_paid() -> None:
    bank = story_of(Usage(usage_id="s", account="ann", bytes=5 * MIB, occurred_at=0), offer())
    before, after = replayed(bank, "ann", "2015-08", RULES)
    assert before == after == Closing(carried=30 * MIB)


@pytest.mark.parametrize(("at_cap", "left"), [("block", 30 * MIB), ("fallback_to_user", 28 * MIB)])
def test_what_a_campaign_blocked_is_nobodys_this_time_either(at_cap: AtCap, left: int) -> None:
    capped = offer(caps=Caps(per_subscriber_bytes=3 * MIB), at_cap=at_cap)
    bank = story_of(Usage(usage_id="s", account="ann", bytes=5 * MIB, occurred_at=0), capped)
    before, after = replayed(bank, "ann", "2015-08", RULES, blocked=at_cap == "block")
    assert before == after == Closing(carried=left)


def test_a_reversed_record_gives_back_what_it_took_this_time() -> None:
    bank = story_of(Usage(usage_id="r", account="ann", bytes=20 * MIB, occurred_at=0), undo=True)
    before, after = replayed(bank, "ann", "2015-08", with_plan_of(10 * MIB))
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


def offer(**changes: Any) -> Offer:
    """An offer of a campaign that pays for everything."""
    terms: dict[str, Any] = {
        "campaign": RIDES, "version": 1, "partner": PARTNER, "sponsor_id": "s", "asp_id": "a",
        "rating_group": "any", "starts_at": 0, "budget": "unlimited",
    }  # fmt: skip
    return Offer(**(terms | changes))


def story_of(record: Usage, sponsor: Offer | None = None, *, undo: bool = False) -> MemoryBank:
    """A month with one record, that a campaign pays, or that is reversed."""
    bank = MemoryBank(now="2015-08-01T00:00:00")
    bank.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    if sponsor is not None:
        bank.sponsor(sponsor)
    bank.at("2015-08-20T00:00:00")
    bank.do(msgspec.structs.replace(record, occurred_at=bank.clock.at))
    if undo:
        bank.do(Reverse(key="undo", account="ann", usage_id=record.usage_id, reason="wrong"))
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    return bank


def test_a_month_that_is_not_closed_is_not_replayed() -> None:
    assert Replay("2015-09", RULES, RULEBOOK, CALENDAR).of(events_of(story(), "ann")) is None
