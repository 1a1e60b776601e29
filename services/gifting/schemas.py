"""What gifting's routes take: query strings by marshmallow, bodies by msgspec."""

import re
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import msgspec
from flask import g, request
from marshmallow import Schema, fields, validate

from services.gifting.asks import AnswerTerms, AskTerms
from services.gifting.gifts import ByHand, ByParty, GiftTerms
from services.gifting.packets import ClaimTerms, PacketTerms
from shared.errors import InvalidError
from shared.http import body
from shared.ids import SUBSCRIBER_PATTERN
from shared.paging import CURSOR_LENGTH_MAX

T = TypeVar("T")

PAGE_MAX = 200
WAIT_S_MAX = 10.0
KEY = re.compile(r"[\x21-\x7e]{1,128}")
WAIT = re.compile(r"\bwait=(\d{1,3})\b")
GIFT_STATES = (
    "requested", "delayed", "offered", "held", "accepted", "declined", "cancelled", "sent",
    "completed", "refused", "returned",
)  # fmt: skip
PACKET_STATES = ("requested", "offered", "open", "closed", "ended", "refused")
ASK_STATES = ("made", "answered", "declined", "expired")
ACCOUNT = validate.Regexp(rf"^{SUBSCRIBER_PATTERN.pattern}\Z")


class NoQuery(Schema):
    """A route without parameters."""


class ClockQuery(Schema):
    """Query of `GET /v1/clock`."""

    barrier = fields.Boolean(load_default=False)


class ViewerQuery(Schema):
    """A read on behalf of an account: what is not its own is unknown to it."""

    account = fields.String(load_default=None, validate=ACCOUNT)


class PageQuery(ViewerQuery):
    """A list, page by page."""

    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=PAGE_MAX))


class GiftsQuery(PageQuery):
    """Query of `GET /v1/gifts`."""

    role = fields.String(load_default=None, validate=validate.OneOf(("sender", "receiver")))
    state = fields.String(load_default=None, validate=validate.OneOf(GIFT_STATES))


class PacketsQuery(PageQuery):
    """Query of `GET /v1/red-packets`."""

    state = fields.String(load_default=None, validate=validate.OneOf(PACKET_STATES))


class AsksQuery(PageQuery):
    """Query of `GET /v1/asks`."""

    role = fields.String(load_default=None, validate=validate.OneOf(("asker", "giver")))
    state = fields.String(load_default=None, validate=validate.OneOf(ASK_STATES))


decode_gift = msgspec.json.Decoder(GiftTerms).decode
decode_packet = msgspec.json.Decoder(PacketTerms).decode
decode_claim = msgspec.json.Decoder(ClaimTerms).decode
decode_ask = msgspec.json.Decoder(AskTerms).decode
decode_answer = msgspec.json.Decoder(AnswerTerms).decode
decode_party = msgspec.json.Decoder(ByParty).decode
decode_by_hand = msgspec.json.Decoder(ByHand).decode


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
