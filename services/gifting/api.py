"""Gifting's HTTP face: thin; it reads, calls the application and writes JSON."""

from typing import Any

from flask import Blueprint, Response, current_app, url_for

from services.gifting import schemas
from services.gifting.application import Gifting
from services.gifting.bank import Bank
from services.gifting.documents import gift_document
from services.gifting.domain.gift import Gift
from services.gifting.metrics import REFUSALS
from services.gifting.requests import Answer, Asking
from shared.auth import allow
from shared.errors import InvalidError, RefusedError
from shared.http import json_response, query
from shared.log_api import Served
from shared.paging import cursor_of, parts_of

blueprint = Blueprint("gifting", __name__)
# Who may change something for whom it vouches; others have no business here.
CALLERS = ("operator", "gateway")


def bank() -> Bank:
    """Return the parts that bootstrap has put together."""
    found: Bank = current_app.extensions["bank"]
    return found


def gifting() -> Gifting:
    """Return the use cases."""
    return bank().gifting


def served() -> Served:
    """Return the log that is served to other services."""
    return Served(bank().bank_id, bank().epoch, [bank().log], bank().doorbell)


def asking(account: str, body: Any, *about: str) -> Asking:
    """Return what is asked, by which key; `about` names what it is asked of."""
    return Asking(schemas.caller(), account, schemas.idempotency_key(), [*about, body])


@blueprint.post("/v1/gifts")
@allow(*CALLERS)
def post_gift() -> Response:
    """Give: 201 once it has arrived, 202 while it is on its way, a problem where it is refused."""
    terms = schemas.read_body(schemas.decode_gift)
    wish = asking(terms.sender, terms, "gift")
    return outcome(*gifting().request_gift(wish, terms, schemas.wait_s()))


def outcome(gift: Gift, answer: Answer) -> Response:
    """Answer with what has become of a gift. Raises RefusedError where it was refused."""
    if gift.state in ("refused", "returned") and gift.code not in ("declined", "cancelled"):
        REFUSALS.labels(gift.code).inc()
        raise RefusedError(
            gift.code, gift.detail or f"the gift was {gift.state}: {gift.code}",
            gift_id=gift.gift_id, state=gift.state,
        )  # fmt: skip
    done = gift.is_final
    response = json_response(gift_document(gift, bank().calendar), 201 if done else 202)
    response.headers["Location"] = url_for("gifting.get_gift", gift=gift.gift_id)
    if answer.repeated:
        response.headers["Idempotency-Hit"] = "true"
    return response


@blueprint.get("/v1/gifts")
@allow(*CALLERS)
def get_gifts() -> Response:
    """List gifts, newest first."""
    asked = query(schemas.GiftsQuery())
    checked_viewer(asked["account"])
    if asked["role"] is not None and asked["account"] is None:
        raise InvalidError("`role` is an account's: name the account too")
    at, last = parts_of(asked["after"], (int, str))
    asked["after"] = None if at is None else (at, schemas.identity(last, "gift").hex)
    found, more = gifting().gifts(asked, asked["limit"])
    return json_response({"gifts": found, "next_after": cursor_of(*more) if more else None})


@blueprint.get("/v1/gifts/<gift>")
@allow(*CALLERS)
def get_gift(gift: str) -> Response:
    """Show a gift, what happened to it and why; to others than its parties it is unknown."""
    asked = query(schemas.ViewerQuery())
    viewer = checked_viewer(asked["account"])
    return json_response(gifting().gift_document(schemas.identity(gift, "gift"), viewer))


def checked_viewer(account: str | None) -> str | None:
    """Return for whom something is read. Raises InvalidError: only an operator sees everything."""
    if account is None and schemas.caller() != "operator":
        raise InvalidError("`account` is needed: on whose behalf is this read?")
    return account


@blueprint.post("/v1/gifts/<gift>/<any(accept, decline, cancel):verb>")
@allow(*CALLERS)
def post_verb(gift: str, verb: str) -> Response:
    """Accept or decline a gift that waits (its receiver), or cancel it (its sender)."""
    by = schemas.read_body(schemas.decode_party)
    found = schemas.identity(gift, "gift")
    wish = asking(by.account, by, verb, gift)
    return moved(*gifting().act_on_gift(wish, found, verb, schemas.wait_s()))


def moved(gift: Gift, answer: Answer) -> Response:
    """Answer with what has become of a gift that was acted on: 200 at its end, else 202."""
    response = json_response(gift_document(gift, bank().calendar), 200 if gift.is_final else 202)
    response.headers["Location"] = url_for("gifting.get_gift", gift=gift.gift_id)
    if answer.repeated:
        response.headers["Idempotency-Hit"] = "true"
    return response


@blueprint.post("/v1/gifts/<gift>/<any(release, deny):verb>")
@allow("operator")
def post_decision(gift: str, verb: str) -> Response:
    """Let a delayed gift go on, or deny it, for a reason that is kept."""
    by_hand = schemas.read_body(schemas.decode_by_hand)
    found = schemas.identity(gift, "gift")
    wish = asking("", by_hand, verb, gift)
    release = verb == "release"
    return moved(*gifting().decide_delayed(wish, found, by_hand.reason, release=release))


@blueprint.get("/v1/clock")
@allow()
def get_clock() -> Response:
    """Tell bank time; with `barrier`, once every turn begun before has ended."""
    if query(schemas.ClockQuery())["barrier"]:
        gifting().store.barrier()
    clock = bank().clock
    now = clock.now()
    text = bank().calendar.text(now)
    return json_response({"now": text, "now_ms": now, "offset_ms": clock.offset_ms()})
