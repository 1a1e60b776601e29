"""Claims and tokens as they are shown: JSON with instants as ISO 8601."""

from typing import Any

from services.tasks.domain.claim import Claim
from services.tasks.domain.tasks.completion import Token
from shared.calendar import Calendar
from shared.sagas.aggregate import Aggregate

Document = dict[str, Any]


def claim_document(
    claim: Claim, calendar: Calendar, events: list[Aggregate.Event] | None = None
) -> Document:
    """Return all that is to be told of a claim; with its events, its steps too."""
    terms, drawn = claim.terms, claim.draw
    shown: Document = {
        "claim_id": claim.claim_id,
        "campaign": claim.campaign,
        "partner": claim.partner,
        "campaign_version": claim.campaign_version,
        "task": claim.task,
        "step": claim.step,
        "occurrence": claim.occurrence,
        "subscriber": claim.subscriber,
        "state": claim.state,
        "final": claim.is_final,
        "code": claim.code or None,
        "detail": claim.detail or None,
        "bytes": claim.bytes,
        "kind": terms.kind if terms else None,
        "valid_from": calendar.text(terms.valid_from) if terms else None,
        "expires_at": calendar.text(terms.expires_at) if terms else None,
        "place": claim.place or None,
        "prize": drawn.prize if drawn else None,
        "roll": drawn.roll if drawn else None,
        "seed_commitment": drawn.seed_commitment if drawn else None,
        "transfer_id": claim.transfer_id or None,
        "taken_bytes": claim.taken_bytes,
        "shortfall_bytes": claim.shortfall_bytes,
        "happened_at": calendar.text(claim.happened_at) if claim.happened_at else None,
        "attributed_at": calendar.text(claim.attributed_at) if claim.attributed_at else None,
        "claimed_at": calendar.text(claim.claimed_at),
    }
    if events is not None:
        shown["steps"] = [_step(each, calendar) for each in events]
    return shown


def _step(event: Aggregate.Event, calendar: Calendar) -> Document:
    facts = event.data
    return {
        "step": facts.TYPE.removeprefix("bank.tasks.").removesuffix(".v1"),
        "at": calendar.text(facts.recorded_at), "actor": facts.actor,
        "rule_version": facts.rule_version, "reason": facts.reason,
    }  # fmt: skip


def token_document(text: str, token: Token, calendar: Calendar) -> Document:
    """Return a token for whoever asked for it."""
    return {
        "token": text,
        "token_id": token.token_id,
        "use": token.use,
        "campaign": token.campaign,
        "task": token.task or None,
        "subscriber": token.subscriber,
        "invited_by": token.invited_by,
        "issued_at": calendar.text(token.issued_at),
    }


def claim_row(claim: Claim, _: Document) -> Document:
    """Return what a row of `claims` must say."""
    return {
        "campaign": claim.campaign, "task": claim.task, "step": claim.step,
        "occurrence": claim.occurrence, "subscriber": claim.subscriber, "bytes": claim.bytes,
        "counted_bytes": claim.counted_bytes, "place": claim.place, "state": claim.state,
        "claimed_at": claim.claimed_at,
    }  # fmt: skip
