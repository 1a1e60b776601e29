"""Gifts, red packets and asks as they are shown: JSON with instants as ISO 8601."""

from typing import Any

from services.gifting.domain.aggregate import Aggregate
from services.gifting.domain.gift import Gift
from shared.calendar import Calendar
from shared.contracts.ledger import Leg, LotTerms

Document = dict[str, Any]
# What comes next comes by itself.
MOVING = ("requested", "offered", "accepted", "declined", "cancelled", "sent")


def is_moving(gift: Gift) -> bool:
    """Say whether a gift is on its way to a state in which it rests."""
    return gift.state in MOVING


def gift_document(
    gift: Gift, calendar: Calendar, events: list[Aggregate.Event] | None = None
) -> Document:
    """Return all that is to be told of a gift; with its events, its steps too."""
    shown: Document = {
        "gift_id": gift.gift_id,
        "sender": gift.sender,
        "receiver": gift.receiver,
        "bytes": gift.bytes,
        "state": gift.state,
        "final": gift.is_final,
        "waits": gift.waits,
        "deadline": calendar.text(gift.deadline) if gift.waits else None,
        "fee": {"bytes": gift.fee_bytes, "payer": gift.fee_payer},
        "message": gift.message,
        "ask_id": gift.ask_id,
        "code": gift.code or None,
        "detail": gift.detail or None,
        "reasons": gift.reasons,
        "transfer_id": gift.transfer_id or None,
        "legs": [_leg(leg, calendar) for leg in gift.legs],
        "lots": [_lot(lot, calendar) for lot in gift.lots],
        "requested_at": calendar.text(gift.requested_at),
    }
    if events is not None:
        shown["steps"] = [step(each, calendar) for each in events]
    return shown


def step(event: Aggregate.Event, calendar: Calendar) -> Document:
    """Return what happened, when, by whom and why."""
    facts = event.data
    name = facts.TYPE.removeprefix("bank.gifting.").removesuffix(".v1")
    shown: Document = {
        "step": name, "at": calendar.text(facts.recorded_at), "actor": facts.actor,
        "rule_version": facts.rule_version, "reason": facts.reason,
    }  # fmt: skip
    for more in ("code", "detail", "reasons"):
        if getattr(facts, more, None):
            shown[more] = getattr(facts, more)
    return shown


def _leg(leg: Leg, calendar: Calendar) -> Document:
    return {
        "lot_id": leg.lot_id, "kind": leg.kind, "bytes": leg.bytes,
        "expires_at": calendar.text(leg.expires_at),
    }  # fmt: skip


def _lot(lot: LotTerms, calendar: Calendar) -> Document:
    return {
        "lot_id": lot.lot_id, "kind": lot.kind, "bytes": lot.granted,
        "valid_from": calendar.text(lot.valid_from), "expires_at": calendar.text(lot.expires_at),
    }  # fmt: skip
