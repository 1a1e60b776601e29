"""What the page of events says of tasks': meanings, readers, examples."""

from typing import Any

from shared.contracts import tasks
from shared.contracts.ledger import Event
from shared.contracts.offers import RewardTerms
from shared.contracts.tasks import (
    AppAdded,
    AudienceAsked,
    AudienceRefused,
    AudienceTaken,
    CampaignApproved,
    CampaignChanged,
    CampaignDrafted,
    CampaignEnded,
    CampaignFunded,
    CampaignPaused,
    CampaignStarted,
    ClaimAccepted,
    ClaimClawedBack,
    ClaimNoted,
    ClaimPaid,
    ClaimRefused,
    ClawbackAsked,
    CodesExpired,
    CodesMade,
    ContractSigned,
    DataBought,
    DrawResult,
    FundingArrived,
    FundingRefused,
    KeyIssued,
    KeyRetired,
    MembersChanged,
    PackClawedBack,
    PackDelivered,
    PackIssued,
    PackIssueRefused,
    PackOrderCancelled,
    PackOrdered,
    PackOrderPaid,
    PackPublished,
    PartnerRegistered,
    PartnerResumed,
    PartnerSuspended,
    PoolGrew,
    PoolHandedDown,
    PoolLow,
    PoolOpened,
    PricesSet,
)

# Before what the ledger's events mean by the same field.
MEANINGS: dict[str, str] = {
    "partner": "the partner's name; its account is `partner:NAME`",
    "sponsor_id": "what the partner's systems call it (`sponsorId`)",
    "asp_id": "what the partner's systems call the app (`aspId`)",
    "title": "for people",
    "key_id": "which key; its secret is in no log",
    "valid_until": "first instant at which it signs nothing any more, wall time, ms",
    "contract_version": "the contract's number, from 1",
    "starts_at": "first instant at which it is in force, ms",
    "ends_at": "first instant at which it is not, ms",
    "terms_version": "which general terms were signed",
    "price_version": "the number of the prices, from 1; 0: no price is set",
    "from_day": "first day of the bank (`YYYY-MM-DD`) with these prices",
    "fen_per_gib": "fen for 1 GiB, by kind of spend: `award`, `sponsored`, `pack`",
    "amount_fen": "what it costs, in fen (1/100 yuan)",
    "order_id": "32 hex digits, the same in all events of an order",
    "DataBought.bytes": "how much was bought",
    "DataBought.expires_at": "until when it can be spent, ms; null without an end",
    "PackOrderPaid.expires_at": "until when it can be issued, ms; null without an end",
    "campaign": "the campaign's name; its account is `campaign:NAME`",
    "version": "the number of the campaign's terms, from 1",
    "CampaignDrafted.terms": "the terms, as in a campaign's file; in place of host patterns the "
    "version and the SHA-256 of their list",
    "CampaignChanged.terms": "the new terms, as in `campaign_drafted`",
    "funding_id": "32 hex digits, the same in all events of a funding",
    "CampaignFunded.bytes": "how much is to be put into escrow",
    "FundingArrived.bytes": "how much is in escrow now because of it",
    "FundingRefused.bytes": "how much was not put into escrow",
    "FundingRefused.code": "why not",
    "claim_id": "32 hex digits, the same in all events of a claim",
    "task": "which task of the campaign",
    "step": "what of it was done: `first_order`, `signed_in`, `bonus`, `friend`, `referrer`, …",
    "subscriber": "who gets it",
    "ClaimAccepted.bytes": "the reward",
    "ClaimAccepted.terms": "the terms of the lot that it arrives as",
    "PackIssued.terms": "the terms of the lot that it arrives as",
    "happened_at": "when it was done, as it was told, ms; 0: as it was recorded",
    "occurrence": "which time, of a task that can be done more than once: a day, an entry",
    "attributed_at": "when the subscriber came by our entrance, ms; 0: it did not",
    "place": "day of a sign-in's streak, from 1; 0 for other tasks",
    "draw": "how an entry was drawn; null for other tasks",
    "ClaimNoted.code": "why it earns nothing, such as `not_attributed`",
    "ClaimRefused.code": "why nothing was paid",
    "PackIssueRefused.code": "why nothing was delivered",
    "taken_bytes": "what was left of it, and is the campaign's or partner's again",
    "shortfall_bytes": "what was not: used, expired or held",
    "pack": "which pack, or pool, of the catalogue",
    "pack_version": "the version of the catalogue's entry",
    "count": "how many",
    "PackPublished.terms": "the pack, as in its file: size, scope, hours, validity, prices by date",
    "PackOrdered.terms": "the pack as it was ordered; it stays so whatever the catalogue says",
    "pool_id": "32 hex digits, the same in all events of a pool",
    "PackOrdered.pool_id": "the pool that it tops up; empty for a new order",
    "PackIssued.pool_id": "the pool that it is drawn from; null without one",
    "batch": "32 hex digits, the same for codes that were made together",
    "CodesMade.expires_at": "until when they can be used, ms",
    "PoolOpened.bytes": "what is in it at first",
    "PoolGrew.bytes": "how much came in",
    "PoolHandedDown.bytes": "how much went to the pool below",
    "parent_id": "the pool that it is a part of; empty for an ordered one",
    "child_id": "the pool below",
    "member_limit_bytes": "what a member gets of it at most; null without a limit",
    "alarm_percent": "at this share of what it had, or less, `pool_low` tells; 0: never",
    "PoolOpened.terms": "the terms on which members get data of it, as in `pack_ordered`",
    "total_bytes": "what it had in all",
    "left_bytes": "what is left of it",
    "grant": "the campaign's grant that gives it; null for others",
    "cycle": "the month (`YYYY-MM`) of the grant; null for others",
    "list_name": "the list's name",
    "taking": "which time it was asked whom the campaign's rule finds, from 1",
    "list_version": "the version of the list with whom the rule found",
    "AudienceTaken.members": "how many the rule found",
    "AudienceRefused.code": "why nobody was taken",
    "MembersChanged.version": "the list's version, from 1",
    "added": "how many were added",
    "removed": "how many were removed",
    "members": "how many are on it now",
    "digest": "SHA-256 of what was added and removed, hex",
    "PackOrdered.bytes": "what all of them come to",
    "PackOrderPaid.bytes": "what the ledger creates",
    "issue_id": "32 hex digits, the same in all events of an issue",
    "PackIssued.bytes": "the pack's size",
    "PackIssued.attempt": "the how manieth attempt to give the grant of the month",
    "PackIssued.campaign": "the campaign whose grant it is; null for the partner's own issue",
    "code_id": "the code that was redeemed; null without one",
    "roll": "what was drawn, 0 … 9,999",
    "prize": "the prize on which the roll lies, or `nothing`",
    "seed_commitment": "SHA-256 of the day's secret seed, hex; published before",
}

