"""The view `gifts`: gifts, red packets and their shares, each a row as its events leave it.

A share of a red packet is a gift to who claimed it; the packet itself has no receiver. Amounts are
bytes, instants milliseconds since 1970-01-01Z.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from services.gateway.integration import ViewEvent
from services.gateway.projections import Rows
from services.gateway.views import AnyCursor, View
from shared.calendar import Calendar
from shared.contracts.gifting import (
    GiftAccepted,
    GiftCancelled,
    GiftClawedBack,
    GiftCompleted,
    GiftDeclined,
    GiftDelayed,
    GiftHeld,
    GiftOffered,
    GiftRefused,
    GiftReleased,
    GiftRequested,
    GiftReturned,
    GiftSent,
    RedPacketClosed,
    RedPacketEnded,
    RedPacketOffered,
    RedPacketOpened,
    RedPacketRefused,
    RedPacketRequested,
    ShareClaimed,
    ShareClawedBack,
    ShareDelivered,
    ShareReturned,
)
from shared.contracts.ledger import LotTerms
from shared.pgarrays import int8s, texts

# A code whose `detail` tells what others did: it is for operators.
ABUSE_SUSPECTED = "abuse_suspected"
GIFT, RED_PACKET, SHARE = "gift", "red_packet", "share"
KINDS = (GIFT, RED_PACKET, SHARE)
STATES = (
    "requested", "delayed", "offered", "held", "accepted", "declined", "cancelled", "sent",
    "completed", "refused", "returned", "open", "closed", "ended", "claimed", "delivered",
)  # fmt: skip


class UnknownGiftError(ValueError):
    """An event is about a gift that was never requested."""


class Begin(msgspec.Struct, frozen=True):
    """What a row begins with and keeps."""

    kind: str
    sender: str
    receiver: str
    bytes: int
    at: int


class Step(msgspec.Struct, frozen=True):
    """What an event makes of a row: its state and why, and what is told beside; `begin` if new."""

    gift_id: str
    state: str
    code: str = ""
    facts: dict[str, Any] = {}
    begin: Begin | None = None


class GiftChange(msgspec.Struct):
    """A row's changes that are not written yet; with `begin` it is the row itself."""

    state: str
    code: str
    changed_at: int
    facts: dict[str, Any]
    begin: Begin | None = None


def step_of(event: ViewEvent) -> Step | None:
    """Return what an event makes of a row, None if nothing."""
    found = _STEPS.get(type(event))
    return None if found is None else found(event)


def _requested(event: GiftRequested) -> Step:
    facts = {
        "waits": event.waits, "fee_bytes": event.fee_bytes, "fee_payer": event.fee_payer,
        **_given(message=event.message, ask_id=event.ask_id, deadline=event.deadline),
    }  # fmt: skip
    begin = Begin(GIFT, event.account, event.receiver, event.bytes, event.recorded_at)
    return Step(event.gift_id, "requested", facts=facts, begin=begin)


def _packet_requested(event: RedPacketRequested) -> Step:
    facts = {
        "shares": event.shares, "split": event.split, "seed_commitment": event.seed_commitment,
        "share_bytes_min": event.share_bytes_min, "deadline": event.deadline,
        "fee_bytes": event.fee_bytes, **_given(message=event.message),
    }  # fmt: skip
    begin = Begin(RED_PACKET, event.account, "", event.bytes, event.recorded_at)
    return Step(event.packet_id, "requested", facts=facts, begin=begin)


def _claimed(event: ShareClaimed) -> Step:
    facts = {
        "packet_id": event.packet_id, "position": event.position, "fee_bytes": event.fee_bytes,
    }  # fmt: skip
    begin = Begin(SHARE, event.account, event.receiver, event.bytes, event.recorded_at)
    return Step(event.claim_id, "claimed", facts=facts, begin=begin)


def _packet_ended(event: RedPacketEnded) -> Step:
    facts = {
        "claimed_bytes": event.claimed_bytes, "returned_bytes": event.returned_bytes,
        "seed": event.seed,
    }  # fmt: skip
    return Step(event.packet_id, "ended", event.cause, facts)


def _arrived(event: GiftCompleted | ShareDelivered) -> dict[str, Any]:
    return {"transfer_id": event.transfer_id, "lots": [_lot(lot) for lot in event.lots]}


