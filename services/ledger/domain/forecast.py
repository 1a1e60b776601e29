"""What is to come for an account if nothing is used, given or bought meanwhile.

It is the real close and the real grant, decided ahead on a copy: by today's rules and those that
are put already for then. Holds run out at their deadlines.
"""

from typing import Any

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.closing import close_month
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
    expiring = _expiring(account, context.now, within_ms)
    return {"expiring": expiring, "next_cycle": _next_cycle(account, context)}


def _expiring(account: Account, now: int, within_ms: int | None) -> list[dict[str, Any]]:
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
    return [
        {"at": end, "bytes": sum(lot["bytes"] for lot in lots), "lots": lots}
        for end, lots in by_end.items()
    ]


def _next_cycle(account: Account, context: Context) -> dict[str, Any]:
    calendar, month = context.calendar, context.month
    starts_at, following = calendar.month_end(month), add_months(month, 1)
    ahead = Context(starts_at, calendar, context.rulebook)
    events: list[Event] = []
    for event in time_out_due(account, ahead, AHEAD):
        evolve(account, event)
    close = CloseMonth(key="forecast", account=account.account, month=month)
    for event in close_month(account, close, ahead, AHEAD):
        evolve(account, event)
        events.append(event)
    plan = account.plan_in(following)
    before = account.earned
    for event in grant_due(account, following, ahead, AHEAD):
        evolve(account, event)
    rules = context.rulebook.at(starts_at - 1).plans.get(account.plan_in(month) or "")
    return {
        "month": following,
        "starts_at": starts_at,
        "plan": plan if account.status != "closed" else None,
        "plan_bytes": account.earned - before,
        "carry_over": msgspec.to_builtins(rules.carry_over) if rules else None,
        "carried_bytes": sum(one.lot.granted for one in events if isinstance(one, DataCarriedOver)),
        "expired_bytes": sum(
            part.bytes for one in events if isinstance(one, DataExpired) for part in one.slices
        ),
        "available_bytes": sum(
            lot.free for lot in account.lots.values() if lot.expires_at > starts_at
        ),
    }
