"""The routes of packs: catalogue, orders, issues, codes and pools."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response, url_for

from services.tasks import supply_schemas
from services.tasks.api import CALLERS, bank, tasks
from services.tasks.codes import CodesTerms, RedeemTerms
from services.tasks.domain.catalogue import Pack, PackTerms
from services.tasks.domain.issue import Issue
from services.tasks.domain.order import Order
from services.tasks.domain.pool import Pool
from services.tasks.lists import told
from services.tasks.packs import IssueTerms, OrderTerms
from services.tasks.pools import DrawTerms, HandDownTerms
from services.tasks.supply import Supply
from services.tasks.supply_documents import (
    issue_document,
    order_document,
    pack_document,
    pool_document,
)
from shared.auth import allow
from shared.http import json_response, query
from shared.paging import parts_of
from shared.sagas import web
from shared.sagas.requests import Answer

blueprint = Blueprint("supply", __name__)


def supply() -> Supply:
    """Return the use cases of packs."""
    return tasks().supply


@blueprint.post("/v1/packs")
@allow("operator")
def post_pack() -> Response:
    """Put a version of a pack into the catalogue."""
    query(web.NoQuery())
    terms = web.read_body(PackTerms)
    answer = supply().publish(web.asking("", terms, "pack"), terms)
    pack = answer.subject
    assert isinstance(pack, Pack)
    location = url_for("supply.get_pack", pack=pack.name)
    document = pack_document(pack, bank().calendar)
    return web.answered(document, HTTPStatus.CREATED, location, answer)


@blueprint.get("/v1/packs")
@allow(*CALLERS)
def get_packs() -> Response:
    """List the catalogue: the newest version of each pack, by name."""
    asked = query(web.PageQuery())
    (behind,) = parts_of(asked["after"], (str,))
    found, after = supply().catalogue(behind, asked["limit"])
    packs = [pack_document(each, bank().calendar) for each in found]
    return json_response({"packs": packs, "next_after": after})


@blueprint.get("/v1/packs/<pack>")
@allow(*CALLERS)
def get_pack(pack: str) -> Response:
    """Show all versions of a pack, oldest first."""
    query(web.NoQuery())
    found = [pack_document(each, bank().calendar) for each in supply().versions(pack)]
    return json_response({"pack": pack, "versions": found})


@blueprint.post("/v1/orders")
@allow("operator")
def post_order() -> Response:
    """Order packs, a pool, or a pool's top-up."""
    query(web.NoQuery())
    terms = web.read_body(OrderTerms)
    wish = web.asking(f"partner:{terms.partner}", terms, "order")
    return _ordered(supply().order(wish, terms), HTTPStatus.CREATED)


@blueprint.get("/v1/orders")
@allow("operator")
def get_orders() -> Response:
    """List orders, newest first."""
    asked = query(supply_schemas.OrdersQuery())
    at, last = parts_of(asked["after"], (int, str))
    behind = None if at is None else (at, web.identity(last, "the last one's"))
    if asked["partner"] is not None:
        tasks().partner(asked["partner"])
    found, after = supply().orders(asked["partner"], asked["state"], behind, asked["limit"])
    return json_response({"orders": [_order(each) for each in found], "next_after": after})


@blueprint.get("/v1/orders/<order>")
@allow("operator")
def get_order(order: str) -> Response:
    """Show an order with what is left of it."""
    query(web.NoQuery())
    return json_response(_order(supply().order_of(_order_id(order))))


@blueprint.post("/v1/orders/<order>/<any(pay, cancel):verb>")
@allow("operator")
def post_order_verb(order: str, verb: str) -> Response:
    """Take note of an order's payment, or give an unpaid one up."""
    query(web.NoQuery())
    web.read_body(supply_schemas.Nothing)
    wish, stream = web.asking("", [], verb, order), _order_id(order)
    answer = supply().pay(wish, stream) if verb == "pay" else supply().cancel(wish, stream)
    return _ordered(answer, HTTPStatus.OK)


