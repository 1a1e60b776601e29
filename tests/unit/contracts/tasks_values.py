"""What the golden files of tasks say, as values: per event one with every field, one with least.

A golden file never changes. A new field gets another entry in `values.LATER` and in the file.
"""

from typing import Any

from shared.contracts.ledger import Event
from shared.contracts.offers import Hours, RewardTerms
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

AUG, SEP, YEAR_END = 1438358400000, 1441036800000, 1451577600000
CLAIM, ORDER, ISSUE, FUNDING = "5d0a1f3c", "c1f2e3d4", "0a7c5b1d", "e4d1c2b3"
POOL = "9b8a7c6d"
TRANSFER = "7b3bdb70e14bfef4215cbce0e41628ee"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
LEAST: dict[str, Any] = {
    "account": "partner:didi", "recorded_at": 1440200000000, "actor": "operator",
}  # fmt: skip
ALL: dict[str, Any] = {
    "account": "campaign:didi-rides",
    "recorded_at": 1440200000001,
    "actor": "tasks",
    "correlation_id": CLAIM,
    "causation_id": "/k2b1xq7d/1/ledger_00/124",
    "reason": "乘车未完成",
    "rule_version": 3,
}
TERMS: dict[str, Any] = {
    "starts_at": AUG, "title": "天翼流量800",
    "offer": {"rating_group": "didi", "content": {"version": 1, "hosts_digest": HASH, "count": 3}},
}  # fmt: skip
LONG = RewardTerms(kind="pack", valid_from=AUG, expires_at=SEP, scope=["video", "music"],
                   hours=Hours(1380, 420), giftable=True, carries=True)  # fmt: skip
SHORT = RewardTerms(kind="award", valid_from=AUG, expires_at=SEP)
DRAW = DrawResult(roll=9999, prize="nothing", seed_commitment=HASH)
APP: dict[str, Any] = {"asp_id": "didi-passenger"}
KEY: dict[str, Any] = {**APP, "key_id": "k_3f9c"}
CONTRACT: dict[str, Any] = {
    "contract_version": 2, "starts_at": AUG, "ends_at": YEAR_END, "terms_version": "2015-06",
}  # fmt: skip
PRICES: dict[str, Any] = {
    "price_version": 2, "from_day": "2015-08-01",
    "fen_per_gib": {"award": 1500, "sponsored": 1000, "pack": 0},
}  # fmt: skip
CAMPAIGN: dict[str, Any] = {"campaign": "didi-rides", "version": 2}
OWNED: dict[str, Any] = {**CAMPAIGN, "partner": "didi"}
FUNDED: dict[str, Any] = {"campaign": "didi-rides", "funding_id": FUNDING, "bytes": 2**53 - 1}
DONE: dict[str, Any] = {
    **OWNED, "claim_id": CLAIM, "task": "first-ride", "step": "first_order", "subscriber": "ann",
}  # fmt: skip
HOW: dict[str, Any] = {
    "happened_at": AUG, "occurrence": "2015-08-01", "attributed_at": AUG, "draw": DRAW,
}  # fmt: skip
PACKS: dict[str, Any] = {
    "order_id": ORDER, "pack": "video-1g", "pack_version": 1, "count": 100,
    "bytes": 107374182400, "amount_fen": 120000,
}  # fmt: skip
ISSUED: dict[str, Any] = {
    "issue_id": ISSUE, "order_id": ORDER, "partner": "didi", "subscriber": "ann",
    "bytes": 1073741824,
}  # fmt: skip
SOLD: dict[str, Any] = {"pack": "video-1g", "bytes": 1073741824, "scope": ["video"]}
PUBLISHED: dict[str, Any] = {"pack": "video-1g", "pack_version": 2, "terms": SOLD}
CODES: dict[str, Any] = {"order_id": ORDER, "batch": "b0a1", "count": 50, "expires_at": YEAR_END}
OPENED: dict[str, Any] = {
    "pool_id": POOL, "partner": "didi", "order_id": ORDER, "bytes": 107374182400,
}  # fmt: skip
HANDED: dict[str, Any] = {"pool_id": POOL, "child_id": "9b8b", "bytes": 1}
LIST: dict[str, Any] = {
    "list_name": "drivers", "version": 2, "added": 1200, "removed": 3, "members": 41197,
    "digest": HASH,
}  # fmt: skip
TAKING: dict[str, Any] = {
    "campaign": "didi-rides", "taking": 2, "list_name": "campaign:didi-rides:1",
}  # fmt: skip
FOUND: dict[str, Any] = {**TAKING, "list_version": 9, "members": 41197}
TAKEN: dict[str, Any] = {"claim_id": CLAIM, "taken_bytes": 0, "shortfall_bytes": 62914560}

