"""Partners and campaigns: what is written in terms, what a campaign's life allows."""

from typing import Any

import msgspec
import pytest

from services.tasks.domain.campaign import Campaign
from services.tasks.domain.partner import Partner
from services.tasks.domain.tasks.kinds import FirstOrder
from services.tasks.domain.tasks.rewards import lot_terms
from services.tasks.domain.terms import (
    CampaignTerms,
    Content,
    DraftTerms,
    check_content_allowed,
    read_terms,
    terms_of,
)
from shared.calendar import Calendar
from shared.contracts.ledger import DataReceived, Event, TransferRefused
from shared.errors import InvalidError, RefusedError
from shared.sagas.aggregate import Meta, encode, event_of, rebuild

CALENDAR = Calendar("Asia/Shanghai")
NOW = CALENDAR.parse("2015-07-31T12:00:00")
DAY_MS = 86_400_000
META = Meta(now=NOW, actor="operator")
HOSTS = ["xiaojukeji.com", "udache.com", "didialift.com"]
DIDI: dict[str, Any] = {
    "title": "Didi pays for Didi",
    "starts_at": "2015-08-01T00:00:00",
    "ends_at": "2015-09-01T00:00:00",
    "budget": {"total_bytes": 1_000_000},
    "offer": {"rating_group": "didi", "hosts": HOSTS},
}
CLUB: dict[str, Any] = {"audience": {"list": "club"}, "grants": [{"name": "g", "bytes": 1}]}


def draft(**changes: Any) -> DraftTerms:
    return msgspec.convert(DIDI | changes, DraftTerms)


def terms(**changes: Any) -> CampaignTerms:
    return terms_of(draft(**changes), CALENDAR, None)


def drafted(**changes: Any) -> Campaign:
    return Campaign.draft("didi-august", "didi", "didi-app", terms(**changes), META)


def at(days: int) -> Meta:
    return Meta(now=NOW + days * DAY_MS, actor="operator")


def funded(amount: int = 1_000_000) -> Campaign:
    campaign = drafted()
    campaign.approve(META)
    campaign.fund("f" * 32, amount, META)
    campaign.on(received("f" * 32), META)
    return campaign


def received(funding_id: str) -> DataReceived:
    return DataReceived(
        account="campaign:didi-august", recorded_at=NOW, actor="ledger", correlation_id=funding_id,
        transfer_id="t", sender="partner:didi", purpose="funding", lots=[],
    )  # fmt: skip


def refused(funding_id: str) -> TransferRefused:
    return TransferRefused(
        account="partner:didi", recorded_at=NOW, actor="ledger", correlation_id=funding_id,
        transfer_id="t", to="campaign:didi-august", code="insufficient_data",
    )  # fmt: skip


def again(thing: Any) -> Any:
    """Return what its stored events fold to."""
    events = [
        event_of(thing.id, each.originator_version, each.TOPIC, encode(each.data))
        for each in thing.collect_events()
    ]
    return rebuild(events)


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        call(*arguments)
    return caught.value.code


def test_no_event_of_a_campaign_has_a_host_name():
    campaign = drafted()
    campaign.change(terms(title="another"), META)
    stored = b"".join(encode(each.data) for each in campaign.collect_events())
    assert not any(host.encode() in stored for host in HOSTS)
    assert b"hosts_digest" in stored


def test_terms_are_read_back_as_they_were_stored():
    made = terms(tasks=[{"kind": "sign_in", "name": "sign-in"}])
    assert read_terms(msgspec.json.decode(encode(made.stored()))) == made


def one_task(kind: str, **more: Any) -> list[dict[str, Any]]:
    no_need = {"registration", "sign_in", "referral", "lucky_draw"}
    rewarded = {} if kind in no_need else {"reward": {"bytes": 1}}
    return [{"kind": kind, "name": "it", **rewarded, **more}]


