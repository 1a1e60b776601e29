"""Closing a month: what is left of its lots is carried over or expires, once."""

from collections.abc import Iterator
from typing import Any

import msgspec

from services.ledger.domain.account import Account, Lot
from services.ledger.domain.commands import CloseMonth
from services.ledger.domain.context import Context, Meta, facts, known
from services.ledger.domain.rules import CarryOver
from shared.calendar import add_months, months_from
from shared.contracts.ledger import (
    DataCarriedOver,
    DataExpired,
    Event,
    Leg,
    LotTerms,
    MonthClosed,
    Slice,
    Source,
)
from shared.errors import RefusedError


def close_month(
    account: Account | None, command: CloseMonth, context: Context, meta: Meta
) -> Iterator[Event]:
    """Close a month and every earlier one that is still open; the plan lots are granted before."""
    account = known(account, command.account)
    if command.month >= context.month:
        raise RefusedError(
            "month_running",
            f"{command.month} has not ended",
            latest=add_months(context.month, -1),
        )
    common = facts(meta, context, account.account, command.reason)
    for month in months_from(first_open_month(account, context), command.month):
        yield from _close_one(account, month, context, common)


def first_open_month(account: Account, context: Context) -> str:
    """Return the first month that this account still has open."""
    if account.closed_through is not None:
        return add_months(account.closed_through, 1)
    opened_in = context.calendar.month_of(account.opened_at)
    return min(account.active_from or opened_in, opened_in)


def _close_one(
    account: Account, month: str, context: Context, common: dict[str, Any]
) -> Iterator[Event]:
    ends_at = context.calendar.month_end(month)
    lots = [lot for lot in account.lots.values() if lot.expires_at <= ends_at]
    events = _settle(account, month, lots, context, common, carry=True)
    yield from events or [MonthClosed(**common, month=month, month_ends_at=ends_at)]


def settle_closed(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Treat what came back to lots after their close as the closes since then would have."""
    if account.closed_through is None:
        return
    common = facts(meta, context, account.account)
    by_month: dict[str, list[Lot]] = {}
    closed_at = context.calendar.month_end(account.closed_through)
    for lot in account.lots.values():
        if lot.expires_at <= closed_at and lot.free > 0:
            by_month.setdefault(context.calendar.month_of(lot.expires_at - 1), []).append(lot)
    for month, lots in sorted(by_month.items()):
        still_open = add_months(month, 1) > account.closed_through
        yield from _settle(account, month, lots, context, common, carry=still_open)


def _settle(
    account: Account, month: str, lots: list[Lot], context: Context, common: dict[str, Any], *,
    carry: bool,
) -> list[Event]:  # fmt: skip
    ends_at = context.calendar.month_end(month)
    rules = context.rulebook.at(ends_at - 1)
    plan = rules.plans.get(account.plan or "")
    rule = plan.carry_over if plan and carry else CarryOver()
    common = {**common, "rule_version": rules.version}
    events: list[Event] = []
    expired: list[Slice] = []
    for scope in _scopes(lots):
        due = [lot for lot in lots if lot.scope == scope and lot.free > 0]
        terms = _carry_lot(month, scope, context)
        before = account.lots[terms.lot_id].granted if terms.lot_id in account.lots else 0
        carried, lost = _split(rules.in_order(due), rule, before)
        expired += lost
        if carried:
            moved = sum(part.bytes for part in carried)
            lot = msgspec.structs.replace(terms, granted=moved)
            events.append(
                DataCarriedOver(
                    **common, month=month, month_ends_at=ends_at, slices=carried, lot=lot
                )
            )
    if expired:
        events.append(DataExpired(**common, month=month, month_ends_at=ends_at, slices=expired))
    return events


def after_close(account: Account, leg: Leg, context: Context) -> list[Leg]:
    """Return a held part that departs after its lot's end, on the terms that the close gives it.

    What would be carried over travels as the carry lot would; the rest as it is: it arrives
    expired. A part whose lot has not ended stays as it is.
    """
    if leg.expires_at > context.now:
        return [leg]
    month = context.calendar.month_of(leg.expires_at - 1)
    if account.closed_through is not None and add_months(month, 1) <= account.closed_through:
        return [leg]
    terms = _carry_lot(month, leg.scope, context)
    rules = context.rulebook.at(context.calendar.month_end(month) - 1)
    plan = rules.plans.get(account.plan or "")
    before = account.lots[terms.lot_id].granted if terms.lot_id in account.lots else 0
    allowed = _allowed(leg.bytes if leg.carries else 0, plan.carry_over if plan else None, before)
    carried = msgspec.structs.replace(
        leg, bytes=allowed, kind=terms.kind, valid_from=terms.valid_from,
        expires_at=terms.expires_at, carries=False, source=terms.source,
    )  # fmt: skip
    rest = msgspec.structs.replace(leg, bytes=leg.bytes - allowed)
    return [part for part in (carried, rest) if part.bytes]


def _allowed(eligible: int, rule: CarryOver | None, carried_before: int) -> int:
    """Return how many of the eligible bytes a rule carries over."""
    if rule is None or rule.mode != "auto_extend":
        return 0
    allowed = eligible * rule.share_percent // 100
    if rule.cap_bytes is not None:
        allowed = min(allowed, max(rule.cap_bytes - carried_before, 0))
    return allowed


def _split(
    lots: list[Lot], rule: CarryOver, carried_before: int
) -> tuple[list[Slice], list[Slice]]:
    """Divide what lots hold freely into what the rule carries over and what it lets expire."""
    allowed = _allowed(sum(lot.free for lot in lots if lot.carries), rule, carried_before)
    carried, expired = [], []
    for lot in lots:
        part = min(lot.free, allowed) if lot.carries else 0
        allowed -= part
        if part:
            carried.append(Slice(lot.lot_id, part))
        if lot.free > part:
            expired.append(Slice(lot.lot_id, lot.free - part))
    return carried, expired


def _scopes(lots: list[Lot]) -> list[str | list[str]]:
    scopes: list[str | list[str]] = []
    for lot in lots:
        if lot.scope not in scopes:
            scopes.append(lot.scope)
    return scopes


def _carry_lot(month: str, scope: str | list[str], context: Context) -> LotTerms:
    after = add_months(month, 1)
    name = scope if isinstance(scope, str) else "+".join(scope)
    return LotTerms(
        lot_id=f"carry:{month}:{name}",
        kind="carry",
        granted=0,
        valid_from=context.calendar.month_start(after),
        expires_at=context.calendar.month_end(after),
        scope=scope,
        giftable=True,
        source=Source(type="carry_over", id=month),
    )
