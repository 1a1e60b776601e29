"""Lists of members: what becomes of each row; and grants, once per member and month."""

import pytest
from msgspec.structs import replace

from services.tasks.domain.campaign import Campaign
from services.tasks.domain.catalogue import Valid
from services.tasks.domain.grants import (
    RETRY_AFTER_MS,
    For,
    Grant,
    grant_mistake,
    issue_name,
    may_begin,
    parcel_of,
    retried_before,
)
from services.tasks.domain.issue import Issue
from services.tasks.domain.members import ListVersion, Rejected, sort_additions, sort_removals
from services.tasks.domain.terms import Budget, CampaignTerms
from shared.calendar import Calendar
from shared.contracts.ledger import DataClawedBack, DataReceived, Leg, Source, TransferRefused
from shared.sagas.aggregate import Meta

CALENDAR = Calendar("Asia/Shanghai")
NOW = CALENDAR.parse("2015-08-10T12:00:00")
META = Meta(now=NOW, actor="operator")
WHOSE = For(campaign="c", partner="p", subscriber="s")
REFUSED = TransferRefused(
    account="campaign:c", recorded_at=NOW, actor="tasks", transfer_id="t", to="s",
    code="insufficient_data",
)  # fmt: skip

ARRIVED = DataReceived(
    account="s", recorded_at=NOW, actor="ledger", transfer_id="t", sender="campaign:c",
    purpose="pack", lots=[],
)  # fmt: skip
SLICE = Leg(
    lot_id="l", bytes=3, kind="pack", valid_from=NOW, expires_at=NOW + 9,
    source=Source(type="pack"),
)  # fmt: skip
TAKEN_BACK = DataClawedBack(
    account="campaign:c", recorded_at=NOW, actor="operator", transfer_id="c", undoes="t",
    sender="s", purpose="pack", legs=[SLICE], shortfall_bytes=2,
)  # fmt: skip


def test_ten_rows_with_three_bad_ones_are_seven_in_and_three_reasons():
    rows = [f"s{each}" for each in range(7)] + ["not a number", "s0", "stranger"]
    found = sort_additions(rows, members=set(), ours={f"s{each}" for each in range(7)})
    assert found.taken == rows[:7]
    assert found.rejected == [
        Rejected(8, "not a number", "bad_number"),
        Rejected(9, "s0", "duplicate"),
        Rejected(10, "stranger", "not_ours"),
    ]


def test_a_member_is_added_once_and_only_a_member_is_removed():
    assert sort_additions(["a"], {"a"}, {"a"}).rejected == [Rejected(1, "a", "duplicate")]
    found = sort_removals(["a", "b"], {"a"})
    assert (found.taken, found.rejected) == (["a"], [Rejected(2, "b", "not_a_member")])


def test_a_versions_digest_says_who_whatever_their_order():
    first, same, other = (
        ListVersion.make("l", 1, added, [], 2, META).digest
        for added in (["a", "b"], ["b", "a"], ["a", "c"])
    )
    assert first == same != other


def test_a_grant_of_a_month_has_one_name_and_the_campaign_pays():
    grant = Grant(name="monthly", bytes=5, effect="next_cycle", valid=Valid(months=0))
    first, again = (parcel_of(grant, WHOSE, NOW + n, CALENDAR) for n in (0, 1000))
    assert first.issue_id == again.issue_id == issue_name("c", "monthly", "2015-08", "s")
    assert first.payer == "campaign:c"
    assert CALENDAR.text(first.terms.valid_from) == "2015-09-01T00:00:00+08:00"
    october = parcel_of(grant, WHOSE, CALENDAR.parse("2015-10-01"), CALENDAR)
    assert october.issue_id != first.issue_id


def test_each_attempt_has_a_name_of_its_own_and_begins_when_the_one_before_was_refused():
    grant = Grant(name="monthly", bytes=5)
    first, second = (
        parcel_of(grant, replace(WHOSE, attempt=each), NOW, CALENDAR) for each in (1, 2)
    )
    assert first.issue_id != second.issue_id
    issue = Issue.begin(first, META)
    assert may_begin(1, None)
    assert [may_begin(2, before) for before in (None, issue)] == [False, False]
    issue.on(REFUSED, META)
    assert may_begin(2, issue)
    delivered = Issue.begin(first, META)
    delivered.on(ARRIVED, META)
    assert not may_begin(2, delivered)


@pytest.mark.parametrize("heard", [[ARRIVED, TAKEN_BACK], [TAKEN_BACK, ARRIVED], [TAKEN_BACK] * 2])
def test_what_an_operator_took_back_ends_an_issue_once_in_whatever_order_it_is_heard(heard):
    issue = Issue.begin(parcel_of(Grant(name="monthly", bytes=5), WHOSE, NOW, CALENDAR), META)
    for event in heard:
        issue.on(event, META)
    assert (issue.state, issue.transfer_id) == ("clawed_back", "t")
    assert (issue.taken_bytes, issue.shortfall_bytes) == (3, 2)
    assert len(list(issue.collect_events())) == 3
    assert not may_begin(2, issue)


def test_what_was_refused_cannot_be_taken_back():
    issue = Issue.begin(parcel_of(Grant(name="monthly", bytes=5), WHOSE, NOW, CALENDAR), META)
    issue.on(REFUSED, META)
    assert not issue.on(TAKEN_BACK, META)
    assert issue.state == "refused"


def test_a_grant_is_tried_again_a_day_later_or_when_new_funds_have_arrived():
    assert retried_before(0, NOW) == NOW - RETRY_AFTER_MS
    assert retried_before(NOW - RETRY_AFTER_MS - 1, NOW) == NOW - RETRY_AFTER_MS
    assert retried_before(NOW - 5, NOW) == NOW - 5


def test_a_campaign_tells_when_funds_arrived_last():
    campaign = Campaign.draft("c", "p", "app", CampaignTerms(budget=Budget(), starts_at=0), META)
    campaign.approve(META)
    for name, amount in (("1" * 32, 5), ("2" * 32, 6)):
        campaign.fund(name, amount, META)
    assert campaign.funded_at == 0
    arrived = DataReceived(
        account="campaign:c", recorded_at=NOW, actor="ledger", transfer_id="t", sender="partner:p",
        purpose="funding", lots=[], correlation_id="1" * 32,
    )  # fmt: skip
    campaign.on(arrived, replace(META, now=NOW + 7))
    assert campaign.funded_at == NOW + 7


@pytest.mark.parametrize("names", [["a", "a"], ["a"]])
def test_grants_need_names_of_their_own_and_a_list(names):
    grants = [Grant(name=name, bytes=1) for name in names]
    assert grant_mistake(grants, listed=len(names) > 1) is not None
    assert grant_mistake(grants[:1], listed=True) is None


def test_an_issue_ends_once_as_the_ledger_says():
    issue = Issue.begin(parcel_of(Grant(name="g", bytes=1), WHOSE, NOW, CALENDAR), META)
    assert issue.on(REFUSED, META)
    assert not issue.on(REFUSED, META)
    assert (issue.state, issue.code) == ("refused", "insufficient_data")
