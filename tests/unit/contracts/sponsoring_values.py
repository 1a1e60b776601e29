"""What the golden files of sponsored traffic say, as values."""

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

QUOTAS = ["quota:rides:00", "quota:rides:01"]
RIDES = "campaign:rides"


def values(common: dict[str, Any]) -> list[Event]:
    """Return one of each; their own fields are all compulsory but `until`."""
    return [
        RefillRequested(**common, campaign=RIDES, request_id="quota:rides:00:1", bytes=214400),
        RequestNoted(**common, quota=QUOTAS[0], request_id="quota:rides:00:1", bytes=214400),
        QuotasRecalled(**common, round=1, quotas=QUOTAS),
        RecallDeferred(**common, round=1, until=1440200010000),
        RecallAnswered(**common, campaign=RIDES, round=1),
        RecallNoted(**common, quota=QUOTAS[1], round=1),
        CampaignExhausted(**common, quotas=QUOTAS),
        CampaignReplenished(**common, quotas=QUOTAS),
        CampaignEnding(**common, partner="partner:didi"),
        QuotaMarked(**common, campaign=RIDES, exhausted_until=1440259200000),
        SponsorshipCapped(**common, campaign=RIDES, cap="day", period="2015-08-03",
                          offer_version=2),
        OfferPublished(**common | {"account": OFFERS_STREAM}, campaign=RIDES, version=2,
                       offer={"rating_group": "didi"}, hosts_digest="5f2a"),
    ]  # fmt: skip
