"""Gifting's HTTP face for gifts, and what all its routes share: thin; it reads, calls, writes JSON.

A write answers with what is stored: 201 when it is done, 202 with a Location while a saga runs
(`Prefer: wait=2` holds the answer up to 2 s), a problem with a stable code when it is refused.
"""

from typing import Any

from flask import Blueprint, Response, current_app, url_for

from services.gifting import schemas
from services.gifting.application import Gifting
from services.gifting.bank import Bank
from services.gifting.documents import detail_for, gift_document, quote_document
from services.gifting.domain.gift import Gift
from services.gifting.gifts import ByHand, ByParty, GiftTerms
from services.gifting.verification import verify_store
from shared.auth import allow
from shared.errors import InvalidError, RefusedError
from shared.http import json_response, query
from shared.log_api import Served
from shared.paging import cursor_of, parts_of
from shared.sagas import web
from shared.sagas.requests import Answer

blueprint = Blueprint("gifting", __name__)
# Who may act for the people it vouches for.
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


def checked_viewer(account: str | None) -> str | None:
    """Return for whom something is read. Raises InvalidError: only an operator sees everything."""
    if account is None and web.caller() != "operator":
        raise InvalidError("`account` is needed: on whose behalf is this read?")
    return account


def page_of(table: str, asked: dict[str, Any]) -> tuple[list[Any], str | None]:
    """Return a page and the cursor of the next one. Raises InvalidError."""
    checked_viewer(asked["account"])
    if asked.get("role") is not None and asked["account"] is None:
        raise InvalidError("`role` is an account's: name the account too")
    at, last = parts_of(asked["after"], (int, str))
    after = None if at is None else (at, web.identity(last, "the last one's").hex)
    found, more = gifting().page(table, asked | {"after": after})
    return found, cursor_of(*more) if more else None


@blueprint.post("/v1/gifts:quote")
@allow(*CALLERS)
def post_quote() -> Response:
    """Tell what a gift would do now: lots, their new end, fee, and what stands against it."""
    query(web.NoQuery())
    terms = web.read_body(GiftTerms)
    quote, step_up = gifting().quote(terms)
    return json_response(quote_document(quote, bank().calendar) | {"step_up": step_up})


@blueprint.post("/v1/gifts")
@allow(*CALLERS)
def post_gift() -> Response:
    """Give."""
    query(web.NoQuery())
    terms = web.read_body(GiftTerms)
    return given(
        *gifting().request_gift(web.asking(terms.sender, terms, "gift"), terms, web.wait_s())
    )


def given(gift: Gift, answer: Answer) -> Response:
    """Answer who gives. Raises RefusedError where the gift was refused or came back."""
    if gift.state in ("refused", "returned"):
        raise RefusedError(
            gift.code, detail_for(gift, gift.sender) or f"the gift was {gift.state}: {gift.code}",
            gift_id=gift.gift_id, state=gift.state,
        )  # fmt: skip
    return shown(gift, answer, gift.sender, done=201)


def shown(gift: Gift, answer: Answer, viewer: str | None, *, done: int = 200) -> Response:
    """Answer a viewer with what has become of a gift: `done` at its end, else 202."""
    location = url_for("gifting.get_gift", gift=gift.gift_id)
    status = done if gift.is_final else 202
    return web.answered(gift_document(gift, bank().calendar, viewer), status, location, answer)


@blueprint.get("/v1/gifts")
@allow(*CALLERS)
def get_gifts() -> Response:
    """List gifts, newest first."""
    asked = query(schemas.GiftsQuery())
    found, after = page_of("gifts", asked)
    documents = [gift_document(each, bank().calendar, asked["account"]) for each in found]
    return json_response({"gifts": documents, "next_after": after})


@blueprint.get("/v1/gifts/<gift>")
@allow(*CALLERS)
def get_gift(gift: str) -> Response:
    """Show a gift, what happened to it and why; to others than its parties it is unknown."""
    viewer = checked_viewer(query(schemas.ViewerQuery())["account"])
    found, events = gifting().gift(web.identity(gift, "a gift's"), viewer)
    return json_response(gift_document(found, bank().calendar, viewer, events))


@blueprint.post("/v1/gifts/<gift>/<any(accept, decline, cancel):verb>")
@allow(*CALLERS)
def post_verb(gift: str, verb: str) -> Response:
    """Accept or decline a gift that waits (its receiver), or cancel it (its sender)."""
    query(web.NoQuery())
    by = web.read_body(ByParty)
    found = web.identity(gift, "a gift's")
    wish = web.asking(by.account, by, verb, gift)
    gift_now, answer = gifting().act_on_gift(wish, found, verb, web.wait_s())
    return shown(gift_now, answer, by.account)


@blueprint.post("/v1/gifts/<gift>/<any(release, deny):verb>")
@allow("operator")
def post_decision(gift: str, verb: str) -> Response:
    """Let a delayed gift go on, or deny it, for a reason that is kept."""
    query(web.NoQuery())
    by_hand = web.read_body(ByHand)
    found = web.identity(gift, "a gift's")
    wish, release = web.asking("", by_hand, verb, gift), verb == "release"
    decided = gifting().decide_delayed(wish, found, by_hand.reason, web.wait_s(), release=release)
    return shown(*decided, viewer=None)


operating = web.operating_blueprint(bank, lambda: verify_store(bank().store))
