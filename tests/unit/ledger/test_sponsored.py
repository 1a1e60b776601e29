"""Campaigns pay for traffic: who matches, who pays first, caps, blocks, and what is told."""

from typing import Any

import pytest

from services.ledger.codec import encode
from services.ledger.domain.commands import (
    Adjust,
    Award,
    Buy,
    ClawBack,
    CloseAccount,
    EndCampaign,
    Fund,
    OpenAccount,
    Resume,
    Reverse,
    Suspend,
    Usage,
)
from shared.contracts.ledger import DataEarned, DataReceived, DataSpent, SponsorshipCapped
from shared.contracts.offers import Caps, Hours, Offer
from shared.ids import quota_of
from tests.support.memory import CALENDAR, MemoryBank

MIB = 1 << 20
RIDES = "campaign:rides"


def offer(**changes: Any) -> Offer:
    terms = {
        "campaign": RIDES, "version": 1, "partner": "partner:didi", "sponsor_id": "s",
        "asp_id": "a", "rating_group": "didi", "hosts": ["didi.com"], "budget": "unlimited",
        "starts_at": CALENDAR.parse("2015-08-01T00:00:00"),
    }  # fmt: skip
    return Offer(**(terms | changes))  # type: ignore[arg-type]


def use(amount: int, name: str = "u1", at: str = "2015-08-10T11:00:00", **more: Any) -> Usage:
    return Usage(
        usage_id=name, account=more.pop("account", "ann"), bytes=amount,
        occurred_at=CALENDAR.parse(at), **{"host": "api.didi.com", **more},
    )  # fmt: skip


@pytest.fixture
def bank() -> MemoryBank:
    """Ann and Bob with 30 MiB each, and a funded campaign of a partner."""
    made = MemoryBank(partitions=2)
    fund(made, "ann", "bob")
    return made


def fund(bank: MemoryBank, *subscribers: str) -> None:
    """Open subscribers, and a campaign of 10 MiB."""
    bank.do(
        *(OpenAccount(key="o", account=name, plan="std-30mb") for name in subscribers),
        OpenAccount(key="o", account="partner:didi"),
        OpenAccount(key="o", account=RIDES, partner="partner:didi"),
        Buy(key="b", account="partner:didi", bytes=100 * MIB),
        Fund(key="f", account="partner:didi", campaign=RIDES, bytes=10 * MIB),
    )
    bank.settle()


def quota(bank: MemoryBank, account: str = "ann") -> str:
    return quota_of(RIDES, bank.of(account).number)


def settled(bank: MemoryBank, *usage: Usage) -> list[Any]:
    """Charge records as an importer does: what is put off is sent again."""
    outcomes: dict[str, Any] = {}
    left = list(usage)
    for _ in range(20):
        done = bank.do(*left)
        outcomes |= {outcome.usage_id: outcome for outcome in done}
        left = [one for one, outcome in zip(left, done, strict=True) if outcome.status == "retry"]
        if not left:
            break
        bank.settle()
        bank.clock.at += 1_000
        bank.do_due()
    assert not left
    return [outcomes[one.usage_id] for one in usage]


def sums_agree(bank: MemoryBank) -> bool:
    """Say whether every account balances and every stored state is what its log says."""
    folded = [(p, *each) for p in bank.partitions for each in p.refolded().items()]
    return all(
        account.balances() and encode(account) == p.states[stream][1]
        for p, stream, account in folded
    )


def test_an_unlimited_campaign_pays_all_and_the_user_nothing(bank):
    bank.sponsor(offer())
    (outcome,) = bank.do(use(5 * MIB))

    assert (outcome.sponsored_bytes, outcome.spent_bytes, outcome.unfunded_bytes) == (5 * MIB, 0, 0)
    ann, paid = bank.account("ann"), bank.account(quota(bank))
    assert ann.available(bank.clock.now()) == 30 * MIB
    assert (paid.earned, paid.spent, paid.partner) == (5 * MIB, 5 * MIB, "partner:didi")
    (spent,) = [e for e in bank.told(DataSpent) if e.campaign == RIDES]
    assert (spent.lines[0].subscriber, spent.partner) == ("ann", "partner:didi")
    assert sums_agree(bank)


def test_what_is_created_on_credit_is_one_lot_a_month_and_told_before_it_is_spent(bank):
    bank.sponsor(offer())
    bank.do(use(MIB, "u1"), use(MIB, "u2"))
    bank.do(use(MIB, "u3"))

    made = [e for e in bank.told(DataEarned) if e.account == quota(bank)]
    assert [e.lots[0].lot_id for e in made] == ["charge:2015-08"] * 2
    assert [e.lots[0].granted for e in made] == [2 * MIB, MIB]
    assert sums_agree(bank)