_OPERATOR = "an operator"
_CLAIMS = "a partner's signed call, or the bank's own observation"
WRITTEN_BY: dict[type[Event], str] = {
    **dict.fromkeys(tasks.EVENTS[: tasks.EVENTS.index(FundingArrived)], _OPERATOR),
    FundingArrived: "tasks, on the campaign's `data_received`",
    FundingRefused: "tasks, on `transfer_refused` or `transfer_returned`",
    CampaignStarted: f"{_OPERATOR}; every partition of the ledger has the offer",
    CampaignPaused: _OPERATOR,
    CampaignEnded: _OPERATOR,
    ClaimAccepted: _CLAIMS,
    ClaimNoted: _CLAIMS,
    ClaimPaid: "tasks, on the subscriber's `data_received`",
    ClaimRefused: "tasks, on `transfer_refused` or `transfer_returned`",
    ClawbackAsked: "a partner's signed call, or an operator",
    ClaimClawedBack: "tasks, on `data_clawed_back`, or on `transfer_refused` where nothing is left",
    **dict.fromkeys((PackPublished, PackOrdered, PackOrderPaid, CodesMade), _OPERATOR),
    PoolHandedDown: _OPERATOR,
    MembersChanged: f"{_OPERATOR}; a job of tasks, for the list of a campaign's rule",
    AudienceAsked: _OPERATOR,
    **dict.fromkeys((AudienceTaken, AudienceRefused, CodesExpired), "a job of tasks"),
    PoolOpened: f"{_OPERATOR}, by paying its order or by handing down a part of another",
    PoolGrew: f"{_OPERATOR}, by paying an order that tops it up",
    PoolLow: "tasks, when what is left falls to the alarm's share",
    PackOrderCancelled: _OPERATOR,
    PackIssued: "an operator, a code that is redeemed, or a job that gives a cycle's packs",
    PackDelivered: "tasks, on the subscriber's `data_received`",
    PackIssueRefused: "tasks, on `transfer_refused` or `transfer_returned`",
    PackClawedBack: "tasks, on `data_clawed_back`",
}
_OPENS = "the account's partition: opens it"
_BUYS = "the partner's partition: creates the bytes"
_AWARDS = "the payer's partition: transfer to the subscriber"
READ_BY: dict[type[Event], str] = {
    **dict.fromkeys(tasks.EVENTS, "nobody yet"),
    PartnerRegistered: _OPENS,
    CampaignApproved: _OPENS,
    DataBought: _BUYS,
    PackOrderPaid: _BUYS,
    CampaignFunded: "the partner's partition: transfer to the campaign",
    CampaignEnded: "the campaign's partition: the rest returns to the partner",
    ClaimAccepted: _AWARDS,
    PackIssued: _AWARDS,
    ClawbackAsked: "the subscriber's partition: clawback of what is left",
}

