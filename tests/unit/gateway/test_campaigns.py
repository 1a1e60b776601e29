"""A campaign's bytes add up, wherever each log has been read to."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.campaigns import CampaignsDelta, CampaignsView
from services.gateway.consumers import fold
from services.ledger.domain.commands import Award
from tests.support.gateway import MIB, BankReader, funded_bank, lived_bank
from tests.support.memory import CALENDAR
from tests.support.sponsored import Sponsor

CAMPAIGN = "campaign:ride"
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