QUIZ = {"questions": [{"text": "?", "choices": ["a", "b"], "answer": 1}]}
WHEEL = {"terms": {"bytes": 1}, "prizes": [{"name": "p", "odds": 10_000, "bytes": 1}]}
DEFAULT_DELAYS = [
    ("registration", {}, 3), ("registration", {"reward": {"bytes": 1}}, 3), ("first_order", {}, 3),
    ("install", {}, 3), ("survey", {}, 3), ("referral", {}, 3),
    ("referral", {"reward": {"bytes": 1}, "friend_reward": {"bytes": 1}}, 3), ("sign_in", {}, 0),
    ("sign_in", {"reward": {"bytes": 1}}, 0), ("ad_watched", {}, 0), ("share", {}, 0),
    ("quiz", QUIZ, 0), ("lucky_draw", WHEEL, 0),
]  # fmt: skip


def rewards_of(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [task[name] for name in ("reward", "friend_reward", "terms") if name in task]


@pytest.mark.parametrize(("kind", "more", "days"), DEFAULT_DELAYS)
def test_a_draft_that_says_no_delay_has_that_of_its_kind_of_task(kind, more, days):
    made = terms(tasks=one_task(kind, **more)).stored()
    assert {each["pending_days"] for each in rewards_of(made["tasks"][0])} == {days}


@pytest.mark.parametrize("kind", ["registration", "first_order", "install", "survey", "referral"])
def test_a_draft_that_pays_at_once_does(kind):
    at_once = {"reward": {"bytes": 1, "pending_days": 0}}
    made = terms(tasks=one_task(kind, **at_once)).stored()
    assert made["tasks"][0]["reward"]["pending_days"] == 0


def test_old_terms_in_the_log_that_say_no_delay_have_none():
    stored = terms(tasks=one_task("first_order")).stored()
    del stored["tasks"][0]["reward"]["pending_days"]
    (task,) = read_terms(stored).tasks
    assert isinstance(task, FirstOrder)
    assert lot_terms(task.reward, NOW).valid_from == NOW


UNUSABLE_LOTS: list[tuple[dict[str, Any], str]] = [
    ({"scope": []}, "scope"),
    ({"scope": [""]}, "scope"),
    ({"hours": {"begins": 60, "ends": 60}}, "hours"),
]
UNUSABLE: list[tuple[dict[str, Any], str]] = [
    *(
        (part, named)
        for lot, named in [*UNUSABLE_LOTS, ({"carries": True}, "carries")]
        for part in (
            {"tasks": one_task("sign_in", reward={"bytes": 1, **lot})},
            {"tasks": one_task("referral", friend_reward={"bytes": 1, **lot})},
            {"tasks": one_task("lucky_draw", **WHEEL | {"terms": {"bytes": 1, **lot}})},
        )
    ),
    *(
        (CLUB | {"offer": None, "grants": [{"name": "g", "bytes": 1, **lot}]}, named)
        for lot, named in [*UNUSABLE_LOTS, ({"carries": True, "valid": {"days": 7}}, "carries")]
    ),
    ({"offer": DIDI["offer"] | {"hours": {"begins": 60, "ends": 60}}}, "hours"),
]


@pytest.mark.parametrize(("change", "named"), UNUSABLE)
def test_what_nobody_could_use_or_would_come_alive_again_is_not_drafted(change, named):
    with pytest.raises(InvalidError, match=f"`{named}`"):
        terms(**change)


@pytest.mark.parametrize(("change", "named"), UNUSABLE)
def test_terms_that_were_put_before_this_was_refused_can_still_be_read(change, named):
    stored = msgspec.to_builtins(draft(**change)) | {"starts_at": 0, "ends_at": 1}
    assert named in str(read_terms(stored).stored())


def test_a_grant_that_ends_with_a_month_may_carry():
    grants = [{"name": "g", "bytes": 1, "carries": True, "valid": {"months": 0}}]
    assert terms(**CLUB | {"offer": None, "grants": grants}).grants[0].carries


def test_a_list_of_hosts_keeps_its_version_until_it_says_something_else():
    first = terms().offer
    assert first is not None
    assert first.content is not None
    assert (first.content.version, first.content.count) == (1, 3)
    same = terms_of(draft(offer=DIDI["offer"] | {"hosts": HOSTS[::-1]}), CALENDAR, first.content)
    other = terms_of(draft(offer=DIDI["offer"] | {"hosts": HOSTS[:1]}), CALENDAR, first.content)
    assert same.offer is not None
    assert other.offer is not None
    assert same.offer.content == first.content
    assert isinstance(other.offer.content, Content)
    assert other.offer.content.version == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ends_at": "2015-08-01"}, "ends_at"),
        ({"starts_at": "August"}, "starts_at"),
        ({"offer": None}, "needs `tasks`"),
        ({"offer": {"rating_group": "any", "hosts": HOSTS}}, "has no `hosts`"),
        ({"offer": {"rating_group": "didi", "listed": True}}, "audience"),
        ({"offer": {"rating_group": "didi"}, "audience": {"list": "vip"}}, "must be `listed`"),
        ({"offer": {"rating_group": "didi"},
          "budget": {"unlimited": True, "per_day_bytes": 5}}, "cap of a day"),
        ({"offer": {"rating_group": "didi", "caps": {"per_day_bytes": 5}},
          "budget": {"unlimited": True}}, "cap of a day"),
        ({"budget": {"per_day_bytes": 5}, "tasks": [{"kind": "sign_in", "name": "a"}]},
         "`tasks` alone or of an `offer` alone"),
        ({"budget": {"per_day_bytes": 5}, "offer": None, **CLUB}, "`grants` are given whatever"),
        ({"budget": {"per_subscriber_bytes": 5}, "offer": None, **CLUB}, "`grants` have their"),
        ({"budget": {"per_subscriber_bytes": 5}}, "an `offer` has `caps` of its own"),
        ({"offer": {"rating_group": "didi", "content": {"version": 1, "hosts_digest": "",
                                                        "count": 1}}}, "made by the bank"),
        ({"tasks": [{"kind": "sign_in", "name": "a"}] * 2}, "two tasks"),
    ],
)  # fmt: skip
def test_terms_that_mean_nothing_are_refused(change, said):
    with pytest.raises(InvalidError, match=said):
        terms(**change)


