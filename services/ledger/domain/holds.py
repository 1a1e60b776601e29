"""Holds: bytes pinned until a deadline, then posted (wholly or in parts), released or timed out.

A hold is honoured over a month's end: what is posted after its lot's close travels on the terms
that the close gave that lot, and what comes back is treated as the closes since would have.
"""

from collections.abc import Iterator
from dataclasses import replace

from services.ledger.domain.account import Account
from services.ledger.domain.closing import after_close, settle_closed
from services.ledger.domain.commands import Fee, Hold, Post, Release
from services.ledger.domain.context import Context, Meta, active, facts, instant, known
from services.ledger.domain.fees import check_fee, split_fee, with_fee
from services.ledger.domain.lots import Hold as OpenHold
from services.ledger.domain.lots import leg_of
from services.ledger.domain.transfers import take_legs
from shared.contracts.ledger import DataHeld, DataTransferred, Event, HoldReleased, Leg, Slice
from shared.errors import RefusedError

DAY_MS = 86_400_000
# Longer than any offer of gifting; a hold without an end would be a lot without an owner.
DEADLINE_DAYS_MAX = 31


def hold(
    account: Account | None, command: Hold, context: Context, meta: Meta, hold_id: str
) -> Iterator[Event]:
    """Pin slices of giftable lots, in the order of use."""
    account = active(known(account, command.account))
    deadline = instant(command.deadline, "deadline", context)
    if deadline <= context.now:
        now = context.calendar.text(context.now)
        raise RefusedError("deadline_in_past", "deadline must lie after bank time", now=now)
    if deadline > context.now + DEADLINE_DAYS_MAX * DAY_MS:
        raise RefusedError(
            "deadline_too_far",
            f"a hold lasts at most {DEADLINE_DAYS_MAX} days",
            latest=context.calendar.text(context.now + DEADLINE_DAYS_MAX * DAY_MS),
        )
    legs = take_legs(account, command.bytes, context)
    yield DataHeld(
        **facts(meta, context, account.account, command.reason), hold_id=hold_id,
        purpose=command.purpose, deadline=deadline,
        slices=[Slice(leg.lot_id, leg.bytes) for leg in legs],
    )  # fmt: skip


def post(
    account: Account | None, command: Post, context: Context, meta: Meta, transfer_id: str
) -> Iterator[Event]:
    """Let held bytes depart for a subscriber; the hold ends with its last byte."""
    account = known(account, command.account)
    if command.to == command.account:
        raise RefusedError("same_account", "giver and receiver are the same")
    pinned = _open_hold(account, command.hold_id)
    amount, fee_bytes = _posted(command, pinned)
    if amount > pinned.bytes:
        raise RefusedError(
            "hold_exceeded",
            f"{amount} bytes asked, {pinned.bytes} are held",
            held_bytes=pinned.bytes,
        )
    yield DataTransferred(
        **facts(meta, context, account.account, command.reason), transfer_id=transfer_id,
        to=command.to, purpose=pinned.purpose, hold_id=pinned.hold_id,
        legs=split_fee(_posted_legs(account, pinned, amount, context), fee_bytes),
    )  # fmt: skip


def _posted(command: Post, pinned: OpenHold) -> tuple[int, int]:
    """Return what leaves the hold, and how much of that is the fee."""
    if command.bytes is not None:
        return with_fee(command.bytes, command.fee)
    fee_bytes = command.fee.bytes if isinstance(command.fee, Fee) else 0
    check_fee(pinned.bytes, fee_bytes)
    return pinned.bytes, fee_bytes


def _posted_legs(account: Account, pinned: OpenHold, amount: int, context: Context) -> list[Leg]:
    legs: list[Leg] = []
    for lot_id, part in pinned.parts.items():
        taken = min(part, amount)
        legs.append(leg_of(account.lots[lot_id], taken))
        amount -= taken
        if not amount:
            break
    return after_close(account, legs, context)


def release(
    account: Account | None, command: Release, context: Context, meta: Meta
) -> Iterator[Event]:
    """Let what is left of a hold go free."""
    account = known(account, command.account)
    pinned = _open_hold(account, command.hold_id)
    yield _released(account, pinned, "released", context, meta)
    yield from settle_closed(account, context, meta)


def release_all(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Let every hold go (the account is about to be closed), each told to who waits for it."""
    for pinned in list(account.holds.values()):
        yield _released(account, pinned, "released", context, _told(meta, pinned))


def time_out_due(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Let the holds go whose deadline has come."""
    due = [pinned for pinned in account.holds.values() if pinned.deadline <= context.now]
    for pinned in due:
        yield _released(account, pinned, "timed_out", context, _told(meta, pinned))
    if due:
        yield from settle_closed(account, context, meta)


def _told(meta: Meta, pinned: OpenHold) -> Meta:
    """Return who did it, on the request that asked for the hold."""
    return replace(meta, correlation_id=pinned.correlation_id)


def _released(
    account: Account, pinned: OpenHold, cause: str, context: Context, meta: Meta
) -> HoldReleased:
    slices = [Slice(lot_id, part) for lot_id, part in pinned.parts.items()]
    common = facts(meta, context, account.account)
    return HoldReleased(**common, hold_id=pinned.hold_id, cause=cause, slices=slices)


def _open_hold(account: Account, hold_id: str) -> OpenHold:
    pinned = account.holds.get(hold_id)
    if pinned is None:
        raise RefusedError(
            "hold_not_found",
            "there is no such hold, or it has been posted, released or timed out",
            404,
            hold_id=hold_id,
        )
    return pinned
