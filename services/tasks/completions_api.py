"""The routes that partners call themselves: a signature is the proof, no bearer token is asked for.

What is decided is an answer (200, or 202 while a reward is on its way), and the same request has
the identical one for 180 days. A problem document is for what was not taken in: who calls, or what
was said, is not clear.
"""

import time

import msgspec
from flask import Blueprint, Response, request, url_for

from services.tasks.api import bank, tasks
from services.tasks.claim_rows import ToldBy
from services.tasks.clawbacks import ClawBackTerms
from services.tasks.completions import Told, actor_of, encode
from services.tasks.domain.signature import Key, Signed
from services.tasks.metrics import CALLS_REFUSED
from services.tasks.partner_calls import check_call, read_completions, resolve
from shared.auth import signed
from shared.errors import ConflictError, RefusedError
from shared.http import body, query
from shared.sagas import web
from shared.sagas.requests import Asking

blueprint = Blueprint("completions", __name__)
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def signed_call(partner: str) -> tuple[Signed, Key]:
    """Return this call and the key that signed it.

    Raises RefusedError as `check_call`.
    """
    request_id, timestamp, signatures = (request.headers.get(name, "") for name in HEADERS)
    call = Signed(request_id, timestamp, signatures, body())
    wall_ms = time.time_ns() // 1_000_000
    try:
        found = tasks().keyring.partner(partner)
        late_ms = tasks().store.rules().told_late_ms
        key = check_call(found, call, wall_ms, bank().clock.now(), late_ms)
    except RefusedError as error:
        CALLS_REFUSED.labels(error.code).inc()
        raise
    return call, key


@blueprint.post("/v1/partners/<partner>/completions")
@signed
def post_completions(partner: str) -> Response:
    """Take in what a partner has seen: one completion, or up to 500 in a batch."""
    query(web.NoQuery())
    call, key = signed_call(partner)
    told, is_batch = read_completions(call)
    asked = resolve(told, tasks().claims.tokens, bank().calendar)
    outcomes = tasks().claims.complete(partner, key.asp_id, asked)
    if is_batch:
        joined = b",".join(each.answer for each in outcomes)
        return Response(b'{"answers":[' + joined + b"]}", content_type="application/json")
    [outcome] = outcomes
    if outcome.how == "conflict":
        raise ConflictError
    if outcome.how == "early":
        told_early = msgspec.json.decode(outcome.answer, type=Told)
        raise RefusedError(told_early.code, told_early.detail, 503)
    response = _told(partner, call.request_id, outcome.answer)
    if outcome.how == "repeat":
        response.headers["Idempotency-Hit"] = "true"
    return response


@blueprint.get("/v1/partners/<partner>/completions/<request_id>")
@signed
def get_completion(partner: str, request_id: str) -> Response:
    """Tell how a completion stands now; the call is signed with the same request id."""
    query(web.NoQuery())
    call, key = signed_call(partner)
    if call.request_id != request_id:
        raise RefusedError(
            "request_id_differs", "webhook-id is the request id that is asked for", 401
        )
    by = ToldBy(partner, key.asp_id, request_id)
    return _told(partner, request_id, encode(tasks().claims.completion(by)))


@blueprint.post("/v1/partners/<partner>/clawbacks")
@signed
def post_clawback(partner: str) -> Response:
    """Take back what is left of what came of a completion: it turned out to be none."""
    query(web.NoQuery())
    call, key = signed_call(partner)
    terms = web.read_body(ClawBackTerms)
    actor = actor_of(partner, key.asp_id)
    asking = Asking(actor, "", call.request_id, ["clawback", terms.request_id, terms.reason])
    by = ToldBy(partner, key.asp_id, terms.request_id)
    tasks().claims.claw_back_completion(asking, by)
    return _told(partner, terms.request_id, encode(tasks().claims.completion(by)))


def _told(partner: str, request_id: str, answer: bytes) -> Response:
    told = msgspec.json.decode(answer, type=Told)
    moving = any(claim.state in ("accepted", "clawing_back") for claim in told.claims)
    response = Response(answer, 202 if moving else 200, content_type="application/json")
    response.headers["Location"] = url_for(
        "completions.get_completion", partner=partner, request_id=request_id
    )
    return response
