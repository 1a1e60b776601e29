"""The view `partners`: who pays at which prices, and whose each campaign is, as tasks tells."""

from typing import Any, ClassVar

import msgspec

from services.gateway.integration import ViewEvent
from services.gateway.projections import Key, Rows
from services.gateway.views import AnyCursor, View, columns_of
from shared.contracts.tasks import CampaignDrafted, PartnerRegistered, PricesSet

PARTNER_PREFIX, CAMPAIGN_PREFIX = "partner:", "campaign:"


def partner_account(name: str) -> str:
    """Return a partner's account, named with or without `partner:`."""
    return PARTNER_PREFIX + name.removeprefix(PARTNER_PREFIX)


def campaign_account(name: str) -> str:
    """Return a campaign's account, named with or without `campaign:`."""
    return CAMPAIGN_PREFIX + name.removeprefix(CAMPAIGN_PREFIX)


class PartnersDelta:
    """Rows that events add: partners, versions of their prices, campaigns."""

    def __init__(self) -> None:
        self.partners: dict[Key, tuple[Any, ...]] = {}
        self.prices: dict[Key, tuple[Any, ...]] = {}
        self.campaigns: dict[Key, tuple[Any, ...]] = {}

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event tells; each row is told once."""
        del log
        match event:
            case PartnerRegistered():
                self.partners[(event.account,)] = (event.sponsor_id, event.title)
            case PricesSet():
                terms = (event.from_day, event.recorded_at, event.fen_per_gib)
                self.prices[event.account, event.price_version] = terms
            case CampaignDrafted():
                name = campaign_account(event.campaign)
                self.campaigns[(name,)] = (partner_account(event.partner), event.asp_id)

    def size(self) -> int:
        """Return how many rows writing this will touch."""
        return len(self.partners) + len(self.prices) + len(self.campaigns)

    def rows(self) -> Rows:
        """Return the rows of each table."""
        return {
            "partners": self.partners, "partner_prices": self.prices,
            "partner_campaigns": self.campaigns,
        }  # fmt: skip


INSERT_PARTNERS = """
INSERT INTO {partners} (partner, sponsor_id, title)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
"""
INSERT_PRICES = """
INSERT INTO {partner_prices} (partner, price_version, from_day, recorded_at, fen_per_gib)
SELECT partner, price_version, from_day, recorded_at, fen_per_gib::jsonb
FROM unnest(%s::text[], %s::bigint[], %s::date[], %s::bigint[], %s::text[])
    AS new (partner, price_version, from_day, recorded_at, fen_per_gib)
"""
INSERT_CAMPAIGNS = """
INSERT INTO {partner_campaigns} (campaign, partner, asp_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
"""


class PartnersView(View):
    """Partners with their prices, and whose each campaign is."""

    name: ClassVar = "partners"
    service: ClassVar = "tasks"
    tables: ClassVar = {
        "partners": (("partner",), ("sponsor_id", "title")),
        "partner_prices": (
            ("partner", "price_version"), ("from_day::text", "recorded_at", "fen_per_gib"),
        ),
        "partner_campaigns": (("campaign",), ("partner", "asp_id")),
    }  # fmt: skip

    def new_delta(self) -> PartnersDelta:
        """Return a delta without rows."""
        return PartnersDelta()

    def write(self, cursor: AnyCursor, delta: PartnersDelta) -> None:
        """Add the rows."""
        if delta.partners:
            rows = [(*key, *row) for key, row in delta.partners.items()]
            self._run(cursor, INSERT_PARTNERS, *columns_of(rows))
        if delta.prices:
            prices = [
                (*key, day, at, msgspec.json.encode(fen).decode())
                for key, (day, at, fen) in delta.prices.items()
            ]
            self._run(cursor, INSERT_PRICES, *columns_of(prices))
        if delta.campaigns:
            rows = [(*key, *row) for key, row in delta.campaigns.items()]
            self._run(cursor, INSERT_CAMPAIGNS, *columns_of(rows))
