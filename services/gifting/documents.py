"""Gifts, red packets and asks as they are shown: JSON with instants as ISO 8601."""

from typing import Any

from services.gifting.domain.abuse import ABUSE_SUSPECTED
from services.gifting.domain.ask import Ask
from services.gifting.domain.gift import Gift
from services.gifting.domain.quote import Quote
from services.gifting.domain.red_packet import Claim, RedPacket
from shared.calendar import Calendar
from shared.contracts.ledger import Event, Leg, LotTerms
from shared.sagas.aggregate import Aggregate

Document = dict[str, Any]
# What comes next comes by itself.
MOVING_GIFTS = ("requested", "offered", "accepted", "declined", "cancelled", "sent")
MOVING_PACKETS = ("requested", "offered")


def is_moving(found: Gift | RedPacket | Ask, saga: str) -> bool:
    """Say whether a saga (a gift, packet or claim) is on its way to a state of rest."""
    if isinstance(found, Gift):
        return found.state in MOVING_GIFTS
    if isinstance(found, Ask):
        return False
    claim = found.claims.get(saga)
    return found.state in MOVING_PACKETS if claim is None else claim.state == "claimed"


def gift_document(
    gift: Gift, calendar: Calendar, viewer: str | None, events: list[Aggregate.Event] | None = None
) -> Document:
    """Return what is to be told of a gift; with its events, its steps too.

    All of it to operators (viewer None). What it looked like and what an operator wrote is theirs
    alone; what left the sender, and in words why it did not, is told to the sender, never to who
    receives: that is the sender's balance.
    """
    is_operator, is_sender = viewer is None, viewer == gift.sender
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
        "detail": detail_for(gift, viewer) or None,
        "reasons": gift.reasons if is_operator else [],
        "transfer_id": gift.transfer_id or None,
        "legs": [_leg(leg, calendar) for leg in gift.legs if is_operator or is_sender],
        "lots": [_lot(lot, calendar) for lot in gift.lots],
        "clawed_back_bytes": gift.clawed_back_bytes,
        "requested_at": calendar.text(gift.requested_at),
    }
    if events is not None:
        shown["steps"] = [_step(each.data, gift, calendar, viewer) for each in events]
    return shown


def detail_for(gift: Gift, viewer: str | None) -> str:
    """Return why a gift was refused in words, as a viewer may know it."""
    if viewer is None:
        return gift.detail
    # Of a suspicion they count what others did, too.
    return gift.detail if viewer == gift.sender and gift.code != ABUSE_SUSPECTED else ""


def quote_document(quote: Quote, calendar: Calendar) -> Document:
    """Return what a gift would do."""
    return {
        "sender": quote.sender,
        "receiver": quote.receiver,
        "bytes": quote.bytes,
        "departs_bytes": quote.departs_bytes,
        "arrives_bytes": quote.arrives_bytes,
        "fee": {"bytes": quote.fee_bytes, "payer": quote.fee_payer},
        "waits": quote.waits,
        "accept_until": calendar.text(quote.accept_until) if quote.waits else None,
        "legs": [
            {
                "lot_id": leg.lot_id, "kind": leg.kind, "bytes": leg.bytes,
                "expires_at": calendar.text(leg.expires_at),
                "arrives_until": calendar.text(leg.arrives_until or leg.expires_at),
            }
            for leg in quote.legs
        ],
        "allowed_bytes": quote.allowed_bytes,
        "complete": quote.is_complete,
        "refused": None
        if quote.code is None
        else {"code": quote.code, "detail": quote.detail, **quote.extra},
    }  # fmt: skip


def packet_document(packet: RedPacket, calendar: Calendar, viewer: str | None) -> Document:
    """Return what is to be told of a packet: all to its sender and operators (viewer None).

    Others see how far it is and their own share. What each share is worth is told to everybody
    once the packet has ended, with the seed that proves it.
    """
    ended, claims = packet.state == "ended", list(packet.claims.values())
    sees_all = viewer in (None, packet.sender)
    return {
        "packet_id": packet.packet_id,
        "sender": packet.sender,
        "bytes": packet.bytes,
        "shares": packet.shares,
        "split": packet.split,
        "share_bytes_min": packet.share_bytes_min,
        "state": packet.state,
        "final": packet.is_final,
        "deadline": calendar.text(packet.deadline),
        "message": packet.message,
        "fee": {"bytes": packet.fee_bytes, "payer": "sender"},
        "code": packet.code or None,
        "detail": (packet.detail or None) if sees_all else None,
        "cause": packet.cause or None,
        "claimed_shares": len(claims),
        "delivered_bytes": packet.delivered_bytes if sees_all or ended else None,
        "returned_bytes": packet.returned_bytes if ended else None,
        "seed_commitment": packet.seed_commitment,
        "seed": packet.seed if ended else None,
        "claims": [
            claim_document(claim, calendar, named=sees_all or claim.receiver == viewer)
            for claim in claims
            if sees_all or ended or claim.receiver == viewer
        ],
        "requested_at": calendar.text(packet.requested_at),
    }


def claim_document(claim: Claim, calendar: Calendar, *, named: bool) -> Document:
    """Return what is to be told of a share."""
    shown: Document = {"position": claim.position, "bytes": claim.bytes, "state": claim.state}
    if named:
        shown |= {
            "claim_id": claim.claim_id, "receiver": claim.receiver, "code": claim.code or None,
            "transfer_id": claim.transfer_id, "lots": [_lot(lot, calendar) for lot in claim.lots],
            "clawed_back_bytes": claim.clawed_back_bytes,
        }  # fmt: skip
    return shown


def ask_document(ask: Ask, calendar: Calendar) -> Document:
    """Return all that is to be told of an ask."""
    return {
        "ask_id": ask.ask_id,
        "asker": ask.asker,
        "giver": ask.giver,
        "bytes": ask.bytes,
        "state": ask.state,
        "final": ask.is_final,
        "deadline": calendar.text(ask.deadline),
        "message": ask.message,
        "gift_id": ask.gift_id or None,
        "made_at": calendar.text(ask.made_at),
    }


def _step(facts: Event, gift: Gift, calendar: Calendar, viewer: str | None) -> Document:
    """Return what happened, when, by whom and, as far as a viewer may know it, why."""
    name = facts.TYPE.removeprefix("bank.gifting.").removesuffix(".v1")
    shown: Document = {
        "step": name, "at": calendar.text(facts.recorded_at), "actor": facts.actor,
        "rule_version": facts.rule_version, "reason": facts.reason if viewer is None else None,
    }  # fmt: skip
    told = {
        "code": getattr(facts, "code", None),
        "detail": detail_for(gift, viewer) if getattr(facts, "detail", None) else None,
        "reasons": getattr(facts, "reasons", None) if viewer is None else None,
        "confirmed_for": (
            getattr(facts, "confirmed_for", None) if viewer in (None, gift.sender) else None
        ),
    }
    return shown | {name: value for name, value in told.items() if value}


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
