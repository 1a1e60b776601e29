"""For whom a campaign is: its rule is asked at the start, when it changes, and by hand."""

from typing import Any

import msgspec
import pytest

from services.tasks.domain.audience import Taken
from services.tasks.domain.campaign import Campaign
from services.tasks.domain.terms import CampaignTerms
from shared.errors import RefusedError
from shared.sagas.aggregate import Meta

META = Meta(now=1_440_000_000_000, actor="operator")
LAPSED: dict[str, Any] = {"rule": {"lapsed_days": 30}}
SILENT: dict[str, Any] = {"rule": {"lapsed_days": 60}}


def terms(audience: dict[str, Any], title: str = "") -> CampaignTerms:
    """Return terms for somebody."""
    task = {"kind": "sign_in", "name": "hello"}
    return msgspec.convert(
        {"audience": audience, "title": title, "tasks": [task], "starts_at": 0,
         "budget": {"unlimited": True}},
        CampaignTerms,
    )  # fmt: skip


@pytest.fixture
def campaign() -> Campaign:
    """An approved campaign for those who were long silent."""
    made = Campaign.draft("back", "didi", "app", terms(LAPSED), META)
    made.approve(META)
    return made


def taken(name: str) -> Taken:
    return Taken(name, 3, 70, META.now)


def test_a_rule_is_asked_when_its_campaign_starts_and_not_again_when_it_goes_on(campaign):
    assert not campaign.audience_due
    assert campaign.members_of == "campaign:back:1"
    campaign.start(META)
    assert campaign.audience_due
    assert campaign.take_audience(1, taken("campaign:back:1"), META)
    assert not campaign.audience_due
    assert campaign.audience.is_taken("campaign:back:1")
    campaign.pause(META)
    campaign.start(META)
    assert not campaign.audience_due


def test_it_can_be_asked_before_the_start_and_again_and_the_list_of_before_counts_meanwhile(
    campaign,
):
    assert campaign.ask_audience(META)
    assert not campaign.ask_audience(META)
    assert campaign.take_audience(1, taken("campaign:back:1"), META)
    campaign.start(META)
    assert not campaign.audience_due
    assert campaign.ask_audience(META)
    assert (campaign.audience_due, campaign.audience.is_taken("campaign:back:1")) == (True, True)


def test_terms_with_the_same_rule_keep_the_list_and_another_rule_has_its_own(campaign):
    campaign.start(META)
    campaign.take_audience(1, taken("campaign:back:1"), META)
    campaign.change(terms(LAPSED, "other words"), META)
    assert (campaign.audience_due, campaign.members_of) == (False, "campaign:back:1")
    campaign.change(terms(SILENT), META)
    assert (campaign.audience_due, campaign.members_of) == (True, "campaign:back:3")
    assert not campaign.audience.is_taken("campaign:back:3")
    assert not campaign.take_audience(1, taken("campaign:back:1"), META)
    assert not campaign.take_audience(2, taken("campaign:back:1"), META)
    assert campaign.take_audience(2, taken("campaign:back:3"), META)


def test_nobody_is_taken_of_too_few_and_the_next_start_asks_again(campaign):
    campaign.start(META)
    assert campaign.refuse_audience(1, "campaign:back:1", "audience_too_small", META)
    assert (campaign.audience_due, campaign.audience.code) == (False, "audience_too_small")
    assert not campaign.audience.is_taken("campaign:back:1")
    campaign.pause(META)
    campaign.start(META)
    assert campaign.audience_due


def test_a_list_or_everybody_is_not_asked_for_and_nothing_is_once_it_has_ended(campaign):
    everybody = Campaign.draft("all", "didi", "app", terms({"all": True}), META)
    with pytest.raises(RefusedError) as refused:
        everybody.ask_audience(META)
    assert refused.value.code == "audience_is_no_rule"
    listed = Campaign.draft("vip", "didi", "app", terms({"list": "vip"}), META)
    assert (everybody.members_of, listed.members_of) == (None, "vip")
    campaign.start(META)
    campaign.end(META)
    assert not campaign.audience_due
    assert not campaign.take_audience(1, taken("campaign:back:1"), META)
