"""The ledger's HTTP face for gifting: what gifts would take, many at a time."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response
from msgspec import Meta

from services.ledger.api import bank
from services.ledger.checks import GiftCheck, check_gifts
from services.ledger.schemas import NoQuery
from shared.auth import allow
from shared.http import body, json_response, query
from shared.mistakes import decoded

CHECKS_MAX = 1_000

blueprint = Blueprint("gift_checks", __name__)


class ChecksBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/gift-checks`."""

    gifts: Annotated[list[GiftCheck], Meta(min_length=1, max_length=CHECKS_MAX)]


@blueprint.post("/v1/gift-checks")
@allow("operator", "gifting", "tasks")
def post_gift_checks() -> Response:
    """Tell of up to 1,000 gifts what each would take now, and who its people are."""
    query(NoQuery())
    asked = decoded(ChecksBody, body())
    return json_response({"checks": check_gifts(bank().ledger, asked.gifts)})
