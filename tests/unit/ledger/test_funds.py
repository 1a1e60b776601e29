"""Partners and campaigns are told once that little is left, until they buy or are funded again."""

import pytest

from services.ledger.codec import decode_event
from services.ledger.domain.commands import (
    Award,
    Buy,
    EndCampaign,
    Fund,
    OpenAccount,
    SetThresholds,
)
from services.ledger.domain.rules import GivenThresholds
from shared.contracts.ledger import ThresholdCrossed
from shared.contracts.offers import Caps
from shared.ids import stream_id
from tests.support.memory import MemoryBank
from tests.unit.ledger.test_sponsored import MIB, RIDES, offer, settled, sums_agree, use

DIDI = "partner:didi"


@pytest.fixture
def bank() -> MemoryBank:
    """A partner that has bought 100 MiB, and its campaign without any."""
    return partner_of(MemoryBank(partitions=2))


def partner_of(bank: MemoryBank) -> MemoryBank:
    bank.do(
        OpenAccount(key="o", account="ann", plan="std-30mb"),
        OpenAccount(key="o", account=DIDI),
        OpenAccount(key="o", account=RIDES, partner=DIDI),
        Buy(key="b", account=DIDI, bytes=100 * MIB),
    )
    return bank


def fund(bank: MemoryBank, key: str, amount: int) -> None:
    bank.do(Fund(key=key, account=DIDI, campaign=RIDES, bytes=amount))
    bank.settle()


def award(bank: MemoryBank, key: str, amount: int) -> None:
    bank.do(Award(key=key, account=RIDES, subscriber="ann", bytes=amount))
    bank.settle()


def alarms(bank: MemoryBank, account: str = DIDI) -> list[ThresholdCrossed]:
    stream = stream_id(account)
    events = [decode_event(*row[2:]) for row in bank.of(account).log if row[0] == stream]
    return [each for each in events if isinstance(each, ThresholdCrossed)]


def told(bank: MemoryBank, account: str = DIDI) -> list[str]:
    return [each.name for each in alarms(bank, account)]


def test_a_partner_is_told_below_twenty_and_below_five_percent_once_each(bank):
    fund(bank, "f1", 80 * MIB)
    assert told(bank) == [], "20 % are not less than that"
    fund(bank, "f2", 1)
    assert told(bank) == ["funds_left:20"]
    fund(bank, "f3", 5 * MIB)
    assert told(bank) == ["funds_left:20"]
    fund(bank, "f4", 11 * MIB)
    assert told(bank) == ["funds_left:20", "funds_left:5"]
    fund(bank, "f5", 4 * MIB - 1)
    assert bank.account(DIDI).available(bank.clock.now()) == 0
    assert len(told(bank)) == 2
    assert sums_agree(bank)


def test_the_event_says_what_is_left_and_who_told_it(bank):
    fund(bank, "f1", 81 * MIB)
    (event,) = alarms(bank)
    assert (event.account, event.actor, event.correlation_id) == (DIDI, "ledger", "request")
    assert (event.available_bytes, event.level_bytes) == (19 * MIB, 20 * MIB - 1)


def test_a_purchase_arms_both_again_whatever_it_brings(bank):
    fund(bank, "f1", 97 * MIB)
    assert told(bank) == ["funds_left:20", "funds_left:5"]
    bank.do(Buy(key="b2", account=DIDI, bytes=7 * MIB))
    assert len(told(bank)) == 2, "it has all that it had when it bought: 10 MiB"
    fund(bank, "f2", 8 * MIB)
    assert len(told(bank)) == 2
    fund(bank, "f3", 2 * MIB)
    assert told(bank)[2:] == ["funds_left:20", "funds_left:5"]
    assert sums_agree(bank)


def test_what_comes_back_arms_them_again_without_a_purchase(bank):
    fund(bank, "f1", 90 * MIB)
    bank.do(EndCampaign(key="e", account=RIDES))
    bank.settle()
    assert bank.account(DIDI).available(bank.clock.now()) == 100 * MIB
    assert told(bank) == ["funds_left:20"]
    bank.do(OpenAccount(key="o", account="campaign:next", partner=DIDI))
    bank.do(Fund(key="f2", account=DIDI, campaign="campaign:next", bytes=90 * MIB))
    assert told(bank) == ["funds_left:20", "funds_left:20"]


def test_own_thresholds_of_a_partner_tell_nothing_twice(bank):
    fund(bank, "f1", 90 * MIB)
    bank.do(SetThresholds(key="s", account=DIDI, thresholds=GivenThresholds()))
    fund(bank, "f2", MIB)
    assert told(bank) == ["funds_left:20"]


def test_a_campaigns_escrow_is_watched_against_what_it_was_funded_with(bank):
    fund(bank, "f1", 10 * MIB)
    award(bank, "a1", 8 * MIB)
    assert told(bank, RIDES) == []
    award(bank, "a2", MIB)
    assert told(bank, RIDES) == ["funds_left:20"]
    fund(bank, "f2", 9 * MIB)
    award(bank, "a3", 9 * MIB + MIB // 2)
    assert told(bank, RIDES)[1:] == ["funds_left:20"]
    award(bank, "a4", MIB // 2)
    assert told(bank, RIDES)[2:] == ["funds_left:5"]


def test_who_never_bought_and_a_campaign_that_ends_are_told_nothing(bank):
    bank.do(OpenAccount(key="o", account="partner:new"))
    fund(bank, "f1", 10 * MIB)
    bank.do(EndCampaign(key="e", account=RIDES))
    bank.settle()
    assert told(bank, "partner:new") == told(bank, RIDES) == []


def test_shares_that_quotas_got_and_have_not_used_are_left():
    bank = partner_of(MemoryBank(partitions=16))
    people: dict[int, str] = {}
    for number in range(200):
        people.setdefault(bank.of(f"p{number}").number, f"p{number}")
    bank.do(*(OpenAccount(key="o", account=one, plan="std-30mb") for one in people.values()))
    fund(bank, "f1", 10 * MIB)
    bank.sponsor(offer(budget="escrow", caps=Caps()))
    settled(bank, *(use(1, one, account=one) for one in people.values()))
    own = bank.account(RIDES).available(bank.clock.now())
    assert own < 2 * MIB, "the quotas have most of it"
    assert told(bank, RIDES) == []
    for number in range(40):
        settled(bank, *(use(MIB // 64, f"{one}-{number}", account=one) for one in people.values()))
    assert told(bank, RIDES) == ["funds_left:20", "funds_left:5"]
    assert sums_agree(bank)
