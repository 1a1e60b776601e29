"""The routes of offers: put one into every partition, list its members, show them."""

import re
from typing import Annotated

import msgspec
from flask import Blueprint, Response
from marshmallow import Schema, fields, validate
from msgspec import Meta

from services.ledger.api import bank, encoded, meta
from services.ledger.domain.fields import SubscriberId
from services.ledger.offering import change_members, offers_of, put_offer
from services.ledger.schemas import NoQuery
from shared.auth import allow
from shared.contracts.offers import Offer
from shared.errors import InvalidError
from shared.http import body, json_response, query
from shared.mistakes import decoded
from shared.paging import CURSOR_LENGTH_MAX, page_of, parts_of

blueprint = Blueprint("offers", __name__)
MEMBERS_MAX = 5_000
PAGE_MAX = 500
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class OffersQuery(Schema):
    """Query of `GET /v1/offers`."""

    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=PAGE_MAX))


class MembersBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `PUT /v1/offers/{campaign}/members`."""

    add: Annotated[list[SubscriberId], Meta(max_length=MEMBERS_MAX)] = []
    remove: Annotated[list[SubscriberId], Meta(max_length=MEMBERS_MAX)] = []


def campaign_named(name: str) -> str:
    """Return the campaign's account. Raises InvalidError."""
    if not NAME.fullmatch(name):
        raise InvalidError("a campaign's name has 1 to 64 letters, digits or . _ -")
    return f"campaign:{name}"


@blueprint.get("/v1/offers")
@allow("operator", "tasks")
def get_offers() -> Response:
    """List what campaigns sponsor, by campaign."""
    asked = query(OffersQuery())
    (behind,) = parts_of(asked["after"], (str,))
    found = [each for each in offers_of(bank().ledger) if behind is None or each.campaign > behind]
    page, after = page_of(found, asked["limit"], lambda offer: (offer.campaign,))
    return encoded({"offers": page, "next_after": after})


@blueprint.put("/v1/offers/<name>")
@allow("operator", "tasks")
def put_one(name: str) -> Response:
    """Put a version of an offer into every partition; answers when all have it."""
    query(NoQuery())
    offer = decoded(Offer, body())
    if offer.campaign != campaign_named(name):
        raise InvalidError(f"this is the place of {campaign_named(name)}", pointer="$.campaign")
    new = put_offer(bank().ledger, offer, meta())
    return json_response({"campaign": offer.campaign, "version": offer.version, "partitions": new})


@blueprint.put("/v1/offers/<name>/members")
@allow("operator", "tasks")
def put_members(name: str) -> Response:
    """List subscribers in an offer and take others off."""
    query(NoQuery())
    asked = decoded(MembersBody, body())
    change_members(bank().ledger, campaign_named(name), asked.add, asked.remove)
    return json_response({"added": len(asked.add), "removed": len(asked.remove)})
