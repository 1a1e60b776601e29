"""What is to come for an account if nothing is used, given or bought meanwhile.

It is the real close and the real grant, decided ahead on a copy: by today's rules and those that
are put already for then. Holds run out at their deadlines; what one still pins when its lot is
closed is in no sum of what expires.
"""

from typing import Any

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.closing import close_month, ending
from services.ledger.domain.commands import CloseMonth
from services.ledger.domain.context import Context, Meta
from services.ledger.domain.evolving import evolve
from services.ledger.domain.holds import time_out_due
from services.ledger.domain.opening import grant_due
from shared.calendar import add_months
from shared.contracts.ledger import DataCarriedOver, DataExpired, Event

AHEAD = Meta(actor="ledger")


def forecast(account: Account, context: Context, within_ms: int | None = None) -> dict[str, Any]:
    """Tell what expires when (until `within_ms` from now), and what the next cycle brings.

    The account is changed: hand in a copy. Instants are milliseconds.
    """
    for event in grant_due(account, context.month, context, AHEAD):
        evolve(account, event)
    by_end = _by_end(account, context.now, within_ms)
    month = context.month
    ahead = Context(context.calendar.month_end(month), context.calendar, context.rulebook)
    closed = _close(account, month, ahead)
    expiring = _expiring(by_end, _expired(account, closed, ahead))
    return {"expiring": expiring, "next_cycle": _next_cycle(account, month, ahead, closed)}


def _by_end(account: Account, now: int, within_ms: int | None) -> dict[int, list[dict[str, Any]]]:
    """Return the lots that still run, as rows by their end."""
    until = now + within_ms if within_ms is not None else None
    by_end: dict[int, list[dict[str, Any]]] = {}
    for lot in sorted(account.lots.values(), key=lambda one: (one.expires_at, one.lot_id)):
        if lot.remaining and now < lot.expires_at and (until is None or lot.expires_at <= until):
            by_end.setdefault(lot.expires_at, []).append(
                {
                    "lot_id": lot.lot_id, "kind": lot.kind, "bytes": lot.remaining,
                    "held_bytes": lot.held, "carries": lot.carries,
                }
            )  # fmt: skip
    return by_end


def _close(account: Account, month: str, ahead: Context) -> list[Event]:
    """Let the holds run out and the month close; returns the events of the close."""
    for event in time_out_due(account, ahead, AHEAD):
        evolve(account, event)
    closed = []
    command = CloseMonth(key="forecast", account=account.account, month=month)
    for event in close_month(account, command, ahead, AHEAD):
        evolve(account, event)
        closed.append(event)
    return closed


def _expired(account: Account, closed: list[Event], ahead: Context) -> dict[str, int]:
    """Return what expires of each lot: in the close, or later because no close carries it over."""
    expired = {part.lot.lot_id: part.bytes for part in ending(account, ahead)}
    for event in closed:
        if isinstance(event, DataExpired):
            expired.update((part.lot_id, part.bytes) for part in event.slices)
    return expired


def _expiring(
    by_end: dict[int, list[dict[str, Any]]], expired: dict[str, int]
) -> list[dict[str, Any]]:
    """Return each end, with what of its lots then expires: the rest is carried over."""
    return [
        {
            "at": end,
            "bytes": sum(lot["bytes"] for lot in lots),
            "expired_bytes": sum(expired.get(lot["lot_id"], 0) for lot in lots),
            "lots": [lot | {"expired_bytes": expired.get(lot["lot_id"], 0)} for lot in lots],
        }
        for end, lots in by_end.items()
    ]


def _next_cycle(
    account: Account, month: str, ahead: Context, closed: list[Event]
) -> dict[str, Any]:
    """Grant the next month's plan lot at its first instant, and tell what there is then."""
    starts_at, following = ahead.now, add_months(month, 1)
    plan = account.plan_in(following)
    before = account.earned
    for event in grant_due(account, following, ahead, AHEAD):
        evolve(account, event)
    closing = ahead.rulebook.plan(account.plan_in(month), starts_at - 1)
    return {
        "month": following,
        "starts_at": starts_at,
        "plan": plan if account.status != "closed" else None,
        "plan_bytes": account.earned - before,
        "carry_over": msgspec.to_builtins(closing.carry_over) if closing else None,
        "carried_bytes": sum(one.lot.granted for one in closed if isinstance(one, DataCarriedOver)),
        "expired_bytes": sum(
            part.bytes for one in closed if isinstance(one, DataExpired) for part in one.slices
        ),
        "available_bytes": sum(
            lot.free for lot in account.lots.values() if lot.expires_at > starts_at
        ),
    }
