"""The routes of offers: put one into every partition, list its members, show them."""

import re
from typing import Annotated

import msgspec
from flask import Blueprint, Response
from msgspec import Meta

from services.ledger.api import bank, encoded, meta
from services.ledger.domain.commands import SubscriberId
from services.ledger.offering import change_members, offers_of, put_offer
from services.ledger.schemas import NoQuery, read_body
from shared.auth import allow
from shared.contracts.offers import Offer
from shared.errors import InvalidError
from shared.http import body, json_response, query

blueprint = Blueprint("offers", __name__)
MEMBERS_MAX = 5_000
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


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
    """List what campaigns sponsor."""
    query(NoQuery())
    return encoded({"offers": offers_of(bank().ledger)})


@blueprint.put("/v1/offers/<name>")
@allow("operator", "tasks")
def put_one(name: str) -> Response:
    """Put a version of an offer into every partition; answers when all have it."""
    query(NoQuery())
    offer = read_body(Offer, body())
    if offer.campaign != campaign_named(name):
        raise InvalidError(f"this is the place of {campaign_named(name)}", pointer="$.campaign")
    new = put_offer(bank().ledger, offer, meta())
    return json_response({"campaign": offer.campaign, "version": offer.version, "partitions": new})


@blueprint.put("/v1/offers/<name>/members")
@allow("operator", "tasks")
def put_members(name: str) -> Response:
    """List subscribers in an offer and take others off."""
    query(NoQuery())
    asked = read_body(MembersBody, body())
    change_members(bank().ledger, campaign_named(name), asked.add, asked.remove)
    return json_response({"added": len(asked.add), "removed": len(asked.remove)})
