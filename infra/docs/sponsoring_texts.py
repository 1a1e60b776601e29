"""What the page of events says of sponsored traffic: meanings, readers, examples."""

from typing import Any

from shared.contracts.ledger import (
    OFFERS_STREAM,
    CampaignEnding,
    CampaignExhausted,
    CampaignReplenished,
    Event,
    OfferPublished,
    QuotaMarked,
    QuotasRecalled,
    RecallAnswered,
    RecallDeferred,
    RecallNoted,
    RefillRequested,
    RequestNoted,
    SponsorshipCapped,
)

MEANINGS: dict[str, str] = {
    "RefillRequested.bytes": "bytes that records lack; 0: the quota is only low",
    "RequestNoted.bytes": "bytes that records lack",
    "request_id": "the request, unique in the bank",
    "round": "which recall of this campaign, from 1 on",
    "quotas": "the quotas that are told",
    "quota": "the quota's account",
    "until": "the end of the bank day, ms; null: until there are new funds",
    "RecallDeferred.until": "when it answers at the latest, ms",
    "final": "whether each answers at once: the campaign ends",
    "last": "whether these quotas have got the last bytes, of which they may leave some",
    "refills": "how many refills have come to the quota so far",
    "exhausted_until": "ms; 0: it is not exhausted",
    "cap": "`month` or `day` (the subscriber's own), or `budget` (the campaign's)",
    "period": "the month or day in which it is told once",
    "offer_version": "the version of the offer",
    "offer": "its terms, without hosts",
    "hosts_digest": "SHA-256 (hex) of the sorted hosts, one a line",
    "OfferPublished.version": "the offer's version",
    "sponsored": "what a campaign paid of it",
    "Sponsored.bytes": "bytes that the campaign paid",
    "Sponsored.slices": "which lots of the quota paid",
    "counted": "the periods in which it counts against the subscriber's caps",
    "subscriber": "on a quota: whose record it was",
    "UsageReversed.rating_group": "on a quota: the record's kind of traffic",
    "day": "the bank day for which a refill under a daily cap is",
    "recall": "the recall that a give-back answers; 0: it was not asked for",
    "Leg.parent_lot": "the lot that its lot was taken from",
}
WRITTEN_BY: dict[type[Event], str] = {
    RefillRequested: "a batch in which a quota was short, or got low",
    RequestNoted: "the campaign's partition, in answer to a `refill_requested`",
    QuotasRecalled: "the campaign's partition, where it cannot cover a request, or ends",
    RecallDeferred: "the quota's partition, in answer to `quotas_recalled`, while records may come",
    RecallAnswered: "the quota's partition, in answer to `quotas_recalled`, where nothing is left",
    RecallNoted: "the campaign's partition, in answer to a `recall_answered`",
    CampaignExhausted: "the campaign's partition, when a request cannot be covered",
    CampaignReplenished: "the campaign's partition, when new funds have come",
    CampaignEnding: "the campaign's partition, in answer to tasks' `campaign_ended`",
    QuotaMarked: "the quota's partition, in answer to `campaign_exhausted`, `campaign_replenished`",
    SponsorshipCapped: "the batch that charged a record (in part) to the subscriber",
    OfferPublished: "`PUT /v1/offers/{campaign}`; on the stream `offers:book`, in every partition",
}
READ_BY: dict[type[Event], str] = {
    RefillRequested: "the campaign's partition: a refill, a recall, or `campaign_exhausted`",
    RequestNoted: "views: nothing changes",
    QuotasRecalled: "the quotas' partitions: a `data_transferred` back, or `recall_answered`",
    RecallDeferred: "views: nothing changes",
    RecallAnswered: "the campaign's partition: requests that wait are served",
    RecallNoted: "views: nothing changes",
    CampaignExhausted: "the quotas' partitions: later records fall to the subscriber",
    CampaignReplenished: "the quotas' partitions: they ask again",
    CampaignEnding: "views: nothing changes",
    QuotaMarked: "views: nothing changes",
    SponsorshipCapped: "who sends messages to subscribers. Views: nothing changes",
    OfferPublished: "auditors; views: nothing changes",
}


def _by_ledger(account: str) -> dict[str, Any]:
    return {
        "account": account, "recorded_at": 1440200000000, "actor": "ledger", "rule_version": 1,
        "correlation_id": "6a502d46ca784186bbea041b18fc96b8",
        "causation_id": "/k2b1xq7d/1/ledger_00/140",
    }  # fmt: skip


_RIDES, _HERE, _THERE = "campaign:rides", "quota:rides:00", "quota:rides:01"
EXAMPLES: list[Event] = [
    RefillRequested(**_by_ledger(_HERE), campaign=_RIDES, request_id=f"{_HERE}:1", bytes=214400),
    RequestNoted(**_by_ledger(_RIDES), quota=_HERE, request_id=f"{_HERE}:1", bytes=214400),
    QuotasRecalled(**_by_ledger(_RIDES), round=1, quotas=[_THERE]),
    RecallDeferred(**_by_ledger(_THERE), round=1, until=1440200005000),
    RecallAnswered(**_by_ledger(_THERE), campaign=_RIDES, round=1),
    RecallNoted(**_by_ledger(_RIDES), quota=_THERE, round=1),
    CampaignExhausted(**_by_ledger(_RIDES), quotas=[_HERE, _THERE]),
    CampaignReplenished(**_by_ledger(_RIDES), quotas=[_HERE, _THERE]),
    CampaignEnding(**_by_ledger(_RIDES), partner="partner:didi"),
    QuotaMarked(**_by_ledger(_HERE), campaign=_RIDES, exhausted_until=1440259200000),
    SponsorshipCapped(**_by_ledger("a50e2f674b137b04"), campaign=_RIDES, cap="month",
                      period="2015-08", offer_version=1),
    OfferPublished(
        **_by_ledger(OFFERS_STREAM) | {"actor": "tasks"}, campaign=_RIDES, version=1,
        hosts_digest="5f2a8c0e9b7d4e1f6a3c5b8d0e2f4a6c8b0d2e4f6a8c0b2d4e6f8a0c2b4d6e8f",
        offer={"campaign": _RIDES, "version": 1, "rating_group": "didi", "partner": "partner:didi",
               "sponsor_id": "didi", "asp_id": "rides", "starts_at": 1438358400000},
    ),
]  # fmt: skip
