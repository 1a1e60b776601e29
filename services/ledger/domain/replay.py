"""A month lived through once more under other rules: what its close would have carried over.

Plan lots get what the rules' plans grant, usage is charged in the rules' order, and the month is
closed by the rules. What people did stays: gifts, holds, adjustments take as many bytes as they
took, out of the same lots where those still have them, else in the order of use, and never more
than there is. An account that was closed keeps nothing, however much more it had.

What was bought, sent and received stays on the terms it had, so other rules change nothing of a
partner or campaign. A quota pays for the same records in the rules' order, out of what was valid
when they were charged; what a reversal gave back to it stays.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.closing import close_month, expire_all
from services.ledger.domain.commands import CloseMonth, Usage
from services.ledger.domain.context import Context, Meta
from services.ledger.domain.evolving import evolve
from services.ledger.domain.lots import leg_of
from services.ledger.domain.opening import plan_lot
from services.ledger.domain.quotas import take
from services.ledger.domain.rules import RuleBook, Rules
from services.ledger.domain.usage import charge, lots_for
from shared.calendar import Calendar
from shared.contracts.ledger import (
    DataAdjusted,
    DataCarriedOver,
    DataEarned,
    DataExpired,
    DataHeld,
    DataSpent,
    DataTransferred,
    Event,
    HoldReleased,
    Leg,
    LotTerms,
    MonthClosed,
    Slice,
    TransferReturned,
    UsageLine,
    UsageReversed,
)

NOBODY = Meta(actor="ledger")
CLOSES = (DataCarriedOver, DataExpired, MonthClosed)


class Closing(msgspec.Struct):
    """What a month's close did, or would have done; bytes, of the carried ones by (kind, end)."""

    carried: int = 0
    expired: int = 0
    terms: dict[tuple[str, int], int] = {}

    def add(self, event: Event) -> None:
        """Count an event of the close."""
        if isinstance(event, DataCarriedOver):
            lot = event.lot
            self.carried += lot.granted
            terms = (lot.kind, lot.expires_at)
            self.terms[terms] = self.terms.get(terms, 0) + lot.granted
        elif isinstance(event, DataExpired):
            self.expired += sum(part.bytes for part in event.slices)


def on_other_terms(before: Closing, after: Closing) -> int:
    """Return how many of the bytes that are carried over both times have another kind or end."""
    same = sum(min(part, after.terms.get(terms, 0)) for terms, part in before.terms.items())
    return min(before.carried, after.carried) - same


class Replay:
    """A month under other rules; `book` is what was in force (it knows plans that are gone).

    `blocking`: the offers' versions, as (campaign, version), that let nobody use what they do not
    pay of a record.
    """

    def __init__(
        self, month: str, rules: Rules, book: RuleBook, calendar: Calendar,
        blocking: AbstractSet[tuple[str, int]] = frozenset(),
    ) -> None:  # fmt: skip
        self.month = month
        newest = msgspec.structs.replace(rules, version=book.latest().version + 1)
        self._book = book.with_versions([(0, newest)])
        self._calendar = calendar
        self._blocking = blocking
        self._starts_at = calendar.month_start(month)
        # What each record and transfer of the month took this time, on the terms of its lots: a
        # close may have forgotten those when it comes back.
        self._taken: dict[str, list[Leg]] = {}

    def of(self, events: Iterable[Event]) -> tuple[Closing, Closing] | None:
        """Return what an account's close did, and what it would have done.

        None where the month is not closed for this account.
        """
        self._taken.clear()
        account: Account | None = None
        before, after = Closing(), Closing()
        closed_at: int | None = None
        for event in events:
            if isinstance(event, CLOSES) and event.month == self.month and account is not None:
                if closed_at is None:
                    closed_at = event.recorded_at
                    self._close(account, closed_at, after)
                if event.recorded_at != closed_at:
                    break
                before.add(event)
            elif closed_at is not None:
                break
            elif event.recorded_at < self._starts_at:
                account = evolve(account, event)
            else:
                account = self._again(account, event)
        return None if closed_at is None else (before, after)

    def _close(self, account: Account, at: int, after: Closing) -> None:
        context = Context(at, self._calendar, self._book)
        command = CloseMonth(key="replay", account=account.account, month=self.month)
        for event in close_month(account, command, context, NOBODY):
            if event.month == self.month:  # type: ignore[attr-defined]
                after.add(event)

    def _again(self, account: Account | None, event: Event) -> Account:
        """Let an event of the month happen once more; a closed account keeps nothing of it."""
        if account is None:
            return evolve(account, event)
        context = Context(event.recorded_at, self._calendar, self._book)
        account = self._happen(account, event, context)
        if account.status == "closed":
            for expired in expire_all(account, context, NOBODY):
                account = evolve(account, expired)
        return account

    def _happen(self, account: Account, event: Event, context: Context) -> Account:
        if isinstance(event, CLOSES):
            event = _closed_again(account, event)
        elif isinstance(event, DataEarned):
            lots = [_granted(account, terms, context) for terms in event.lots]
            event = msgspec.structs.replace(event, lots=lots)
        elif isinstance(event, DataSpent):
            return self._spend_again(account, event, context)
        elif isinstance(event, DataHeld | DataAdjusted):
            fitting = _fitting(account, event.slices, context)
            event = msgspec.structs.replace(event, slices=fitting)
        elif isinstance(event, DataTransferred):
            legs = _legs_of(account, _sent_again(account, event, context))
            self._taken[event.transfer_id] = legs
            event = msgspec.structs.replace(event, legs=legs)
        elif isinstance(event, UsageReversed | TransferReturned):
            event = self._back_again(event)
        elif isinstance(event, HoldReleased):
            if event.hold_id not in account.holds:
                return account
            parts = account.holds[event.hold_id].parts.items()
            event = msgspec.structs.replace(event, slices=[Slice(*part) for part in parts])
        return evolve(account, event)

    def _spend_again(self, account: Account, event: DataSpent, context: Context) -> Account:
        for line in event.lines:
            if account.kind == "quota":
                charged = _paid_again(account, line, context)
            else:
                charged = self._charged_again(account, line, context)
                self._taken[line.usage_id] = _legs_of(account, charged.slices)
            account = evolve(account, msgspec.structs.replace(event, lines=[charged]))
        return account

    def _charged_again(self, account: Account, line: UsageLine, context: Context) -> UsageLine:
        usage = Usage(
            usage_id=line.usage_id, account=account.account, bytes=line.bytes,
            occurred_at=line.occurred_at, rating_group=line.rating_group,
        )  # fmt: skip
        paid = line.sponsored
        if paid is not None and (paid.campaign, paid.offer_version) in self._blocking:
            lots = []
        else:
            order = context.rules.in_order(list(account.lots.values()))
            lots = lots_for(order, usage, context)
        return charge(lots, usage, late=line.late, sponsored=paid)

    def _back_again(
        self, event: UsageReversed | TransferReturned
    ) -> UsageReversed | TransferReturned:
        """Let come back what was taken this time; what an earlier month took, as it was."""
        name = event.usage_id if isinstance(event, UsageReversed) else event.transfer_id
        return msgspec.structs.replace(event, legs=self._taken.get(name, event.legs))