def _sent(event: GiftSent) -> Step:
    """Return the departure's step; one that was heard after the arrival leaves its state."""
    state = "completed" if event.late else "sent"
    facts = {"transfer_id": event.transfer_id, "sent_at": event.recorded_at}
    return Step(event.gift_id, state, facts=facts)


def _clawed_back(event: GiftClawedBack | ShareClawedBack) -> dict[str, Any]:
    return {"clawed_back_bytes": event.taken_bytes, "clawed_back_at": event.recorded_at}


def _lot(lot: LotTerms) -> dict[str, Any]:
    return {
        "lot_id": lot.lot_id, "bytes": lot.granted, "valid_from": lot.valid_from,
        "expires_at": lot.expires_at,
    }  # fmt: skip


def _given(**facts: Any) -> dict[str, Any]:
    """Return the facts that there are."""
    return {name: value for name, value in facts.items() if value}


_STEPS: dict[type[ViewEvent], Callable[[Any], Step]] = {
    GiftRequested: _requested,
    GiftDelayed: lambda e: Step(e.gift_id, "delayed", facts={"reasons": e.reasons}),
    GiftReleased: lambda e: Step(e.gift_id, "requested", facts={"released_at": e.recorded_at}),
    GiftOffered: lambda e: Step(e.gift_id, "offered", facts=_given(deadline=e.deadline)),
    GiftHeld: lambda e: Step(
        e.gift_id, "held", facts={"hold_id": e.hold_id, "deadline": e.deadline}
    ),
    GiftAccepted: lambda e: Step(e.gift_id, "accepted"),
    GiftDeclined: lambda e: Step(e.gift_id, "declined"),
    GiftCancelled: lambda e: Step(e.gift_id, "cancelled"),
    GiftSent: _sent,
    GiftCompleted: lambda e: Step(e.gift_id, "completed", facts=_arrived(e)),
    GiftRefused: lambda e: Step(e.gift_id, "refused", e.code, _given(detail=e.detail)),
    GiftReturned: lambda e: Step(e.gift_id, "returned", e.code),
    GiftClawedBack: lambda e: Step(e.gift_id, "completed", facts=_clawed_back(e)),
    RedPacketRequested: _packet_requested,
    RedPacketOffered: lambda e: Step(e.packet_id, "offered", facts={"deadline": e.deadline}),
    RedPacketOpened: lambda e: Step(e.packet_id, "open", facts={"hold_id": e.hold_id}),
    RedPacketRefused: lambda e: Step(e.packet_id, "refused", e.code, _given(detail=e.detail)),
    RedPacketClosed: lambda e: Step(e.packet_id, "closed", e.cause),
    RedPacketEnded: _packet_ended,
    ShareClaimed: _claimed,
    ShareDelivered: lambda e: Step(e.claim_id, "delivered", facts=_arrived(e)),
    ShareReturned: lambda e: Step(
        e.claim_id, "returned", e.code, _given(transfer_id=e.transfer_id)
    ),
    ShareClawedBack: lambda e: Step(e.claim_id, "delivered", facts=_clawed_back(e)),
}


