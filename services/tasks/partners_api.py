"""The routes of partners: their apps, keys, contract, prices, and the data that they buy."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, url_for

from services.tasks import partners, schemas
from services.tasks.api import bank, page_of, tasks
from services.tasks.documents import key_document, partner_document
from services.tasks.domain.partner import Partner
from services.tasks.partners import (
    ByHand,
    ContractTerms,
    NewApp,
    PriceList,
    Purchase,
    Registration,
    Rotation,
)
from shared.auth import allow
from shared.http import json_response, query
from shared.sagas import web
from shared.sagas.requests import Answer, Asking

blueprint = Blueprint("partners", __name__)


@blueprint.post("/v1/partners")
@allow("operator")
def post_partner() -> Response:
    """Register a partner."""
    query(web.NoQuery())
    terms = web.read_body(Registration)
    return _shown(tasks().register(web.asking("", terms, "partner"), terms), HTTPStatus.CREATED)


@blueprint.get("/v1/partners")
@allow("operator")
def get_partners() -> Response:
    """List partners, newest first."""
    asked = query(schemas.PartnersQuery())
    found, after = page_of("partners", ("name",), asked, None)
    return json_response({"partners": [_document(each) for each in found], "next_after": after})


@blueprint.get("/v1/partners/<partner>")
@allow("operator")
def get_partner(partner: str) -> Response:
    """Show a partner, with what the ledger says of its data."""
    query(web.NoQuery())
    found = tasks().partner(partner)
    return json_response(_document(found, tasks().account(found.account)))


@blueprint.post("/v1/partners/<partner>/<any(suspend, resume):verb>")
@allow("operator")
def post_state(partner: str, verb: str) -> Response:
    """Refuse a partner's calls and pause its campaigns, or take its calls again."""
    query(web.NoQuery())
    by_hand = web.read_body(ByHand)
    wish = web.asking("", by_hand, verb, partner)
    job = partners.Suspend(wish, partner, by_hand.reason, resume=verb == "resume")
    return _shown(tasks().suspend(job), HTTPStatus.OK)


@blueprint.post("/v1/partners/<partner>/apps")
@allow("operator")
def post_app(partner: str) -> Response:
    """Add an app."""
    return _do(partner, "app", NewApp, partners.AddApp)


@blueprint.post("/v1/partners/<partner>/contracts")
@allow("operator")
def post_contract(partner: str) -> Response:
    """Add a version of the contract."""
    return _do(partner, "contract", ContractTerms, partners.SignContract)


@blueprint.post("/v1/partners/<partner>/prices")
@allow("operator")
def post_prices(partner: str) -> Response:
    """Add a version of the prices, from a day on."""
    return _do(partner, "prices", PriceList, partners.SetPrices)


@blueprint.post("/v1/partners/<partner>/purchases")
@allow("operator")
def post_purchase(partner: str) -> Response:
    """Buy data, paid for outside; the ledger creates it."""
    return _do(partner, "purchase", Purchase, partners.BuyData)


@blueprint.post("/v1/partners/<partner>/apps/<asp_id>/keys")
@allow("operator")
def post_key(partner: str, asp_id: str) -> Response:
    """Give an app a new key; its secret is shown in this answer alone."""
    wish = web.asking("", web.read_body(ByHand), "key", partner, asp_id)
    return _key(wish, partner, asp_id)


@blueprint.post("/v1/partners/<partner>/apps/<asp_id>/keys:rotate")
@allow("operator")
def post_rotation(partner: str, asp_id: str) -> Response:
    """Give an app a new key, and let its other keys end after an overlap."""
    terms = web.read_body(Rotation)
    wish = web.asking("", terms, "rotate", partner, asp_id)
    return _key(wish, partner, asp_id, terms.overlap_hours)


def _key(wish: Asking, partner: str, asp_id: str, overlap_hours: int | None = None) -> Response:
    query(web.NoQuery())
    key_id, secret, answer = tasks().issue_key(wish, partner, asp_id, overlap_hours)
    response = web.answered(
        key_document(key_id, asp_id, secret), HTTPStatus.CREATED, _location(partner), answer
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _do(
    partner: str, what: str, body: type[Any],
    kind: Callable[[Asking, str, Any], partners.OnPartner],
) -> Response:  # fmt: skip
    query(web.NoQuery())
    terms = web.read_body(body)
    job = kind(web.asking("", terms, what, partner), partner, terms)
    return _shown(tasks().change_partner(job), HTTPStatus.CREATED)


def _shown(answer: Answer, status: HTTPStatus) -> Response:
    found = answer.subject
    assert isinstance(found, Partner)
    return web.answered(_document(found), status, _location(found.name), answer)


def _location(partner: str) -> str:
    return url_for("partners.get_partner", partner=partner)


def _document(partner: Partner, account: dict[str, Any] | None = None) -> dict[str, Any]:
    return partner_document(partner, bank().calendar, bank().clock.now(), account)