@pytest.mark.parametrize(
    ("changes", "record"),
    [
        ({}, {"host": "example.com"}),
        ({}, {"host": "notdidi.com"}),
        ({}, {"host": None}),
        ({}, {"host": None, "rating_group": "other"}),
        ({}, {"at": "2015-07-31T23:59:00"}),
        ({"ends_at": CALENDAR.parse("2015-08-10T11:00:00")}, {}),
        ({}, {"roaming": True}),
        ({"state": "paused"}, {}),
        ({"state": "ended"}, {}),
        ({"listed": True}, {}),
        ({"hours": Hours(begins=60, ends=660)}, {}),
    ],
)  # fmt: skip
def test_what_no_offer_matches_the_user_pays(bank, changes, record):
    bank.sponsor(offer(**changes), members=[(RIDES, "bob")])
    (outcome,) = bank.do(use(MIB, **record))

    assert (outcome.sponsored_bytes, outcome.spent_bytes + outcome.unfunded_bytes) == (0, MIB)


@pytest.mark.parametrize(
    ("changes", "record"),
    [
        ({}, {"host": "didi.com"}),
        ({}, {"host": "A.B.DIDI.com."}),
        ({}, {"host": None, "rating_group": "didi"}),
        ({"roaming": True}, {"roaming": True}),
        ({"rating_group": "any", "hosts": []}, {"host": None}),
        ({"listed": True}, {"account": "bob"}),
        ({"hours": Hours(begins=1380, ends=661)}, {}),
    ],
)  # fmt: skip
def test_what_an_offer_matches_it_pays(bank, changes, record):
    bank.sponsor(offer(**changes), members=[(RIDES, "bob")])
    (outcome,) = bank.do(use(MIB, **record))

    assert (outcome.sponsored_bytes, outcome.spent_bytes) == (MIB, 0)


@pytest.mark.parametrize(
    ("theirs", "host", "payer"),
    [
        ({"hosts": ["weibo.com"]}, "weibo.com", "campaign:weibo"),
        ({"hosts": ["weibo.com"]}, "api.didi.com", RIDES),
        ({"hosts": ["didi.com"], "rating_group": "z", "state": "paused"}, "didi.com", RIDES),
        ({"hosts": ["didi.com"], "rating_group": "z"}, "didi.com", RIDES),
    ],
)
def test_campaigns_that_use_one_name_or_host_each_pay_for_their_own(bank, theirs, host, payer):
    other = offer(campaign="campaign:weibo", partner="partner:weibo", **theirs)
    bank.sponsor(offer(), other)
    (outcome,) = bank.do(use(MIB, host=host))

    assert outcome.sponsored_bytes == MIB
    (paid,) = [e.campaign for e in bank.told(DataSpent) if e.campaign is not None]
    assert paid == payer


def test_a_host_is_stored_nowhere(bank):
    bank.sponsor(offer())
    bank.do(use(MIB, host="secret.didi.com"))

    stored = b"".join(
        [row[3] for p in bank.partitions for row in p.log]
        + [state for p in bank.partitions for _, state in p.states.values()]
    )
    assert b"didi.com" not in stored
    assert b'"rating_group":"didi"' in stored


def test_a_record_is_the_same_whether_or_not_an_offer_exists_meanwhile(bank):
    bank.do(use(MIB))
    bank.sponsor(offer())
    (again,) = bank.do(use(MIB))

    assert (again.repeated, again.spent_bytes, again.sponsored_bytes) == (True, MIB, 0)


def test_a_repeat_of_a_sponsored_record_has_the_same_answer(bank):
    bank.sponsor(offer())
    (first,) = bank.do(use(MIB))
    (again,) = bank.do(use(MIB))

    assert (first.sponsored_bytes, again.sponsored_bytes, again.repeated) == (MIB, MIB, True)
    assert bank.account(quota(bank)).spent == MIB


def test_the_subscribers_cap_splits_a_record_and_is_told_once(bank):
    bank.sponsor(offer(caps=Caps(per_subscriber_bytes=3 * MIB)))
    outcomes = bank.do(use(2 * MIB, "u1"), use(2 * MIB, "u2"), use(2 * MIB, "u3"))

    assert [each.sponsored_bytes for each in outcomes] == [2 * MIB, MIB, 0]
    assert [each.spent_bytes for each in outcomes] == [0, MIB, 2 * MIB]
    (told,) = bank.told(SponsorshipCapped)
    assert (told.cap, told.period, told.campaign) == ("month", "2015-08", RIDES)
    assert sums_agree(bank)


