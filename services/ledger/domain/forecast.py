"""What is to come for an account if nothing is used, given or bought meanwhile.

It is the real close and the real grant, decided ahead on a copy: by today's rules and those that
are put already for then. Holds run out at their deadlines; what one still pins when its lot is
closed is in no sum of what expires.

Earlier months that are still open close first: what they bring is told apart, and what expires of
it then stands with the lots that there are.
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
    month = context.month
    ahead = Context(context.calendar.month_end(month), context.calendar, context.rulebook)
    held = {lot.lot_id: lot.held for lot in account.lots.values()}
    for event in time_out_due(account, ahead, AHEAD):
        evolve(account, event)
    earlier = _close(account, add_months(month, -1), ahead)
    by_end = _by_end(account, held, context.now, within_ms)
    lapsed = {lot.lot_id for lot in account.lots.values() if lot.expires_at <= context.now}
    closed = _close(account, month, ahead)
    expired = _expired(closed)
    next_cycle = {
        **_moved(closed),
        "lapsed_bytes": sum(part for lot_id, part in expired.items() if lot_id in lapsed),
    }
    ending_later = {part.lot.lot_id: part.bytes for part in ending(account, ahead)}
    return {
        "earlier_months": _by_month(earlier),
        "expiring": _expiring(by_end, ending_later | expired),
        "next_cycle": _next_cycle(account, month, ahead) | next_cycle,
    }


def _by_end(
    account: Account, held: dict[str, int], now: int, within_ms: int | None
) -> dict[int, list[dict[str, Any]]]:
    """Return the lots that still run, as rows by their end; `held` is what is held of them now."""
    until = now + within_ms if within_ms is not None else None
    by_end: dict[int, list[dict[str, Any]]] = {}
    for lot in sorted(account.lots.values(), key=lambda one: (one.expires_at, one.lot_id)):
        if lot.remaining and now < lot.expires_at and (until is None or lot.expires_at <= until):
            by_end.setdefault(lot.expires_at, []).append(
                {
                    "lot_id": lot.lot_id, "kind": lot.kind, "bytes": lot.remaining,
                    "held_bytes": held.get(lot.lot_id, 0), "carries": lot.carries,
                }
            )  # fmt: skip
    return by_end


def _close(account: Account, month: str, ahead: Context) -> list[Event]:
    """Let a month close, and all before it; returns the events, none where they are closed."""
    closed = []
    command = CloseMonth(key="forecast", account=account.account, month=month)
    for event in close_month(account, command, ahead, AHEAD):
        evolve(account, event)
        closed.append(event)
    return closed


def _expired(closed: list[Event]) -> dict[str, int]:
    """Return what a close lets expire, by lot."""
    return {
        part.lot_id: part.bytes
        for event in closed
        if isinstance(event, DataExpired)
        for part in event.slices
    }


def _moved(closed: list[Event]) -> dict[str, int]:
    """Return how much a close carries over and lets expire."""
    carried = [event.lot.granted for event in closed if isinstance(event, DataCarriedOver)]
    return {
        "carried_bytes": sum(carried),
        "expired_bytes": sum(_expired(closed).values()),
    }


def _by_month(closed: list[Event]) -> list[dict[str, Any]]:
    """Return what the closes of several months move, the first month first."""
    by_month: dict[str, list[Event]] = {}
    for event in closed:
        by_month.setdefault(event.month, []).append(event)  # type: ignore[attr-defined]
    return [{"month": month, **_moved(events)} for month, events in by_month.items()]


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


def _next_cycle(account: Account, month: str, ahead: Context) -> dict[str, Any]:
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
        "available_bytes": sum(
            lot.free for lot in account.lots.values() if lot.expires_at > starts_at
        ),
    }
