"""The routes of campaigns: drafts, approval, funding, start, pause, end."""

from http import HTTPStatus
from typing import Any, cast

from flask import Blueprint, Response, url_for

from services.tasks import schemas
from services.tasks.api import bank, page_of, tasks
from services.tasks.campaigns import FundTerms, NewCampaign, Verb
from services.tasks.documents import campaign_document
from services.tasks.domain.campaign import Campaign
from services.tasks.domain.terms import DraftTerms
from services.tasks.grants import unpaid
from services.tasks.partners import ByHand
from shared.auth import allow
from shared.errors import RefusedError
from shared.http import json_response, query
from shared.sagas import web
from shared.sagas.requests import Answer

blueprint = Blueprint("campaigns", __name__)


@blueprint.post("/v1/campaigns")
@allow("operator")
def post_campaign() -> Response:
    """Write a campaign down; nothing happens yet."""
    query(web.NoQuery())
    wish = web.read_body(NewCampaign)
    return _shown(tasks().draft(web.asking("", wish, "campaign"), wish), HTTPStatus.CREATED)


@blueprint.get("/v1/campaigns")
@allow("operator")
def get_campaigns() -> Response:
    """List campaigns, newest first."""
    asked = query(schemas.CampaignsQuery())
    if asked["partner"] is not None:
        tasks().partner(asked["partner"])
    found, after = page_of("campaigns", ("partner",), asked, asked["partner"])
    documents = [campaign_document(each, bank().calendar) for each in found]
    return json_response({"campaigns": documents, "next_after": after})


@blueprint.get("/v1/campaigns/<campaign>")
@allow("operator")
def get_campaign(campaign: str) -> Response:
    """Show a campaign, and whether the whole ledger knows what it sponsors."""
    query(web.NoQuery())
    return json_response(_document(tasks().campaign(campaign)))


@blueprint.post("/v1/campaigns/<campaign>/terms")
@allow("operator")
def post_terms(campaign: str) -> Response:
    """Give a campaign new terms: a new version."""
    query(web.NoQuery())
    draft = web.read_body(DraftTerms)
    answer = tasks().change(web.asking("", draft, "terms", campaign), campaign, draft)
    return _told(answer)


@blueprint.post("/v1/campaigns/<campaign>/fundings")
@allow("operator")
def post_funding(campaign: str) -> Response:
    """Put data of the partner into a campaign."""
    query(web.NoQuery())
    terms = web.read_body(FundTerms)
    wish = web.asking("", terms, "fund", campaign)
    found, answer = tasks().fund(wish, campaign, terms, web.wait_s())
    funding = found.fundings[wish.subject.hex]
    if funding.state == "refused":
        raise RefusedError(
            funding.code or "refused", funding.detail or "the partner could not pay",
            funding_id=wish.subject.hex,
        )  # fmt: skip
    status = HTTPStatus.CREATED if funding.state == "arrived" else HTTPStatus.ACCEPTED
    return web.answered(_document(found), status, _location(campaign), answer)


@blueprint.post("/v1/campaigns/<campaign>/<any(approve, start, pause, end, audience):verb>")
@allow("operator")
def post_verb(campaign: str, verb: str) -> Response:
    """Approve, start, pause or end a campaign, or have whom its rule finds taken again."""
    query(web.NoQuery())
    by_hand = web.read_body(ByHand)
    wish = web.asking("", by_hand, verb, campaign)
    return _told(tasks().act(wish, campaign, cast("Verb", verb), by_hand.reason))


def _told(answer: Answer) -> Response:
    """Answer 202 while the ledger does not know what is sponsored, or nobody for whom it is."""
    document = _document(_campaign(answer))
    offer, audience = document["offer"], document["audience"]
    known = offer is None or offer["known"]
    if audience is not None and audience["state"] == "taking":
        known = False
    return _answer(answer, document, HTTPStatus.OK if known else HTTPStatus.ACCEPTED)


def _shown(answer: Answer, status: HTTPStatus) -> Response:
    return _answer(answer, _document(_campaign(answer)), status)


def _answer(answer: Answer, document: dict[str, Any], status: HTTPStatus) -> Response:
    return web.answered(document, status, _location(document["campaign"]), answer)


def _campaign(answer: Answer) -> Campaign:
    assert isinstance(answer.subject, Campaign)
    return answer.subject


def _document(campaign: Campaign) -> dict[str, Any]:
    progress = None
    if campaign.members_of is not None:
        progress = tasks().audiences.progress(campaign.members_of, campaign.name)
    known = tasks().offers.known(campaign.id)
    lacking = unpaid(tasks().store, campaign.name) if campaign.terms.grants else []
    return campaign_document(campaign, bank().calendar, known, progress, lacking)


def _location(campaign: str) -> str:
    return url_for("campaigns.get_campaign", campaign=campaign)