FULL: list[Event] = [
    PartnerRegistered(**ALL, partner="didi", sponsor_id="DIDI01", title="滴滴"),
    PartnerSuspended(**ALL),
    PartnerResumed(**ALL),
    AppAdded(**ALL, **APP, title="乘客端"),
    KeyIssued(**ALL, **KEY),
    KeyRetired(**ALL, **KEY, valid_until=SEP),
    ContractSigned(**ALL, **CONTRACT),
    PricesSet(**ALL, **PRICES),
    DataBought(**ALL, order_id=ORDER, bytes=1073741824, expires_at=YEAR_END, price_version=2,
               amount_fen=1500),
    CampaignDrafted(**ALL, **OWNED, **APP, terms=TERMS),
    CampaignChanged(**ALL, **CAMPAIGN, terms=TERMS),
    CampaignApproved(**ALL, **OWNED),
    CampaignFunded(**ALL, **FUNDED),
    FundingArrived(**ALL, **FUNDED),
    FundingRefused(**ALL, **FUNDED, code="insufficient_data", detail="0 bytes are available"),
    CampaignStarted(**ALL, **CAMPAIGN),
    CampaignPaused(**ALL, **CAMPAIGN),
    CampaignEnded(**ALL, **OWNED),
    ClaimAccepted(**ALL, **DONE, **HOW, bytes=62914560, terms=LONG, place=7),
    ClaimNoted(**ALL, **DONE, **HOW, code="not_attributed"),
    ClaimPaid(**ALL, claim_id=CLAIM, transfer_id=TRANSFER),
    ClaimRefused(**ALL, claim_id=CLAIM, code="insufficient_data", detail="too little"),
    ClawbackAsked(**ALL, claim_id=CLAIM, transfer_id=TRANSFER),
    ClaimClawedBack(**ALL, **TAKEN),
    PackPublished(**ALL, **PUBLISHED),
    PackOrdered(**ALL, **PACKS, pool_id=POOL, terms=SOLD),
    PackOrderPaid(**ALL, order_id=ORDER, bytes=107374182400, expires_at=YEAR_END),
    PackOrderCancelled(**ALL, order_id=ORDER),
    CodesMade(**ALL, **CODES),
    CodesExpired(**ALL, order_id=ORDER, count=3),
    PoolOpened(**ALL, **OPENED, title="司机", parent_id="9b8b", member_limit_bytes=1073741824,
               alarm_percent=20, terms=SOLD),
    PoolGrew(**ALL, pool_id=POOL, order_id=ORDER, bytes=1),
    PoolHandedDown(**ALL, **HANDED),
    PoolLow(**ALL, pool_id=POOL, total_bytes=100, left_bytes=20),
    PackIssued(**ALL, **ISSUED, terms=LONG, campaign="didi-rides", code_id="7f00", pool_id=POOL,
               grant="monthly", cycle="2015-08"),
    PackDelivered(**ALL, issue_id=ISSUE, transfer_id=TRANSFER),
    PackIssueRefused(**ALL, issue_id=ISSUE, code="account_closed", detail="it is closed"),
    PackClawedBack(**ALL, issue_id=ISSUE, taken_bytes=3, shortfall_bytes=1),
    MembersChanged(**ALL, **LIST),
    AudienceAsked(**ALL, **TAKING),
    AudienceTaken(**ALL, **FOUND),
    AudienceRefused(**ALL, **TAKING, code="audience_too_small"),
]  # fmt: skip
MINIMAL: list[Event] = [
    PartnerRegistered(**LEAST, partner="didi", sponsor_id="DIDI01"),
    PartnerSuspended(**LEAST),
    PartnerResumed(**LEAST),
    AppAdded(**LEAST, **APP),
    KeyIssued(**LEAST, **KEY),
    KeyRetired(**LEAST, **KEY, valid_until=SEP),
    ContractSigned(**LEAST, **CONTRACT),
    PricesSet(**LEAST, **PRICES),
    DataBought(**LEAST, order_id=ORDER, bytes=1),
    CampaignDrafted(**LEAST, **OWNED, **APP, terms={}),
    CampaignChanged(**LEAST, **CAMPAIGN, terms={}),
    CampaignApproved(**LEAST, **OWNED),
    CampaignFunded(**LEAST, **FUNDED),
    FundingArrived(**LEAST, **FUNDED),
    FundingRefused(**LEAST, **FUNDED, code="insufficient_data"),
    CampaignStarted(**LEAST, **CAMPAIGN),
    CampaignPaused(**LEAST, **CAMPAIGN),
    CampaignEnded(**LEAST, **OWNED),
    ClaimAccepted(**LEAST, **DONE, bytes=1, terms=SHORT),
    ClaimNoted(**LEAST, **DONE, code="not_attributed"),
    ClaimPaid(**LEAST, claim_id=CLAIM, transfer_id=TRANSFER),
    ClaimRefused(**LEAST, claim_id=CLAIM, code="insufficient_data"),
    ClawbackAsked(**LEAST, claim_id=CLAIM, transfer_id=TRANSFER),
    ClaimClawedBack(**LEAST, **TAKEN),
    PackPublished(**LEAST, **PUBLISHED),
    PackOrdered(**LEAST, **PACKS),
    PackOrderPaid(**LEAST, order_id=ORDER, bytes=1),
    PackOrderCancelled(**LEAST, order_id=ORDER),
    CodesMade(**LEAST, **CODES),
    CodesExpired(**LEAST, order_id=ORDER, count=3),
    PoolOpened(**LEAST, **OPENED),
    PoolGrew(**LEAST, pool_id=POOL, order_id=ORDER, bytes=1),
    PoolHandedDown(**LEAST, **HANDED),
    PoolLow(**LEAST, pool_id=POOL, total_bytes=100, left_bytes=20),
    PackIssued(**LEAST, **ISSUED, terms=SHORT),
    PackDelivered(**LEAST, issue_id=ISSUE, transfer_id=TRANSFER),
    PackIssueRefused(**LEAST, issue_id=ISSUE, code="account_not_found"),
    PackClawedBack(**LEAST, issue_id=ISSUE, taken_bytes=3, shortfall_bytes=1),
    MembersChanged(**LEAST, **LIST),
    AudienceAsked(**LEAST, **TAKING),
    AudienceTaken(**LEAST, **FOUND),
    AudienceRefused(**LEAST, **TAKING, code="audience_too_small"),
]