def _legs_of(account: Account, slices: Iterable[Slice]) -> list[Leg]:
    return [leg_of(account.lots[part.lot_id], part.bytes) for part in slices]


def _paid_again(quota: Account, line: UsageLine, context: Context) -> UsageLine:
    """Return what a quota pays of a record this time, as it was charged at `context.now`."""
    slices = [Slice(leg.lot_id, leg.bytes) for leg in take(quota, line.bytes, context)]
    unfunded = line.bytes - sum(part.bytes for part in slices)
    return msgspec.structs.replace(line, slices=slices, unfunded_bytes=unfunded)


def _granted(account: Account, terms: LotTerms, context: Context) -> LotTerms:
    """Return a plan lot as the rules grant it, any other as it is."""
    if terms.kind != "plan":
        return terms
    month = context.calendar.month_of(terms.valid_from)
    return plan_lot(account.plan_in(month) or "", month, context)


def _closed_again(account: Account, event: Event) -> Event:
    """Let an earlier month's close move, or let expire, what its lots still have."""
    if isinstance(event, DataExpired):
        return msgspec.structs.replace(event, slices=_clipped(account, event.slices))
    if not isinstance(event, DataCarriedOver):
        return event
    slices = _clipped(account, event.slices)
    lot = msgspec.structs.replace(event.lot, granted=sum(part.bytes for part in slices))
    return msgspec.structs.replace(event, slices=slices, lot=lot)


def _sent_again(account: Account, event: DataTransferred, context: Context) -> list[Slice]:
    """Return as much as before, out of the hold's parts or of lots that have it."""
    wanted = [Slice(leg.lot_id, leg.bytes) for leg in event.legs]
    if event.hold_id is None:
        return _fitting(account, wanted, context)
    if event.hold_id not in account.holds:
        return []
    slices, left = [], sum(part.bytes for part in wanted)
    for lot_id, pinned in account.holds[event.hold_id].parts.items():
        if taken := min(pinned, left):
            slices.append(Slice(lot_id, taken))
            left -= taken
    return slices


def _clipped(account: Account, slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices as far as their lots have them."""
    free = {lot_id: lot.free for lot_id, lot in account.lots.items()}
    parts = [Slice(part.lot_id, min(part.bytes, free.get(part.lot_id, 0))) for part in slices]
    return [part for part in parts if part.bytes > 0]


def _fitting(account: Account, slices: Sequence[Slice], context: Context) -> list[Slice]:
    """Return as many bytes, from the same lots where they have them, else in the order of use."""
    parts = {part.lot_id: part.bytes for part in _clipped(account, slices)}
    left = sum(part.bytes for part in slices) - sum(parts.values())
    for lot in context.rules.in_order(list(account.lots.values())):
        taken = min(lot.free - parts.get(lot.lot_id, 0), left)
        if taken > 0:
            parts[lot.lot_id] = parts.get(lot.lot_id, 0) + taken
            left -= taken
    return [Slice(lot_id, part) for lot_id, part in parts.items()]
