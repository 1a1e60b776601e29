"""The routes by which the bank tells what it sees of tasks: entrances, tasks done, claims."""

from typing import Any

from flask import Blueprint, Response, url_for

from services.tasks import claim_schemas
from services.tasks.api import CALLERS, bank, tasks
from services.tasks.claim_documents import claim_document, token_document
from services.tasks.clawbacks import ByHand
from services.tasks.domain.claim import Claim
from services.tasks.domain.tasks.completion import Token
from services.tasks.observing import Doing
from services.tasks.tokens import Issue
from shared.auth import allow
from shared.errors import InvalidError
from shared.http import json_response, query
from shared.paging import cursor_of, parts_of
from shared.sagas import web
from shared.sagas.requests import Answer

blueprint = Blueprint("claims", __name__)


def given_out(text: str, token: Token, repeated: bool) -> Response:  # noqa: FBT001 As it was told.
    """Answer with a token, which only this answer tells."""
    response = json_response(token_document(text, token, bank().calendar), 201)
    if repeated:
        response.headers["Idempotency-Hit"] = "true"
    return response


@blueprint.post("/v1/campaigns/<campaign>/entrances")
@allow(*CALLERS)
def post_entrance(campaign: str) -> Response:
    """Give a subscriber the token of our entrance to a campaign: what it then does is ascribed."""
    query(web.NoQuery())
    entering = web.read_body(claim_schemas.Entering)
    issue = Issue(
        use="entrance", campaign=campaign, subscriber=entering.subscriber, key=_key(),
        invited_by=entering.invited_by, device=entering.device, address=entering.address,
    )  # fmt: skip
    return given_out(*tasks().claims.enter(issue))


@blueprint.post("/v1/tasks/<campaign>/<task>/start")
@allow(*CALLERS)
def post_start(campaign: str, task: str) -> Response:
    """Start an ad, or make the link that a subscriber shares today."""
    query(web.NoQuery())
    starting = web.read_body(claim_schemas.Starting)
    issue = Issue(
        use="ad", campaign=campaign, task=task, subscriber=starting.subscriber, key=_key(),
        device=starting.device,
    )  # fmt: skip
    return given_out(*tasks().claims.start(issue))


def _key() -> tuple[str, ...]:
    return web.caller(), web.idempotency_key()


@blueprint.post("/v1/tasks/<campaign>/<task>/visits")
@allow(*CALLERS)
def post_visit(campaign: str, task: str) -> Response:
    """Count a visitor of a shared link, each once."""
    query(web.NoQuery())
    visiting = web.read_body(claim_schemas.Visiting)
    token, visitors = tasks().claims.visit(visiting.token, visiting.visitor)
    if (token.campaign, token.task) != (campaign, task):
        raise InvalidError("the link is another task's")
    return json_response({"token_id": token.token_id, "visitors": visitors})


@blueprint.post("/v1/tasks/<campaign>/<task>/done")
@allow(*CALLERS)
def post_done(campaign: str, task: str) -> Response:
    """Do a task that the bank sees: sign in, redeem an ad, answer a quiz, draw, refer a friend."""
    query(web.NoQuery())
    doing = web.read_body(Doing)
    wish = web.asking(doing.subscriber, doing, "task", campaign, task)
    return shown(tasks().claims.do(wish, campaign, task, doing))


def shown(answer: Answer) -> Response:
    """Answer with a claim: 201 where nothing more comes of it, 202 while its reward is moving."""
    claim = answer.subject
    assert isinstance(claim, Claim)
    location = url_for("claims.get_claim", claim=claim.claim_id)
    status = 202 if claim.state in ("accepted", "clawing_back") else 201
    return web.answered(claim_document(claim, bank().calendar), status, location, answer)


@blueprint.get("/v1/tasks/<campaign>/<task>/draw")
@allow(*CALLERS)
def get_draw(campaign: str, task: str) -> Response:
    """Tell a draw's seed commitment of a day, and the seed once that day is over."""
    day = query(claim_schemas.DrawQuery())["day"]
    return json_response(tasks().claims.draw_of(campaign, task, day.isoformat() if day else None))


@blueprint.get("/v1/claims")
@allow(*CALLERS)
def get_claims() -> Response:
    """List claims, newest first; only an operator sees those of everybody."""
    asked: dict[str, Any] = query(claim_schemas.ClaimsQuery())
    if asked["account"] is None and web.caller() != "operator":
        raise InvalidError("`account` is needed: on whose behalf is this read?")
    if asked["campaign"] is not None:
        tasks().campaign(asked["campaign"])
    at, last = parts_of(asked["after"], (int, str))
    after = None if at is None else (at, web.identity(last, "the last one's").hex)
    wanted = asked | {"subscriber": asked["account"], "after": after}
    found, more = tasks().claims.page(wanted, asked["limit"])
    documents = [claim_document(each, bank().calendar) for each in found]
    return json_response({"claims": documents, "next_after": cursor_of(*more) if more else None})


@blueprint.get("/v1/claims/<claim>")
@allow(*CALLERS)
def get_claim(claim: str) -> Response:
    """Show a claim, what happened to it and why."""
    query(web.NoQuery())
    found, events = tasks().claims.claim(web.identity(claim, "a claim's"))
    return json_response(claim_document(found, bank().calendar, events))


@blueprint.post("/v1/claims/<claim>/claw-back")
@allow("operator")
def post_claw_back(claim: str) -> Response:
    """Take back what is left of a paid reward, for a reason that is kept."""
    query(web.NoQuery())
    by_hand = web.read_body(ByHand)
    found = web.identity(claim, "a claim's")
    wish = web.asking("", by_hand, "claw-back", claim)
    return shown(tasks().claims.claw_back(wish, found, by_hand.reason))
