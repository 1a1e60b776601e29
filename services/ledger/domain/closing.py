"""Closing a month: what is left of its lots is carried over or expires, once."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.commands import Close, CloseMonth
from services.ledger.domain.context import Context, Meta, facts, known
from services.ledger.domain.lots import Lot
from services.ledger.domain.rules import WHOLE_PERCENT, CarryOver
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
CARRY_OVER = "carry_over"
# What a close makes; lots of these kinds may have another source, then no close made them.
CARRY_KINDS = ("carry", "voucher")


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
        carrying = Carrying(account, month, context)
        newest: dict[str, int] = {}
        for lot in lots:
            limit = carrying.limit_of(lot)
            newest[limit] = max(newest.get(limit, 0), lot.granted_at)
        for part in carrying.split(lots)[1]:
            lot = account.lots[part.lot_id]
            found.append(Ending(lot, part.bytes, newest[carrying.limit_of(lot)]))
    return [part for part in found if part.lot.expires_at > context.now]


def _settle(
    account: Account, month: str, lots: list[Lot], context: Context, common: dict[str, Any]
) -> list[Event]:
    ends_at = context.calendar.month_end(month)
    common = {**common, "rule_version": context.rulebook.at(ends_at - 1).version}
    due = [lot for lot in lots if lot.free > 0]
    if not due:
        return []
    carried, expired = Carrying(account, month, context).split(due)
    events: list[Event] = [
        DataCarriedOver(
            **common, month=month, month_ends_at=ends_at, slices=slices,
            lot=msgspec.structs.replace(terms, granted=sum(part.bytes for part in slices)),
        )
        for terms, slices in carried
    ]  # fmt: skip
    if expired:
        events.append(DataExpired(**common, month=month, month_ends_at=ends_at, slices=expired))
    return events


def after_close(account: Account, legs: list[Leg], context: Context) -> list[Leg]:
    """Return held parts that depart on the terms that a close gave those whose lot has ended.

    What would be carried over travels as the carry lot would; the rest as it is: it arrives
    expired. A part whose lot has not ended stays as it is.
    """
    closes: dict[str, Carrying] = {}
    after: list[Leg] = []
    for leg in legs:
        if leg.expires_at > context.now:
            after.append(leg)
            continue
        month = context.calendar.month_of(leg.expires_at - 1)
        if month not in closes:
            closes[month] = Carrying(account, month, context)
        after += _divided(leg, closes[month])
    return after


def _divided(leg: Leg, close: "Carrying") -> list[Leg]:
    taken, terms = close.take(leg), close.terms(leg)
    carried = msgspec.structs.replace(
        leg, bytes=taken, kind=terms.kind, valid_from=terms.valid_from,
        expires_at=terms.expires_at, giftable=terms.giftable, carries=False, source=terms.source,
    )  # fmt: skip
    rest = msgspec.structs.replace(leg, bytes=leg.bytes - taken)
    return [part for part in (carried, rest) if part.bytes]


class Carried(NamedTuple):
    """What goes into one carry lot or voucher: its terms, and the slices it is made of."""

    terms: LotTerms
    slices: list[Slice]


class Carrying:
    """The carry-over of one account's month, by the rules at the month's last instant.

    Bytes stay what they are: lots of the same scope, hours and giftability share one carry lot (a
    voucher can always be given). The share is of each carry lot's own bytes; the cap is of all
    that the account carries, in the order of use.
    """

    def __init__(self, account: Account, month: str, context: Context) -> None:
        calendar = context.calendar
        self._month = month
        self._begins = calendar.month_end(month)
        self._rules = context.rulebook.at(self._begins - 1)
        self._rule = context.carry_over(account.plan_in(month), month)
        self._ends = calendar.month_end(add_months(month, self._rule.months))
        self._kind = "voucher" if self._rule.mode == "convert_to_voucher" else "carry"
        self._prefix = f"{self._kind}:{month}:"
        # Nothing comes to life in a lot that would have been closed by now.
        self._share = 0 if self._ends <= account.closed_until else self._rule.share_percent
        self._room: int | None = None
        if self._rule.cap_bytes is not None:
            self._room = max(self._rule.cap_bytes - self._outstanding(account), 0)

    def _outstanding(self, account: Account) -> int:
        """Return what this close has carried, and what earlier ones have left."""
        carried = sum(account.carried_away.get(f"{kind}:{self._month}", 0) for kind in CARRY_KINDS)
        for lot in account.lots.values():
            if lot.source.type != CARRY_OVER or lot.kind not in CARRY_KINDS:
                continue
            if lot.source.id == self._month:
                carried += lot.granted
            elif lot.expires_at > self._begins:
                carried += lot.remaining
        return carried

    def may_carry(self, lot: Lot | Leg) -> bool:
        """Say whether a lot may carry over at all."""
        return self._rule.may_carry(lot)

    def take(self, leg: Leg) -> int:
        """Return how many bytes of a held part are carried over; the cap has less room then."""
        taken = self._allowed(leg.bytes) if self.may_carry(leg) else 0
        if self._room is not None:
            self._room -= taken
        return taken

    def _allowed(self, eligible: int) -> int:
        allowed = eligible * self._share // WHOLE_PERCENT
        return allowed if self._room is None else min(allowed, self._room)

    def limit_of(self, lot: Lot) -> str:
        """Name what limits a lot: its carry lot's share, or the cap that all have in common."""
        return "cap" if self._room is not None else self._lot_id(lot)

    def terms(self, lot: Lot | Leg) -> LotTerms:
        """Return the terms of the carry lot into which a lot's bytes go, without bytes yet."""
        return LotTerms(
            lot_id=self._lot_id(lot), kind=self._kind, granted=0, valid_from=self._begins,
            expires_at=self._ends, scope=lot.scope, hours=lot.hours, giftable=self._giftable(lot),
            source=Source(type=CARRY_OVER, id=self._month),
        )  # fmt: skip

    def _giftable(self, lot: Lot | Leg) -> bool:
        return lot.giftable or self._kind == "voucher"

    def _lot_id(self, lot: Lot | Leg) -> str:
        """Return the id of a carry lot: the same terms give the same one."""
        scope = lot.scope
        if not isinstance(scope, str):
            scope = "+".join(sorted(quote(name, safe="") for name in set(scope)))
        hours = "" if lot.hours is None else f"@{lot.hours.begins}-{lot.hours.ends}"
        kept = "" if self._giftable(lot) else ":not_giftable"
        return f"{self._prefix}{scope}{hours}{kept}"

    def split(self, lots: list[Lot]) -> tuple[list[Carried], list[Slice]]:
        """Divide what lots hold freely into what is carried over and what expires."""
        left: dict[str, int] = {}
        for lot in lots:
            if self.may_carry(lot):
                name = self._lot_id(lot)
                left[name] = left.get(name, 0) + lot.free
        left = {name: self._allowed(eligible) for name, eligible in left.items()}
        room = sum(left.values()) if self._room is None else self._room
        carried: dict[str, Carried] = {}
        expired: list[Slice] = []
        for lot in self._rules.in_order(lots):
            part = 0
            if self.may_carry(lot):
                name = self._lot_id(lot)
                part = min(lot.free, left[name], room)
                left[name] -= part
                room -= part
            if part:
                into = carried.get(name)
                if into is None:
                    into = carried[name] = Carried(self.terms(lot), [])
                into.slices.append(Slice(lot.lot_id, part))
            if lot.free > part:
                expired.append(Slice(lot.lot_id, lot.free - part))
        return list(carried.values()), expired
