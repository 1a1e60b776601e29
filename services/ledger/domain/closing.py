"""Closing a month: what is left of its lots is carried over or expires, once."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.commands import Close, CloseMonth
from services.ledger.domain.context import Context, Meta, facts, known
from services.ledger.domain.lots import Lot
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
    account: Account | None, command: CloseMonth | Close, context: Context, meta: Meta
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
    events = _settle(account, month, lots, context, common)
    yield from events or [MonthClosed(**common, month=month, month_ends_at=ends_at)]


def expire_all(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Let everything expire that an account has free (it is closed, or about to be)."""
    slices = [Slice(lot.lot_id, lot.free) for lot in account.lots.values() if lot.free]
    if slices:
        yield DataExpired(**facts(meta, context, account.account), slices=slices)


def settle_closed(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Treat what came back to lots after their close as the closes since then would have.

    On a closed account it expires at once.
    """
    if account.status == "closed":
        yield from expire_all(account, context, meta)
        return
    common = facts(meta, context, account.account)
    by_month: dict[str, list[Lot]] = {}
    for lot in account.lots.values():
        if lot.expires_at <= account.closed_until and lot.free > 0:
            by_month.setdefault(context.calendar.month_of(lot.expires_at - 1), []).append(lot)
    for month, lots in sorted(by_month.items()):
        yield from _settle(account, month, lots, context, common)


NOTHING = CarryOver()


class Ending(NamedTuple):
    """Bytes of a lot that end with it, as they have since an instant (milliseconds)."""

    lot: Lot
    bytes: int
    since: int


def ending(account: Account, context: Context) -> list[Ending]:
    """Return what of the lots that still run no close would carry over, as things stand.

    What may carry over shares its close's share and cap: when more of it comes, more of it ends.
    """
    found: list[Ending] = []
    limited: dict[str, list[Lot]] = {}
    for lot in account.lots.values():
        if lot.remaining <= lot.held:
            continue
        month = context.calendar.month_of(lot.expires_at - 1) if lot.carries else ""
        rule = context.carry_over(account.plan_in(month), month) if lot.carries else NOTHING
        if not rule.may_carry(lot):
            found.append(Ending(lot, lot.free, lot.granted_at))
        elif rule.is_limited:
            limited.setdefault(month, []).append(lot)
    for month, lots in limited.items():
        for scope in _scopes(lots):
            due = [lot for lot in lots if lot.scope == scope]
            _, expired = Carrying(account, month, scope, context).split(due)
            since = max(lot.granted_at for lot in due)
            found += [Ending(account.lots[part.lot_id], part.bytes, since) for part in expired]
    return [part for part in found if part.lot.expires_at > context.now]


def _settle(
    account: Account, month: str, lots: list[Lot], context: Context, common: dict[str, Any]
) -> list[Event]:
    ends_at = context.calendar.month_end(month)
    common = {**common, "rule_version": context.rulebook.at(ends_at - 1).version}
    events: list[Event] = []
    expired: list[Slice] = []
    for scope in _scopes(lots):
        due = [lot for lot in lots if lot.scope == scope and lot.free > 0]
        rule = Carrying(account, month, scope, context)
        carried, lost = rule.split(due)
        expired += lost
        if carried:
            moved = sum(part.bytes for part in carried)
            lot = msgspec.structs.replace(rule.terms, granted=moved)
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
    rule = Carrying(account, context.calendar.month_of(leg.expires_at - 1), leg.scope, context)
    allowed = rule.allowed(leg.bytes if rule.may_carry(leg) else 0)
    carried = msgspec.structs.replace(
        leg, bytes=allowed, kind=rule.terms.kind, valid_from=rule.terms.valid_from,
        expires_at=rule.terms.expires_at, carries=False, source=rule.terms.source,
    )  # fmt: skip
    rest = msgspec.structs.replace(leg, bytes=leg.bytes - allowed)
    return [part for part in (carried, rest) if part.bytes]


class Carrying:
    """The carry-over of one account's month and scope, by the rules at the month's last instant."""

    def __init__(
        self, account: Account, month: str, scope: str | list[str], context: Context
    ) -> None:
        calendar = context.calendar
        last = calendar.month_end(month) - 1
        self._rules = context.rulebook.at(last)
        self._rule = context.carry_over(account.plan_in(month), month)
        voucher = self._rule.mode == "convert_to_voucher"
        kind = "voucher" if voucher else "carry"
        name = scope if isinstance(scope, str) else "+".join(scope)
        self.terms = LotTerms(
            lot_id=f"{kind}:{month}:{name}",
            kind=kind,
            granted=0,
            valid_from=calendar.month_end(month),
            expires_at=calendar.month_end(add_months(month, self._rule.months)),
            scope=scope,
            giftable=True,
            source=Source(type="carry_over", id=month),
        )
        # Nothing comes to life in a lot that would have been closed by now.
        self._over = self.terms.expires_at <= account.closed_until
        self._carried = self._outstanding(account)

    def _outstanding(self, account: Account) -> int:
        """Return what this close has carried, and what earlier ones have left."""
        carried = account.carried_away.get(f"{self.terms.kind}:{self.terms.source.id}", 0)
        for lot in account.lots.values():
            if lot.lot_id == self.terms.lot_id:
                carried += lot.granted
            elif lot.kind == self.terms.kind and lot.expires_at > self.terms.valid_from:
                carried += lot.remaining
        return carried

    def may_carry(self, lot: Lot | Leg) -> bool:
        """Say whether a lot may carry over at all."""
        return self._rule.may_carry(lot)

    def allowed(self, eligible: int) -> int:
        """Return how many of the eligible bytes are carried over."""
        if self._over:
            return 0
        allowed = eligible * self._rule.share_percent // 100
        if self._rule.cap_bytes is not None:
            allowed = min(allowed, max(self._rule.cap_bytes - self._carried, 0))
        return allowed

    def split(self, lots: list[Lot]) -> tuple[list[Slice], list[Slice]]:
        """Divide what lots hold freely into what is carried over and what expires."""
        allowed = self.allowed(sum(lot.free for lot in lots if self.may_carry(lot)))
        carried, expired = [], []
        for lot in self._rules.in_order(lots):
            part = min(lot.free, allowed) if self.may_carry(lot) else 0
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