def test_a_days_cap_counts_each_day_by_the_time_of_use(bank):
    bank.sponsor(offer(caps=Caps(per_subscriber_day_bytes=MIB)))
    outcomes = bank.do(
        use(2 * MIB, "u1", "2015-08-09T10:00:00"), use(2 * MIB, "u2", "2015-08-10T10:00:00"),
        use(2 * MIB, "u3", "2015-08-09T11:00:00"),
    )  # fmt: skip

    assert [each.sponsored_bytes for each in outcomes] == [MIB, MIB, 0]


def test_where_the_cap_blocks_the_rest_is_nobodys_and_the_next_is_refused(bank):
    bank.sponsor(offer(caps=Caps(per_subscriber_bytes=3 * MIB), at_cap="block"))
    first, second = bank.do(use(5 * MIB, "u1"), use(MIB, "u2"))

    assert (first.sponsored_bytes, first.spent_bytes, first.unfunded_bytes) == (3 * MIB, 0, 2 * MIB)
    assert (second.status, second.code) == ("refused", "sponsorship_blocked")
    assert bank.account("ann").available(bank.clock.now()) == 30 * MIB


def test_a_finite_budget_pays_exactly_its_bytes_and_the_last_record_is_split(bank):
    bank.sponsor(offer(budget="escrow"))
    outcomes = settled(bank, *(use(3 * MIB, f"u{n}") for n in range(5)))

    assert [each.sponsored_bytes for each in outcomes] == [3 * MIB] * 3 + [MIB, 0]
    assert [each.spent_bytes for each in outcomes] == [0, 0, 0, 2 * MIB, 3 * MIB]
    assert bank.account(quota(bank)).spent == 10 * MIB
    assert bank.in_transit() == 0
    assert sums_agree(bank)


def test_a_record_that_is_put_off_stores_nothing_of_it(bank):
    bank.sponsor(offer(budget="escrow"))
    (outcome,) = bank.do(use(MIB))

    assert (outcome.status, outcome.code) == ("retry", "quota_refilling")
    assert bank.account("ann").spent == 0
    assert not [e for e in bank.told(DataSpent) if e.lines]


def test_two_partitions_share_a_budget_to_the_byte(bank):
    names = iter(f"p{n}" for n in range(100))
    other = next(name for name in names if bank.of(name) is not bank.of("ann"))
    bank.do(OpenAccount(key="o", account=other, plan="std-30mb"))
    bank.sponsor(offer(budget="escrow"))
    records = [use(MIB + n, f"u{n}", account="ann" if n % 2 else other) for n in range(14)]
    outcomes = settled(bank, *records)

    assert sum(each.sponsored_bytes for each in outcomes) == 10 * MIB
    assert sum(0 < each.sponsored_bytes < one.bytes
               for each, one in zip(outcomes, records, strict=True)) == 1  # fmt: skip
    assert sums_agree(bank)


def test_a_share_whose_record_never_came_again_is_recalled_before_a_record_is_split():
    bank = MemoryBank(partitions=4)
    names = (f"p{n}" for n in range(100))
    own = {bank.of(name): name for name in names if bank.of(name) is not bank.of(RIDES)}
    first, second, third = own.values()
    fund(bank, first, second, third)
    bank.sponsor(offer(budget="escrow"))
    bank.do(use(8 * MIB, "u0", account=third))
    bank.settle()
    waits = use(9 * MIB, "u2", account=second)
    bank.do(use(6 * MIB, "u1", account=first), waits)
    bank.settle()

    others = [use(4 * MIB, f"u{n}", account=name) for n, name in enumerate((first, third), 3)]
    paid = [each.sponsored_bytes for each in settled(bank, waits, *others, *others)]
    assert sum(paid[:3]) == 10 * MIB
    assert sum(0 < each < one.bytes for each, one in zip(paid, [waits, *others], strict=False)) == 1
    assert sums_agree(bank)


def test_new_funds_let_an_exhausted_campaign_pay_again(bank):
    bank.sponsor(offer(budget="escrow"))
    settled(bank, use(12 * MIB, "u1"))
    bank.do(Fund(key="f2", account="partner:didi", campaign=RIDES, bytes=4 * MIB))
    bank.settle()
    (outcome,) = settled(bank, use(3 * MIB, "u2"))

    assert outcome.sponsored_bytes == 3 * MIB
    assert sums_agree(bank)


def test_a_daily_cap_is_kept_and_the_rest_is_there_tomorrow(bank):
    bank.sponsor(offer(budget="escrow", caps=Caps(per_day_bytes=4 * MIB)))
    today = settled(bank, *(use(3 * MIB, f"u{n}") for n in range(2)))
    bank.at("2015-08-11T09:00:00")
    tomorrow = settled(bank, *(use(3 * MIB, f"v{n}", "2015-08-11T08:00:00") for n in range(3)))

    assert sum(each.sponsored_bytes for each in today) == 4 * MIB
    assert sum(each.sponsored_bytes for each in tomorrow) == 4 * MIB
    assert sums_agree(bank)