def test_a_budgets_limits_are_taken_where_they_hold_for_all_that_is_given():
    tasks = [{"kind": "sign_in", "name": "a"}]
    for change in (
        {"budget": {"per_day_bytes": 5, "total_bytes": 9}},
        {"budget": {"per_day_bytes": 5, "per_subscriber_bytes": 5}, "tasks": tasks, "offer": None},
        {"budget": {"per_subscriber_bytes": 5}, "tasks": tasks},
    ):
        made = terms(**change).budget
        assert msgspec.to_builtins(made) == change["budget"]


@pytest.mark.parametrize("host", ["com", "*.didi.com", "Didi.com", "di di.com", "http://di.com"])
def test_a_host_pattern_is_a_plain_lower_case_name(host):
    with pytest.raises(msgspec.ValidationError):
        draft(offer={"rating_group": "didi", "hosts": [host]})


def test_a_neutral_country_forbids_offers_by_content_and_leaves_awards():
    assert code_of(lambda: check_content_allowed(draft(), neutral=True)) == (
        "content_offers_forbidden"
    )
    check_content_allowed(draft(), neutral=False)
    check_content_allowed(draft(offer={"rating_group": "any"}), neutral=True)
    awards = draft(offer=None, tasks=[{"kind": "sign_in", "name": "a"}])
    check_content_allowed(awards, neutral=True)


def test_a_campaign_goes_from_its_draft_to_its_end():
    campaign = funded()
    assert campaign.state == "approved"
    assert campaign.start(META)
    assert not campaign.start(META)
    assert campaign.pause(META)
    assert campaign.start(at(1))
    assert campaign.end(at(2))
    assert not campaign.end(at(3))
    assert code_of(campaign.start, META) == "campaign_ended"
    found = again(campaign)
    assert (found.state, found.funded_bytes, found.terms_version) == ("ended", 1_000_000, 1)
    assert found.offer_version == campaign.offer_version == 5


def test_nothing_starts_that_was_not_approved_or_has_no_bytes():
    campaign = drafted()
    assert code_of(campaign.fund, "f" * 32, 1, META) == "campaign_not_approved"
    assert code_of(campaign.start, META) == "campaign_not_approved"
    campaign.approve(META)
    assert code_of(campaign.start, META) == "campaign_not_funded"
    assert code_of(campaign.pause, META) == "campaign_not_running"
    campaign.fund("f" * 32, 1, META)
    assert code_of(campaign.start, META) == "campaign_not_funded"
    campaign.on(refused("f" * 32), META)
    assert campaign.fundings["f" * 32].code == "insufficient_data"
    assert code_of(campaign.start, META) == "campaign_not_funded"
    assert code_of(campaign.start, at(60)) == "campaign_over"