@blueprint.post("/v1/orders/<order>/issues")
@allow("operator")
def post_issues(order: str) -> Response:
    """Issue packs to subscribers, a pack each; rows that get none are told with their reasons."""
    query(web.NoQuery())
    terms = web.read_body(IssueTerms)
    wish = web.asking("", terms, "issues", order)
    issued, rejected, answer = supply().issue(wish, _order_id(order), terms.subscribers)
    document = {
        "order_id": order, "issued": len(issued), "rejected": told("issue", rejected),
        "issues": [issue_document(each, bank().calendar) for each in issued],
    }  # fmt: skip
    location = url_for("supply.get_order", order=order)
    return web.answered(document, HTTPStatus.ACCEPTED, location, answer)


@blueprint.get("/v1/issues/<issue>")
@allow(*CALLERS)
def get_issue(issue: str) -> Response:
    """Show an issue: whether it has arrived."""
    query(web.NoQuery())
    found = supply().issue_of(web.identity(issue, "an issue's"))
    return json_response(issue_document(found, bank().calendar))


@blueprint.post("/v1/orders/<order>/codes")
@allow("operator")
def post_codes(order: str) -> Response:
    """Put packs of an order into codes, which only this answer shows."""
    query(web.NoQuery())
    terms = web.read_body(CodesTerms)
    wish = web.asking("", terms, "codes", order)
    made, batch, answer = supply().make_codes(wish, _order_id(order), terms)
    document = {"order_id": order, "batch": batch, "count": terms.count, "codes": made}
    location = url_for("supply.get_order", order=order)
    return web.answered(document, HTTPStatus.CREATED, location, answer)


@blueprint.post("/v1/codes:redeem")
@allow(*CALLERS)
def post_redeem() -> Response:
    """Use a code for a subscriber."""
    query(web.NoQuery())
    terms = web.read_body(RedeemTerms)
    return _issued(supply().redeem(web.asking(terms.subscriber, terms, "redeem"), terms))


@blueprint.get("/v1/pools/<pool>")
@allow("operator")
def get_pool(pool: str) -> Response:
    """Show a pool with what is left of it, and the pools below."""
    query(web.NoQuery())
    return json_response(_pool(_pool_id(pool)))


@blueprint.post("/v1/pools/<pool>/draws")
@allow(*CALLERS)
def post_draw(pool: str) -> Response:
    """Draw bytes from a pool for a subscriber."""
    query(web.NoQuery())
    terms = web.read_body(DrawTerms)
    wish = web.asking(terms.subscriber, terms, "draw", pool)
    return _issued(supply().draw(wish, _pool_id(pool), terms))


@blueprint.post("/v1/pools/<pool>/hand-down")
@allow("operator")
def post_hand_down(pool: str) -> Response:
    """Make a part of a pool a pool of its own."""
    query(web.NoQuery())
    terms = web.read_body(HandDownTerms)
    answer = supply().hand_down(web.asking("", terms, "hand-down", pool), _pool_id(pool), terms)
    child = answer.subject
    assert isinstance(child, Pool)
    location = url_for("supply.get_pool", pool=child.pool_id)
    return web.answered(_pool(child.id), HTTPStatus.CREATED, location, answer)


def _ordered(answer: Answer, status: int) -> Response:
    order = answer.subject
    assert isinstance(order, Order)
    location = url_for("supply.get_order", order=order.order_id)
    return web.answered(_order(order), status, location, answer)


def _order(order: Order) -> dict[str, object]:
    used, codes = supply().used(order.id), supply().code_counts(order.id)
    return order_document(order, used, codes, bank().calendar)


def _issued(answer: Answer) -> Response:
    issue = answer.subject
    assert isinstance(issue, Issue)
    location = url_for("supply.get_issue", issue=issue.parcel.issue_id)
    status = HTTPStatus.ACCEPTED if issue.state == "issued" else HTTPStatus.CREATED
    return web.answered(issue_document(issue, bank().calendar), status, location, answer)


def _pool(pool: UUID) -> dict[str, object]:
    return pool_document(*supply().pool_of(pool), bank().calendar)


def _order_id(text: str) -> UUID:
    return web.identity(text, "an order's")


def _pool_id(text: str) -> UUID:
    return web.identity(text, "a pool's")
