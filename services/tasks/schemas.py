"""What tasks' routes take: query strings by marshmallow, bodies by msgspec."""

import re
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import msgspec
from flask import g, request
from marshmallow import Schema, fields, validate

from services.tasks.campaigns import FundTerms, NewCampaign
from services.tasks.domain.terms import NAME, DraftTerms
from services.tasks.partners import (
    ByHand,
    ContractTerms,
    NewApp,
    PriceList,
    Purchase,
    Registration,
    Rotation,
)
from shared.errors import InvalidError
from shared.http import body
from shared.paging import CURSOR_LENGTH_MAX

T = TypeVar("T")

PAGE_MAX = 200
WAIT_S_MAX = 10.0
KEY = re.compile(r"[\x21-\x7e]{1,128}")
WAIT = re.compile(r"\bwait=(\d{1,3})\b")
CAMPAIGN_STATES = ("drafted", "approved", "running", "paused", "ended")


class NoQuery(Schema):
    """A route without parameters."""


class ClockQuery(Schema):
    """Query of `GET /v1/clock`."""

    barrier = fields.Boolean(load_default=False)


class PageQuery(Schema):
    """A list, page by page."""

    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=PAGE_MAX))


class PartnersQuery(PageQuery):
    """Query of `GET /v1/partners`."""

    state = fields.String(load_default=None, validate=validate.OneOf(("active", "suspended")))


class CampaignsQuery(PageQuery):
    """Query of `GET /v1/campaigns`."""

    partner = fields.String(load_default=None, validate=validate.Regexp(rf"^{NAME}\Z"))
    state = fields.String(load_default=None, validate=validate.OneOf(CAMPAIGN_STATES))


decode_registration = msgspec.json.Decoder(Registration).decode
decode_app = msgspec.json.Decoder(NewApp).decode
decode_rotation = msgspec.json.Decoder(Rotation).decode
decode_contract = msgspec.json.Decoder(ContractTerms).decode
decode_prices = msgspec.json.Decoder(PriceList).decode
decode_purchase = msgspec.json.Decoder(Purchase).decode
decode_by_hand = msgspec.json.Decoder(ByHand).decode
decode_campaign = msgspec.json.Decoder(NewCampaign).decode
decode_terms = msgspec.json.Decoder(DraftTerms).decode
decode_funding = msgspec.json.Decoder(FundTerms).decode


def read_body(decode: Callable[[bytes], T]) -> T:
    """Decode the request's body. Raises InvalidError that names the place (`$.bytes`)."""
    try:
        return decode(body())
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at ")
        place = place.strip("`") or "$"
        raise InvalidError(f"{text}, at {place}", pointer=place) from error
    except msgspec.DecodeError as error:
        raise InvalidError(f"the body is no JSON: {error}") from error


def idempotency_key() -> str:
    """Return the request's key. Raises InvalidError where it lacks or is malformed."""
    key = request.headers.get("Idempotency-Key", "")
    if not KEY.fullmatch(key):
        raise InvalidError(
            "a write needs a header Idempotency-Key of 1 to 128 visible ASCII characters"
        )
    return key


def wait_s() -> float:
    """Return how long the caller wants to wait for the outcome (`Prefer: wait=2`), at most 10 s."""
    found = WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found[1]), WAIT_S_MAX) if found else 0.0


def identity(text: str, whose: str) -> UUID:
    """Return an id of 32 hex digits. Raises InvalidError."""
    try:
        if len(text) != 32:  # noqa: PLR2004 As the ids are written.
            raise ValueError(text)
        return UUID(hex=text)
    except ValueError as error:
        raise InvalidError(f"{whose} id has 32 hex digits") from error


def caller() -> str:
    """Return who calls."""
    return str(g.caller)