def test_an_unlimited_campaign_starts_without_funding():
    campaign = drafted(budget={"unlimited": True})
    campaign.approve(META)
    assert campaign.start(META)


def test_a_campaign_is_never_funded_with_more_than_its_budget():
    campaign = funded(600_000)
    with pytest.raises(RefusedError) as caught:
        campaign.fund("e" * 32, 400_001, META)
    assert caught.value.extra == {"allowed_bytes": 400_000}
    assert campaign.fund("e" * 32, 400_000, META)
    campaign.on(refused("e" * 32), META)
    assert campaign.fund("d" * 32, 400_000, META)


def test_the_ledgers_word_on_a_funding_counts_once():
    campaign = funded()
    assert not campaign.on(received("f" * 32), META)
    assert not campaign.on(refused("f" * 32), META)
    assert not campaign.on(received("0" * 32), META)
    assert campaign.funded_bytes == 1_000_000


def test_new_terms_are_a_new_version_and_want_approval_before_the_first_start():
    campaign = funded()
    assert not campaign.change(terms(), META)
    assert campaign.change(terms(title="again"), META)
    assert (campaign.terms_version, campaign.state) == (2, "drafted")
    assert code_of(campaign.start, META) == "campaign_not_approved"
    campaign.approve(META)
    campaign.start(META)
    campaign.change(terms(title="while it runs"), META)
    assert (campaign.terms_version, campaign.state) == (3, "running")
    assert again(campaign).versions[2].title == "again"


def partner() -> Partner:
    made = Partner.register("didi", "S-1", "Didi", META)
    made.add_app("didi-app", "", META)
    return made


def test_keys_are_good_side_by_side_until_the_old_one_ends():
    made = partner()
    assert code_of(made.issue_key, "other-app", "k0", META) == "app_not_found"
    made.issue_key("didi-app", "k1", META)
    made.issue_key("didi-app", "k2", META)
    assert made.retire_key("k1", NOW + DAY_MS, META)
    assert not made.retire_key("k1", NOW + 2 * DAY_MS, META)
    assert made.valid_keys("didi-app", NOW) == ["k1", "k2"]
    assert again(made).valid_keys("didi-app", NOW + DAY_MS) == ["k2"]
    assert code_of(made.retire_key, "k9", NOW, META) == "key_not_found"


def test_a_day_keeps_its_prices():
    made = partner()
    made.set_prices("2015-08-01", {"award": 100}, "2015-07-31", META)
    made.set_prices("2015-08-05", {"award": 200}, "2015-07-31", META)
    assert made.prices_at("2015-07-31") is None
    first, second = made.prices_at("2015-08-04"), made.prices_at("2015-08-05")
    assert first is not None
    assert second is not None
    assert (first.version, second.version) == (1, 2)
    assert code_of(made.set_prices, "2015-07-30", {}, "2015-07-31", META) == "prices_in_past"


def test_a_contract_is_in_force_between_its_dates():
    made = partner()
    made.sign_contract(NOW, NOW + DAY_MS, "t1", META)
    found = made.contract_at(NOW)
    assert found is not None
    assert found.terms_version == "t1"
    assert made.contract_at(NOW + DAY_MS) is None
    assert code_of(made.sign_contract, NOW, NOW, "t2", META) == "contract_dates"


def test_what_a_partner_was_is_what_its_events_say():
    made = partner()
    made.issue_key("didi-app", "k1", META)
    made.buy("o" * 32, 1 << 30, 99_00, None, "2015-07-31", META)
    made.suspend(META)
    assert not made.suspend(META)
    found = again(made)
    assert (found.state, found.bought_bytes, found.bought_fen) == ("suspended", 1 << 30, 99_00)
    assert isinstance(found.account, str)
    assert found.resume(META)
    assert issubclass(type(found.collect_events()[0].data), Event)
