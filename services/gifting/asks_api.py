"""The routes of asks: a subscriber asks a friend, who answers with a gift or declines."""

from http import HTTPStatus

from flask import Blueprint, Response, url_for

from services.gifting import schemas
from services.gifting.api import (
    CALLERS,
    bank,
    checked_viewer,
    gifting,
    given,
    page_of,
)
from services.gifting.asks import AnswerTerms, AskTerms
from services.gifting.documents import ask_document
from services.gifting.gifts import ByParty
from shared.auth import allow
from shared.http import json_response, query
from shared.sagas import web

blueprint = Blueprint("asks", __name__)


@blueprint.post("/v1/asks")
@allow(*CALLERS)
def post_ask() -> Response:
    """Ask a friend for data."""
    query(web.NoQuery())
    terms = web.read_body(AskTerms)
    ask, answer = gifting().make_ask(web.asking(terms.asker, terms, "ask"), terms)
    location = url_for("asks.get_ask", ask=ask.ask_id)
    return web.answered(ask_document(ask, bank().calendar), HTTPStatus.CREATED, location, answer)


@blueprint.get("/v1/asks")
@allow(*CALLERS)
def get_asks() -> Response:
    """List asks, newest first."""
    found, after = page_of("asks", query(schemas.AsksQuery()))
    documents = [ask_document(each, bank().calendar) for each in found]
    return json_response({"asks": documents, "next_after": after})


@blueprint.get("/v1/asks/<ask>")
@allow(*CALLERS)
def get_ask(ask: str) -> Response:
    """Show an ask; to others than its two people it is unknown."""
    viewer = checked_viewer(query(schemas.ViewerQuery())["account"])
    found = gifting().ask(web.identity(ask, "an ask's"), viewer)
    return json_response(ask_document(found, bank().calendar))


@blueprint.post("/v1/asks/<ask>/answer")
@allow(*CALLERS)
def post_answer(ask: str) -> Response:
    """Answer an ask with a gift, as `POST /v1/gifts` does."""
    query(web.NoQuery())
    terms = web.read_body(AnswerTerms)
    found = web.identity(ask, "an ask's")
    wish = web.asking(terms.account, terms, "answer", ask)
    return given(*gifting().answer_ask(wish, found, terms, web.wait_s()))


@blueprint.post("/v1/asks/<ask>/decline")
@allow(*CALLERS)
def post_decline(ask: str) -> Response:
    """Say no to an ask."""
    query(web.NoQuery())
    by = web.read_body(ByParty)
    found = web.identity(ask, "an ask's")
    declined, answer = gifting().decline_ask(web.asking(by.account, by, "decline-ask", ask), found)
    location = url_for("asks.get_ask", ask=ask)
    return web.answered(ask_document(declined, bank().calendar), HTTPStatus.OK, location, answer)