def test_a_reversed_record_gives_the_quota_its_bytes_back(bank):
    bank.sponsor(offer(budget="escrow", caps=Caps(per_subscriber_bytes=5 * MIB)))
    settled(bank, use(5 * MIB, "u1"))
    bank.do(Reverse(key="r", account="ann", usage_id="u1", reason="twice"))
    (outcome,) = settled(bank, use(5 * MIB, "u2"))

    assert outcome.sponsored_bytes == 5 * MIB
    assert bank.account(quota(bank)).spent == 5 * MIB
    assert sums_agree(bank)


def test_an_adjustment_or_purchase_meanwhile_changes_nothing_for_the_quota(bank):
    bank.sponsor(offer())
    bank.do(use(MIB, "u1"), Adjust(key="a", account="ann", direction="give", bytes=5, reason="x"))

    assert bank.account(quota(bank)).spent == MIB
    assert sums_agree(bank)


def test_a_campaign_with_quotas_is_closed_only_after_it_has_ended(bank):
    bank.sponsor(offer(budget="escrow"))
    settled(bank, use(1 * MIB, "u1"))
    (refused,) = bank.do(CloseAccount(key="c", account=RIDES))
    assert refused.code == "campaign_has_quotas"
    bank.do(EndCampaign(key="end", account=RIDES))
    bank.settle()
    (done,) = bank.do(CloseAccount(key="c", account=RIDES))
    assert done.status == "done"
    assert sums_agree(bank)


def test_a_refund_is_not_clawed_back() -> None:
    bank = MemoryBank(partitions=2)
    fund(bank, "ann")
    bank.do(EndCampaign(key="e", account=RIDES))
    bank.settle()
    (refund,) = (event for event in bank.told(DataReceived) if event.purpose == "refund")
    asked = ClawBack(
        key="cb", account=refund.account, transfer_id=refund.transfer_id, reason="wrong"
    )
    assert bank.do(asked)[0].code == "transfer_not_found"
    assert bank.account(refund.account).balances()


def test_a_suspended_campaign_pays_for_nobody_until_it_is_resumed() -> None:
    bank = MemoryBank(partitions=2)
    fund(bank, "ann", "bob")
    bank.sponsor(offer(budget="escrow"))
    assert settled(bank, use(MIB, "u1"))[0].sponsored_bytes == MIB
    bank.do(Suspend(key="s", account=RIDES))
    bank.settle()
    assert spendable_by_quotas(bank) == 0
    assert settled(bank, use(MIB, "u2"))[0].sponsored_bytes == 0
    bank.do(Resume(key="r", account=RIDES))
    bank.settle()
    assert settled(bank, use(MIB, "u3"))[0].sponsored_bytes == MIB


def spendable_by_quotas(bank: MemoryBank) -> int:
    """Return what quotas have, of any campaign."""
    return sum(
        lot.remaining
        for partition in bank.partitions
        for account in partition.refolded().values()
        if account.kind == "quota"
        for lot in account.lots.values()
    )


def test_bytes_given_by_hand_to_an_exhausted_campaign_are_paid_with() -> None:
    bank = MemoryBank(partitions=2)
    fund(bank, "ann")
    bank.sponsor(offer(budget="escrow"))
    assert settled(bank, use(200 * MIB, "u1"))[0].status == "done"  # All that there is, and more.
    assert settled(bank, use(MIB, "u2"))[0].sponsored_bytes == 0
    bank.do(Adjust(key="a", account=RIDES, direction="give", bytes=2 * MIB, reason="goodwill"))
    bank.settle()
    assert settled(bank, use(MIB, "u3"))[0].sponsored_bytes == MIB
    bank.do(Award(key="w", account=RIDES, subscriber="ann", bytes=MIB // 2))
    bank.settle()
    assert bank.account("ann").received == MIB // 2


def test_what_a_reversal_brings_back_lives_no_longer_than_what_was_bought() -> None:
    bank = MemoryBank(partitions=2)
    fund(bank, "ann")
    (bought,) = bank.account("partner:didi").lots.values()
    bank.sponsor(offer(budget="escrow"))
    settled(bank, use(10 * MIB, "u1"))
    bank.at("2016-07-20T12:00:00")
    bank.do(Reverse(key="r", account="ann", usage_id="u1", reason="wrong"))
    bank.settle()
    lots = [
        lot for partition in bank.partitions for account in partition.refolded().values()
        if account.kind == "quota" for lot in account.lots.values()
    ]  # fmt: skip
    assert sum(lot.remaining for lot in lots) == 10 * MIB
    assert {lot.expires_at for lot in lots if lot.remaining} == {bought.expires_at}