class GiftsDelta:
    """Changes of the view `gifts`, by gift."""

    def __init__(self) -> None:
        self.gifts: dict[str, GiftChange] = {}

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event changes."""
        del log
        step = step_of(event)
        if step is None:
            return
        at = event.recorded_at
        # These leave or lead back to a state that it had before, or tell their time themselves.
        again = isinstance(event, GiftReleased | GiftClawedBack | ShareClawedBack | GiftSent)
        began = {} if again else {f"{step.state}_at": at}
        row = self.gifts.get(step.gift_id)
        if row is None:
            facts = {**step.facts, **began}
            self.gifts[step.gift_id] = GiftChange(step.state, step.code, at, facts, step.begin)
            return
        row.state, row.code, row.changed_at = step.state, step.code, at
        row.facts.update(step.facts | began)

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.gifts)

    def rows(self) -> Rows:
        """Return the rows. Raises UnknownGiftError."""
        return {"gifts": {(name,): row_of(name, change) for name, change in self.gifts.items()}}


def row_of(name: str, change: GiftChange) -> tuple[Any, ...]:
    """Return a new row behind its key. Raises UnknownGiftError."""
    begin = change.begin
    if begin is None:
        raise UnknownGiftError(f"{name} was never requested")
    return (
        begin.kind, begin.sender, begin.receiver, begin.bytes, change.state, change.code, begin.at,
        change.changed_at, change.facts,
    )  # fmt: skip


def gift_document(row: dict[str, Any], account: str, calendar: Calendar) -> dict[str, Any]:
    """Return a row as it is shown to one of its two sides; instants as ISO 8601.

    What the gift looked like is told to neither, why it was refused to its sender by `detail`, to
    its receiver by the code alone (gifting shows operators all of it).
    """
    role = "sender" if row["sender"] == account else "receiver"
    tells_detail = role == "sender" and row["code"] != ABUSE_SUSPECTED
    hidden = {"reasons"} if tells_detail else {"reasons", "detail"}
    facts = {
        name: _shown(name, value, calendar)
        for name, value in row["facts"].items()
        if name not in hidden
    }
    return {
        "gift_id": row["gift_id"], "kind": row["kind"], "role": role,
        "sender": row["sender"], "receiver": row["receiver"] or None, "bytes": row["bytes"],
        "state": row["state"], "code": row["code"] or None,
        "changed_at": calendar.text(row["changed_at"]), **facts,
    }  # fmt: skip


def _shown(name: str, value: Any, calendar: Calendar) -> Any:
    if name == "lots":
        return [{key: _shown(key, each, calendar) for key, each in lot.items()} for lot in value]
    is_instant = name in ("deadline", "valid_from") or name.endswith("_at")
    return calendar.text(value) if is_instant else value


INSERT_GIFTS = """
INSERT INTO {gifts} (gift_id, kind, sender, receiver, bytes, state, code, requested_at, changed_at,
    facts)
SELECT gift_id, kind, sender, receiver, bytes, state, code, requested_at, changed_at, facts::jsonb
FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[],
    %b::bigint[], %b::bigint[], %b::text[])
    AS new (gift_id, kind, sender, receiver, bytes, state, code, requested_at, changed_at, facts)
"""
UPDATE_GIFTS = """
UPDATE {gifts} AS gift SET state = change.state, code = change.code,
    changed_at = change.changed_at, facts = gift.facts || change.facts::jsonb
FROM unnest(%b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[])
    AS change (gift_id, state, code, changed_at, facts)
WHERE gift.gift_id = change.gift_id
"""


class GiftsView(View):
    """What became of each gift, red packet and share."""

    name: ClassVar = "gifts"
    service: ClassVar = "gifting"
    tables: ClassVar = {
        "gifts": (("gift_id",), (
            "kind", "sender", "receiver", "bytes", "state", "code", "requested_at", "changed_at",
            "facts",
        )),
    }  # fmt: skip

    def new_delta(self) -> GiftsDelta:
        """Return a delta without changes."""
        return GiftsDelta()

    def write(self, cursor: AnyCursor, delta: GiftsDelta) -> None:
        """Write new rows and changes of those that are there. Raises UnknownGiftError."""
        new = {name: one for name, one in delta.gifts.items() if one.begin is not None}
        if new:
            rows = [(name, *row_of(name, one)) for name, one in new.items()]
            names, kinds, senders, receivers, sizes, states, codes, began, changed, facts = zip(
                *rows, strict=True
            )
            self._run(
                cursor, INSERT_GIFTS, texts(names), texts(kinds), texts(senders), texts(receivers),
                int8s(sizes), texts(states), texts(codes), int8s(began), int8s(changed),
                texts([_json(each) for each in facts]),
            )  # fmt: skip
        old = {name: one for name, one in delta.gifts.items() if one.begin is None}
        if old:
            changes = list(old.values())
            self._run(
                cursor, UPDATE_GIFTS, texts(list(old)), texts([one.state for one in changes]),
                texts([one.code for one in changes]), int8s([one.changed_at for one in changes]),
                texts([_json(one.facts) for one in changes]),
            )  # fmt: skip
            if cursor.rowcount != len(old):
                raise UnknownGiftError("an event is about a gift that was never requested")


def _json(facts: dict[str, Any]) -> str:
    return msgspec.json.encode(facts).decode()
