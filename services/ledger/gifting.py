"""What gifting's events ask of the ledger: transfers, holds, posts and releases.

Each is a command of the caller `gifting` with a key made of the gift's (packet's, claim's) id, so
that an event that comes again does nothing twice, and the ids of holds and transfers are known
beforehand.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from services.ledger.domain.commands import AnyCommand, Hold, Post, Release, Transfer
from services.ledger.domain.context import Meta
from services.ledger.items import AwaitedItem, key_of
from shared.contracts.envelope import time_text
from shared.contracts.gifting import (
    GiftAccepted,
    GiftCancelled,
    GiftDeclined,
    GiftOffered,
    RedPacketOffered,
    ShareClaimed,
)
from shared.contracts.ledger import Event

CALLER = "gifting"
C = TypeVar("C", bound=AnyCommand)


def item_of(event: Event, event_id: str) -> AwaitedItem | None:
    """Return the command that an event asks for, None if it asks nothing of the ledger.

    Raises msgspec.ValidationError where it asks for something that no command takes.
    """
    found = _COMMANDS.get(type(event))
    if found is None:
        return None
    saga, command = found(event)
    meta = Meta(actor=event.actor, correlation_id=saga, causation_id=event_id)
    return AwaitedItem(command, CALLER, meta)


def _offered(event: GiftOffered) -> tuple[str, AnyCommand]:
    key = _gift(event.gift_id)
    if not event.waits:
        return event.gift_id, _command(
            Transfer, event, key, to=event.receiver, bytes=event.bytes,
            **_fee(event.fee_bytes, event.fee_payer),
        )  # fmt: skip
    on_top = event.fee_bytes if event.fee_payer == "sender" else 0
    return event.gift_id, _command(
        Hold, event, key, bytes=event.bytes + on_top, deadline=time_text(event.deadline)
    )


def _accepted(event: GiftAccepted) -> tuple[str, AnyCommand]:
    hold_id = event.hold_id or _hold_id(event, _gift(event.gift_id))
    return event.gift_id, _command(
        Post, event, f"{_gift(event.gift_id)}:post", hold_id=hold_id, to=event.receiver,
        **_fee(event.fee_bytes, event.fee_payer),
    )  # fmt: skip


def _given_up(event: GiftDeclined | GiftCancelled) -> tuple[str, AnyCommand]:
    hold_id = event.hold_id or _hold_id(event, _gift(event.gift_id))
    key = f"{_gift(event.gift_id)}:release"
    return event.gift_id, _command(Release, event, key, hold_id=hold_id)


def _packet_offered(event: RedPacketOffered) -> tuple[str, AnyCommand]:
    return event.packet_id, _command(
        Hold, event, _packet(event.packet_id), bytes=event.bytes + event.fee_bytes,
        deadline=time_text(event.deadline), purpose="red_packet",
    )  # fmt: skip


def _claimed(event: ShareClaimed) -> tuple[str, AnyCommand]:
    hold_id = event.hold_id or _hold_id(event, _packet(event.packet_id))
    return event.claim_id, _command(
        Post, event, f"claim:{event.claim_id}", hold_id=hold_id, to=event.receiver,
        bytes=event.bytes, **_fee(event.fee_bytes, "sender"),
    )  # fmt: skip


_COMMANDS: dict[type[Event], Callable[[Any], tuple[str, AnyCommand]]] = {
    GiftOffered: _offered,
    GiftAccepted: _accepted,
    GiftDeclined: _given_up,
    GiftCancelled: _given_up,
    RedPacketOffered: _packet_offered,
    ShareClaimed: _claimed,
}


def _command(kind: type[C], event: Event, key: str, **fields: Any) -> C:
    """Return a command, checked as one that comes from outside."""
    given = {"key": key, "account": event.account, "reason": event.reason, **fields}
    return msgspec.convert(given, kind)


def _fee(fee_bytes: int, payer: str) -> dict[str, Any]:
    return {"fee": {"bytes": fee_bytes, "payer": payer}} if fee_bytes else {}


def _hold_id(event: Event, key: str) -> str:
    """Return the id of the hold that an offer asked for."""
    return key_of(CALLER, event.account, key).hex()


def _gift(gift_id: str) -> str:
    return f"gift:{gift_id}"


def _packet(packet_id: str) -> str:
    return f"packet:{packet_id}"
