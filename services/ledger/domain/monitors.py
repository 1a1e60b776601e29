"""Thresholds of balances: which were crossed, and when the clock alone may cross the next one."""

from collections.abc import Iterator
from typing import Any

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.closing import Ending, ending
from services.ledger.domain.commands import SetThresholds
from services.ledger.domain.context import Context, Meta, facts, known, not_closed
from services.ledger.domain.lots import Lot
from shared.contracts.ledger import (
    FUNDS_LEFT,
    FUNDS_LEFT_PERCENT,
    Event,
    Slice,
    ThresholdCrossed,
    Thresholds,
    ThresholdsSet,
)

DAY_MS = 86_400_000


def set_thresholds(
    account: Account | None, command: SetThresholds, context: Context, meta: Meta
) -> Iterator[Event]:
    """Give an account thresholds of its own, or the rules' ones again."""
    account = not_closed(known(account, command.account))
    given = command.thresholds
    own = None if given is None else msgspec.convert(given, Thresholds, from_attributes=True)
    if account.thresholds != own:
        yield ThresholdsSet(**facts(meta, context, account.account, command.reason), thresholds=own)


def watched(account: Account, context: Context) -> list[Ending]:
    """Return what is about to end of an account whose subscriber is to be told of it.

    `crossings` and `due_at` both take it, so that an account is divided only once for the two.
    """
    if account.kind != "subscriber" or account.status == "closed":
        return []
    return ending(account, context)


def crossings(
    account: Account, parts: list[Ending], context: Context, meta: Meta
) -> list[ThresholdCrossed]:
    """Return the edges that were crossed and are not told yet; each is to be taken at once.

    `parts` is what `watched` returns of the account as it is.
    """
    if account.status == "closed":
        return []
    if account.kind != "subscriber":
        return _funds_left(account, context, meta) if account.topped_up else []
    found = used_up(account, context, meta)
    if not parts:
        return found
    for days in (account.thresholds or context.rules.thresholds).expiring_days:
        limit = context.now + days * DAY_MS
        due = [part for part in _untold(account, parts, days) if part.lot.expires_at <= limit]
        if due:
            found.append(_expiring(account, due, days, context, meta))
    return _once(found)


def _once(found: list[ThresholdCrossed]) -> list[ThresholdCrossed]:
    """Return each edge once: thresholds that were stored earlier may name one twice."""
    return list({each.name: each for each in found}.values()) if len(found) > 1 else found


def used_up(account: Account, context: Context, meta: Meta) -> list[ThresholdCrossed]:
    """Return the edges that less data crosses: all that usage can do. Asked at each usage event."""
    wanted = account.thresholds or context.rules.thresholds
    found: list[ThresholdCrossed] = []
    lot = account.lots.get(context.plan_lot)
    if lot is not None:
        for percent in wanted.plan_used_percent:
            level = lot.granted * (100 - percent) // 100
            if lot.remaining <= level:
                told = account.crossed.get(f"plan_used:{percent}")
                if told is None or told.lot_id != lot.lot_id:
                    found.append(_plan_used(account, lot, percent, level, context, meta))
    low = wanted.low_balance_bytes
    if low is not None and not _has_more(account, low, context.now):
        name = f"low_balance:{low}"
        if name not in account.crossed:
            left = account.available(context.now)
            found.append(
                ThresholdCrossed(
                    **_facts(account, context, meta), threshold="low_balance", value=low,
                    level_bytes=low, available_bytes=left,
                )
            )  # fmt: skip
    return _once(found)


def _has_more(account: Account, low: int, now: int) -> bool:
    """Say whether more than so many bytes can be used now; it looks at as few lots as it can."""
    left = 0
    for lot in account.lots.values():
        if lot.valid_from <= now < lot.expires_at:
            left += lot.remaining - lot.held
            if left > low:
                return True
    return False


def _funds_left(account: Account, context: Context, meta: Meta) -> list[ThresholdCrossed]:
    """Return the edges of what a partner or campaign has left; one that ends gives it back."""
    if account.escrow is not None and account.escrow.ending:
        return []
    left, found = account.funds(context.now), []
    for percent in FUNDS_LEFT_PERCENT:
        # The most that is less than so many percent.
        level = (account.topped_up * percent - 1) // 100
        if left <= level and f"{FUNDS_LEFT}:{percent}" not in account.crossed:
            found.append(
                ThresholdCrossed(
                    **_facts(account, context, meta), threshold=FUNDS_LEFT, value=percent,
                    level_bytes=level, available_bytes=left,
                )
            )  # fmt: skip
    return found


def due_at(account: Account, parts: list[Ending], context: Context) -> int | None:
    """Return when the clock alone has something to do here, None where never.

    That is a hold's end, bytes about to expire, a quota's answer that it has deferred. `parts` is
    what `watched` returns of the account as it is.
    """
    if account.quota is not None:
        return account.quota.due_at
    best = account.next_deadline()
    wanted: Thresholds = account.thresholds or context.rules.thresholds
    for days in wanted.expiring_days if parts else ():
        for part in _untold(account, parts, days):
            at = part.lot.expires_at - days * DAY_MS
            if at > context.now and (best is None or at < best):
                best = at
    return best


def _untold(account: Account, parts: list[Ending], days: int) -> list[Ending]:
    """Return those of the parts whose end is not told for so many days yet."""
    told = account.crossed.get(f"expiring:{days}")
    if told is None:
        return parts
    return [part for part in parts if part.lot.expires_at > told.until or part.since > told.at]


def _facts(account: Account, context: Context, meta: Meta) -> dict[str, Any]:
    """Return every event's fields: the ledger tells it, on the request that caused it."""
    return {**facts(meta, context, account.account), "actor": "ledger"}


def _plan_used(
    account: Account, lot: Lot, percent: int, level: int, context: Context, meta: Meta
) -> ThresholdCrossed:
    return ThresholdCrossed(
        **_facts(account, context, meta), threshold="plan_used", value=percent,
        level_bytes=level, lot_id=lot.lot_id, available_bytes=account.available(context.now),
    )  # fmt: skip


def _expiring(
    account: Account, due: list[Ending], days: int, context: Context, meta: Meta
) -> ThresholdCrossed:
    return ThresholdCrossed(
        **_facts(account, context, meta), threshold="expiring", value=days,
        available_bytes=account.available(context.now),
        slices=[Slice(part.lot.lot_id, part.bytes) for part in due],
        expires_at=max(part.lot.expires_at for part in due),
    )  # fmt: skip
