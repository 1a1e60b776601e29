"""A campaign's bytes add up, wherever each log has been read to."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.campaigns import CampaignsDelta, CampaignsView
from services.gateway.consumers import fold
from services.ledger.domain.commands import Award, Buy, EndCampaign, Fund, Reverse, Usage
from shared.contracts.offers import Caps, Offer
from tests.support.gateway import DAY_MS, MIB, BankReader, funded_bank, lived_bank
from tests.support.memory import CALENDAR, MemoryBank
from tests.support.sponsored import Sponsor

CAMPAIGN, DIDI = "campaign:ride", "partner:didi"
VIEW = CampaignsView(CALENDAR)


def prefixes(reader: BankReader, dice: random.Random) -> CampaignsDelta:
    """Fold each log up to a place of its own."""
    delta = CampaignsDelta()
    for source in reader.sources():
        events = reader.events(source)
        fold(delta, events[: dice.randint(0, len(events))])
    return delta


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whatever_each_log_has_been_read_to_a_campaigns_bytes_add_up(seed: int) -> None:
    bank, dice = lived_bank(seed, steps=40), random.Random(seed)
    sponsor = Sponsor(bank, CAMPAIGN, "partner:didi")
    for number in range(dice.randint(0, 5)):
        size = dice.randint(1, MIB)
        sponsor.pays(f"s{number}", dice.choice(["ann", "bob", "cat"]), size)
    reader = BankReader(bank)
    for _ in range(10):
        delta = prefixes(reader, dice)
        assert VIEW.broken_invariant(delta) is None
        delta.rows()


def sponsored_bank(dice: random.Random) -> MemoryBank:
    """Return a bank whose campaign paid for usage, finite or on credit, awarded, and perhaps ended.

    What its quotas and it say to each other has arrived, or not.
    """
    bank = funded_bank(dice.choice([1, 2, 3]))
    budget: Any = dice.choice(["escrow", "unlimited"])
    bank.sponsor(
        Offer(
            campaign=CAMPAIGN, version=1, partner="partner:didi", sponsor_id="s", asp_id="a",
            rating_group="didi", starts_at=0, budget=budget,
            caps=Caps(per_day_bytes=dice.choice([None, 30 * MIB])),
        )
    )  # fmt: skip
    for step in range(dice.randint(1, 30)):
        who, key, amount = dice.choice(["ann", "bob", "cat"]), f"k{step}", dice.randint(1, 9 * MIB)
        commands: list[Any] = [
            Usage(usage_id=key, account=who, bytes=amount, rating_group="didi",
                  occurred_at=bank.clock.now()),
            Reverse(key=key, account=who, usage_id=f"k{dice.randint(0, step)}", reason="twice"),
            Award(key=key, account=CAMPAIGN, subscriber=dice.choice([who, "no"]), bytes=amount),
        ]  # fmt: skip
        bank.do(dice.choices(commands, [6, 1, 1])[0])
        if dice.random() < 0.5:
            bank.settle()
        if dice.random() < 0.1:
            bank.clock.at += DAY_MS
    if dice.random() < 0.4:
        bank.do(EndCampaign(key="end", account=CAMPAIGN))
    if dice.random() < 0.5:
        bank.settle()
    return bank


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_the_ledger_does_with_sponsored_traffic_adds_up_at_every_position(seed: int) -> None:
    dice = random.Random(seed)
    bank = sponsored_bank(dice)
    reader = BankReader(bank)
    for _ in range(10):
        delta = prefixes(reader, dice)
        assert VIEW.broken_invariant(delta) is None
    delta = CampaignsDelta()
    fold(delta, reader.all_events())
    terms = delta.terms[CAMPAIGN]
    accounts = [account for part in bank.partitions for account in part.refolded().values()]
    own = [each for each in accounts if each.account.startswith((CAMPAIGN, "quota:ride:"))]
    assert terms.sponsored == sum(each.spent for each in own)
    assert terms.charged_on_credit == sum(each.earned for each in own)
    assert terms.left() == sum(lot.remaining for each in own for lot in each.lots.values())
    assert terms.in_transit == bank.in_transit()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_at_the_end_the_sums_are_what_the_accounts_are(seed: int) -> None:
    bank = lived_bank(seed, steps=40)
    delta = CampaignsDelta()
    fold(delta, BankReader(bank).all_events())
    terms = delta.terms[CAMPAIGN]
    account = bank.account(CAMPAIGN)
    assert terms.left() == sum(lot.remaining for lot in account.lots.values())
    assert (terms.funded, terms.expired) == (100 * MIB, account.expired)
    assert terms.sponsored == 0
    bank.settle()
    delta = CampaignsDelta()
    fold(delta, BankReader(bank).all_events())
    assert delta.terms[CAMPAIGN].in_transit == 0
    assert delta.terms[CAMPAIGN].awarded >= 0
    assert delta.terms[CAMPAIGN].given_back >= 0


def test_an_award_under_way_is_in_transit_and_then_awarded() -> None:
    bank = funded_bank()
    bank.do(Award(key="1", account=CAMPAIGN, subscriber="ann", bytes=MIB))
    bank.do(Award(key="2", account=CAMPAIGN, subscriber="nobody", bytes=2 * MIB))
    before, after = CampaignsDelta(), CampaignsDelta()
    fold(before, BankReader(bank).all_events())
    bank.settle()
    fold(after, BankReader(bank).all_events())
    terms = before.terms[CAMPAIGN]
    assert (terms.in_transit, terms.awarded, terms.left()) == (3 * MIB, 0, 97 * MIB)
    terms = after.terms[CAMPAIGN]
    assert (terms.in_transit, terms.awarded, terms.left()) == (0, MIB, 99 * MIB)


def test_what_a_quota_charges_is_sponsored_and_what_is_reversed_is_there_again() -> None:
    bank = funded_bank()
    sponsor = Sponsor(bank, CAMPAIGN, "partner:didi")
    sponsor.pays("u", "ann", 700, own=300)
    sponsor.pays("v", "bob", 50)
    sponsor.takes_back("u", "ann", 700)
    delta = CampaignsDelta()
    fold(delta, BankReader(bank).all_events())
    terms = delta.terms[CAMPAIGN]
    assert (terms.charged_on_credit, terms.sponsored, terms.funded) == (750, 50, 100 * MIB)
    assert terms.left() == 100 * MIB + 700
    assert VIEW.broken_invariant(delta) is None


def alarms_of(bank: MemoryBank) -> dict[str, int]:
    delta = CampaignsDelta()
    fold(delta, BankReader(bank).all_events())
    return {account: percent for (account,), (percent, *_) in delta.rows()["fund_alarms"].items()}


def test_an_alarm_stands_from_the_ledgers_word_to_the_next_purchase_funding_or_end() -> None:
    bank = funded_bank()
    assert alarms_of(bank) == {DIDI: 5}, "all of it went into the campaign"
    bank.do(Award(key="1", account=CAMPAIGN, subscriber="ann", bytes=81 * MIB))
    assert alarms_of(bank) == {DIDI: 5, CAMPAIGN: 20}
    bank.do(Award(key="2", account=CAMPAIGN, subscriber="ann", bytes=15 * MIB))
    assert alarms_of(bank) == {DIDI: 5, CAMPAIGN: 5}
    bank.do(Buy(key="b2", account=DIDI, bytes=10 * MIB))
    assert alarms_of(bank) == {CAMPAIGN: 5}
    bank.do(Fund(key="f2", account=DIDI, campaign=CAMPAIGN, bytes=MIB))
    bank.settle()
    assert alarms_of(bank) == {}
    bank.do(Award(key="3", account=CAMPAIGN, subscriber="ann", bytes=5 * MIB))
    assert alarms_of(bank) == {CAMPAIGN: 5}
    bank.do(EndCampaign(key="end", account=CAMPAIGN))
    assert alarms_of(bank) == {}