_AUG, _SEP, _2016 = 1438358400000, 1441036800000, 1451577600000
_NOW = 1440200000000
_SUBSCRIBER = "b61f30785c248c15"
_PARTNER, _CAMPAIGN = "partner:didi", "campaign:didi-rides"
_CLAIM, _ORDER, _ISSUE = "5d0a1f3c9b7e4a26", "c1f2e3d4a5b69788", "0a7c5b1d9e8f4236"
_FUNDING = "e4d1c2b3a4958677"
_TRANSFER = "7b3bdb70e14bfef4215cbce0e41628ee"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_AWARD = RewardTerms(kind="award", valid_from=_NOW, expires_at=_SEP)
_PACK = RewardTerms(kind="pack", valid_from=_NOW, expires_at=_SEP, scope=["video"])
_TERMS: dict[str, Any] = {
    "starts_at": _AUG, "title": "Rides",
    "offer": {"rating_group": "didi", "content": {"version": 1, "hosts_digest": _HASH, "count": 3}},
    "tasks": [{"kind": "first_order", "name": "first-ride", "reward": {"bytes": 62914560}}],
}  # fmt: skip
_SOLD: dict[str, Any] = {
    "name": "video-1g", "bytes": 1073741824, "scope": ["video"], "valid": {"days": 30},
    "prices": [{"from_day": "2015-08-01", "fen": 1200}],
}  # fmt: skip


def _of(account: str, about: str, actor: str = "operator") -> dict[str, Any]:
    return {"account": account, "recorded_at": _NOW, "actor": actor, "correlation_id": about}


