"""HTTP about partners' spend, its settlement, and campaigns: thin as the rest."""

from typing import Any

from flask import Blueprint, Response

from services.gateway.api import gateway
from services.gateway.schemas import (
    CampaignsQuery,
    FreshQuery,
    NoQuery,
    SettlementQuery,
    SpendQuery,
)
from services.gateway.settlement import settlement_csv
from services.gateway.spend_queries import KEY
from shared.auth import allow
from shared.errors import InvalidError
from shared.http import json_response, no_body, query, stream
from shared.paging import parts_of

blueprint = Blueprint("spending", __name__)

CSV = "text/csv; charset=utf-8"


@blueprint.get("/v1/partners/<partner>/spend")
@allow("operator", "tasks")
def get_partner_spend(partner: str) -> Response:
    """Show what a partner's campaigns delivered; the partner with or without `partner:`."""
    asked = query(SpendQuery(exclude=["partner"]))
    return json_response(_spend(partner, asked))


@blueprint.get("/v1/partners/spend")
@allow("operator", "tasks")
def get_spend() -> Response:
    """Show what all partners' campaigns delivered."""
    asked = query(SpendQuery())
    return json_response(_spend(asked["partner"], asked))


def _spend(partner: str | None, asked: dict[str, Any]) -> dict[str, Any]:
    filters = {name: asked[name] for name in ("campaign", "kind", "day_from", "day_to")}
    first, last = asked["day_from"], asked["day_to"]
    if first is not None and last is not None and first > last:
        raise InvalidError("`day_from` must not lie after `day_to`: no day is in between")
    place = parts_of(asked["after"], (str,) * len(KEY))
    filters |= dict(zip((f"after_{name}" for name in KEY), place, strict=True))
    return gateway().spending.spend(partner, filters, asked["limit"], asked["at_least"])


@blueprint.get("/v1/partners/alarms")
@allow("operator", "tasks")
def get_alarms() -> Response:
    """List the partners and campaigns that have little left, by account."""
    asked = query(CampaignsQuery())
    return json_response(gateway().spending.alarms(**asked))


@blueprint.get("/v1/partners/<partner>/settlements/<day>")
@allow("operator", "tasks")
def get_settlement(partner: str, day: str) -> Response:
    """Show what a partner owes for a day that is over: CSV, or JSON with `format=json`."""
    asked = query(SettlementQuery())
    document = gateway().spending.settlement(partner, day)
    if asked["format"] == "json":
        return json_response(document)
    return Response(settlement_csv(document), content_type=CSV)


@blueprint.post("/v1/partners/<partner>/settlements/<day>:check")
@allow("operator")
def check_settlement(partner: str, day: str) -> Response:
    """Compare a settlement with the ledger's log; answers with progress, line by line."""
    query(NoQuery())
    no_body()
    return stream(gateway().spending.check(partner, day))


@blueprint.get("/v1/campaigns")
@allow("operator", "tasks")
def get_campaigns() -> Response:
    """List campaigns with what they were given and where that is, by name."""
    asked = query(CampaignsQuery())
    return json_response(gateway().spending.campaigns(**asked))


@blueprint.get("/v1/campaigns/<name>")
@allow("operator", "tasks")
def get_campaign(name: str) -> Response:
    """Show where a campaign's bytes came from and where they are, with its quotas."""
    asked = query(FreshQuery())
    return json_response(gateway().spending.campaign(name, asked["at_least"]))
