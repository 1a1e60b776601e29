"""Corrections are new events: adjustments by hand, and reversals that restore the same slices."""

from collections.abc import Iterator

from services.ledger.domain import quotas
from services.ledger.domain.account import Account
from services.ledger.domain.closing import settle_closed
from services.ledger.domain.commands import (
    Adjust,
    AnyCommand,
    ClawBackArrived,
    Reverse,
    ReverseUsage,
    Usage,
)
from services.ledger.domain.context import Context, Meta, facts, instant, known, not_closed
from services.ledger.domain.lots import Lot, leg_of, reopened
from shared.contracts.ledger import (
    DataAdjusted,
    Event,
    Leg,
    LotTerms,
    Slice,
    Source,
    UsageLine,
    UsageReversed,
)
from shared.errors import RefusedError


def adjust(
    account: Account | None, command: Adjust, context: Context, meta: Meta, command_id: str
) -> Iterator[Event]:
    """Give or take bytes by hand, with a reason."""
    account = not_closed(known(account, command.account))
    common = facts(meta, context, account.account, command.reason)
    if command.direction == "take":
        if command.expires_at is not None:
            raise RefusedError("expires_at_not_allowed", "what is taken has no expires_at")
        yield DataAdjusted(**common, slices=_to_take(account, command.bytes, context))
        return
    expires_at = context.calendar.month_end(context.month)
    if command.expires_at is not None:
        expires_at = instant(command.expires_at, "expires_at", context)
        if expires_at <= context.now:
            now = context.calendar.text(context.now)
            raise RefusedError("expires_in_past", "expires_at must lie after bank time", now=now)
    lot = LotTerms(
        lot_id=f"adjustment:{command_id}", kind="adjustment", granted=command.bytes,
        valid_from=context.now, expires_at=expires_at, giftable=account.kind != "subscriber",
        source=Source(type="adjustment", id=command.key),
    )  # fmt: skip
    yield DataAdjusted(**common, lots=[lot])
    if account.kind == "campaign":
        yield from quotas.go_on(account, context, meta)


def _to_take(account: Account, amount: int, context: Context) -> list[Slice]:
    slices, left = [], amount
    for lot in context.rules.in_order(list(account.lots.values())):
        taken = min(lot.free, left)
        if taken:
            slices.append(Slice(lot.lot_id, taken))
            left -= taken
    if left:
        raise RefusedError(
            "insufficient_data",
            f"{amount} bytes asked, {amount - left} are there",
            available_bytes=amount - left,
        )
    return slices


def refuse_unknown(
    account: Account | None, command: Reverse, context: Context, meta: Meta
) -> Iterator[Event]:
    """Refuse to reverse a record that is not in the log (what is in it comes as ReverseUsage)."""
    del context, meta
    account = known(account, command.account)
    raise RefusedError(
        "usage_not_found", f"{account.account} has no usage record {command.usage_id}", 404
    )


def undone_before(command: AnyCommand | Usage, event_id: str) -> RefusedError:
    """Return the refusal to undo what an earlier event has undone."""
    if isinstance(command, ClawBackArrived):
        return RefusedError(
            "already_clawed_back", f"it was clawed back before, by {event_id}", 409,
            event_id=event_id,
        )  # fmt: skip
    return RefusedError(
        "already_reversed", f"it was reversed before, by {event_id}", 409, event_id=event_id
    )


def reverse_usage(
    account: Account | None, command: ReverseUsage, context: Context, meta: Meta
) -> Iterator[Event]:
    """Undo a usage record: the same slices come back, to closed lots as their close went."""
    account = known(account, command.account)
    line = command.line
    legs = [_back(account, line, part, context) for part in reversed(line.slices)]
    yield UsageReversed(
        **facts(meta, context, account.account, command.reason), usage_id=line.usage_id,
        legs=legs, unfunded_bytes=line.unfunded_bytes, sponsored=line.sponsored,
    )  # fmt: skip
    yield from settle_closed(account, context, meta)


def _back(account: Account, line: UsageLine, part: Slice, context: Context) -> Leg:
    lot = account.lots.get(part.lot_id)
    if lot is not None:
        return leg_of(lot, part.bytes)
    return leg_of(_remembered(account, line, part.lot_id, context), part.bytes)


def _remembered(account: Account, line: UsageLine, lot_id: str, context: Context) -> Lot:
    """Return a closed lot's terms: what could carry is remembered for a while."""
    source = Source(type="reversal", id=line.usage_id)
    window = account.remembered(lot_id)
    if window is not None:
        return reopened(window, 0, context.now, source)
    month_end = context.calendar.month_end(context.calendar.month_of(line.occurred_at))
    return Lot(
        lot_id=lot_id, kind=lot_id.partition(":")[0], granted=0, remaining=0,
        valid_from=line.occurred_at, expires_at=min(month_end, account.closed_until),
        granted_at=context.now, source=source,
    )  # fmt: skip