_ON_PARTNER: dict[str, Any] = _of(_PARTNER, _FUNDING)
_ON_CAMPAIGN: dict[str, Any] = {**_of(_CAMPAIGN, _CLAIM), "campaign": "didi-rides"}
_ON_FUNDING: dict[str, Any] = {
    **_of(_PARTNER, _FUNDING), "campaign": "didi-rides", "funding_id": _FUNDING, "bytes": 1048576,
}  # fmt: skip
_ON_CLAIM: dict[str, Any] = {**_of(_CAMPAIGN, _CLAIM, "tasks"), "claim_id": _CLAIM}
_DONE: dict[str, Any] = {
    **_ON_CLAIM, "campaign": "didi-rides", "partner": "didi", "version": 1, "task": "first-ride",
    "step": "first_order", "subscriber": _SUBSCRIBER, "happened_at": _NOW,
}  # fmt: skip
_ON_ORDER: dict[str, Any] = {**_of(_PARTNER, _ORDER), "order_id": _ORDER}
_POOL = "9b8a7c6d5e4f3021"
_ON_POOL: dict[str, Any] = {**_of(_PARTNER, _POOL), "pool_id": _POOL}
_ON_ISSUE: dict[str, Any] = {**_of(_PARTNER, _ISSUE, "tasks"), "issue_id": _ISSUE}
EXAMPLES: list[Event] = [
    PartnerRegistered(**_ON_PARTNER, partner="didi", sponsor_id="DIDI01", title="Didi"),
    PartnerSuspended(**_ON_PARTNER, reason="unpaid bills"),
    PartnerResumed(**_ON_PARTNER, reason="paid"),
    AppAdded(**_ON_PARTNER, asp_id="didi-passenger"),
    KeyIssued(**_ON_PARTNER, asp_id="didi-passenger", key_id="k_3f9c"),
    KeyRetired(**_ON_PARTNER, asp_id="didi-passenger", key_id="k_3f9c", valid_until=_SEP),
    ContractSigned(**_ON_PARTNER, contract_version=1, starts_at=_AUG, ends_at=_2016,
                   terms_version="2015-06"),
    PricesSet(**_ON_PARTNER, price_version=1, from_day="2015-08-01",
              fen_per_gib={"award": 1500, "sponsored": 1000, "pack": 1200}),
    DataBought(**_ON_PARTNER, order_id=_ORDER, bytes=1073741824, price_version=1, amount_fen=1500),
    CampaignDrafted(**_ON_CAMPAIGN, partner="didi", asp_id="didi-passenger", version=1,
                    terms=_TERMS),
    CampaignChanged(**_ON_CAMPAIGN, version=2, terms=_TERMS),
    CampaignApproved(**_ON_CAMPAIGN, partner="didi", version=1),
    CampaignFunded(**_ON_FUNDING),
    FundingArrived(**_ON_FUNDING),
    FundingRefused(**_ON_FUNDING, code="insufficient_data", detail="0 bytes are available"),
    CampaignStarted(**_ON_CAMPAIGN, version=1),
    CampaignPaused(**_ON_CAMPAIGN, version=1, reason="the app is down"),
    CampaignEnded(**_ON_CAMPAIGN, partner="didi", version=1),
    ClaimAccepted(**_DONE, bytes=62914560, terms=_AWARD, attributed_at=_AUG),
    ClaimNoted(**_DONE, code="not_attributed"),
    ClaimPaid(**_ON_CLAIM, transfer_id=_TRANSFER),
    ClaimRefused(**_ON_CLAIM, code="insufficient_data", detail="0 bytes are available"),
    ClawbackAsked(**_ON_CLAIM | {"account": _SUBSCRIBER}, transfer_id=_TRANSFER,
                  reason="the ride was cancelled"),
    ClaimClawedBack(**_ON_CLAIM, taken_bytes=62914000, shortfall_bytes=560),
    PackPublished(**_of("operator:catalogue", _ORDER), pack="video-1g", pack_version=1,
                  terms=_SOLD),
    PackOrdered(**_ON_ORDER, pack="video-1g", pack_version=1, count=100, bytes=107374182400,
                amount_fen=120000, terms=_SOLD),
    PackOrderPaid(**_ON_ORDER, bytes=107374182400, expires_at=_2016),
    PackOrderCancelled(**_ON_ORDER),
    CodesMade(**_ON_ORDER, batch=_ISSUE, count=50, expires_at=_2016),
    CodesExpired(**_ON_ORDER, count=3),
    PoolOpened(**_ON_POOL, partner="didi", order_id=_ORDER, bytes=107374182400, title="Drivers",
               member_limit_bytes=1073741824, alarm_percent=20),
    PoolGrew(**_ON_POOL, order_id=_ORDER, bytes=10737418240),
    PoolHandedDown(**_ON_POOL, child_id=_ISSUE, bytes=10737418240),
    PoolLow(**_ON_POOL, total_bytes=107374182400, left_bytes=21474836480),
    PackIssued(**_ON_ISSUE, order_id=_ORDER, partner="didi", subscriber=_SUBSCRIBER,
               bytes=1073741824, terms=_PACK),
    PackDelivered(**_ON_ISSUE, transfer_id=_TRANSFER),
    PackIssueRefused(**_ON_ISSUE, code="account_not_found"),
    PackClawedBack(**_ON_ISSUE, taken_bytes=1073000000, shortfall_bytes=741824),
    MembersChanged(**_of("operator:lists", _ISSUE), list_name="drivers", version=2, added=1200,
                   removed=3, members=41197, digest=_HASH),
    AudienceAsked(**_ON_CAMPAIGN, taking=2, list_name="campaign:didi-rides:1",
                  reason="a new month"),
    AudienceTaken(**_ON_CAMPAIGN | {"actor": "tasks"}, taking=2, list_name="campaign:didi-rides:1",
                  list_version=9, members=41197),
    AudienceRefused(**_ON_CAMPAIGN | {"actor": "tasks"}, taking=2,
                    list_name="campaign:didi-rides:1", code="audience_too_small"),
]  # fmt: skip
PARTS = (DrawResult,)
