"""What events change in each view: pure sums without a database.

A delta holds changes by key. Adding events to one delta, or writing several deltas one after the
other, comes to the same, however the events are cut into batches; a delta of a whole log is the
view's content. Amounts are bytes, instants milliseconds since 1970-01-01Z.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from services.gateway.integration import Spent, ViewEvent
from shared.calendar import Calendar
from shared.contracts.ledger import (
    WITHOUT_ACCOUNT,
    AccountClosed,
    AccountOpened,
    AccountResumed,
    AccountSuspended,
    CampaignEnding,
    CampaignExhausted,
    CampaignReplenished,
    DataAdjusted,
    DataCarriedOver,
    DataClawedBack,
    DataEarned,
    DataExpired,
    DataHeld,
    DataReceived,
    DataTransferred,
    Event,
    HoldReleased,
    LotTerms,
    MonthClosed,
    PlanChanged,
    QuotaMarked,
    QuotasRecalled,
    RecallAnswered,
    RecallDeferred,
    RecallNoted,
    RefillRequested,
    RequestNoted,
    SponsorshipCapped,
    ThresholdCrossed,
    ThresholdsSet,
    TransferReturned,
    UsageReversed,
)
from shared.ids import account_kind

Key = tuple[Any, ...]
Rows = dict[str, dict[Key, tuple[Any, ...]]]
LotKey = tuple[str, str]


class Delta(Protocol):
    """Changes of one view that are not written yet."""

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event of this log changes."""
        ...

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        ...

    def rows(self) -> Rows:
        """Return the rows of each table of a view that holds this delta and nothing else."""
        ...


class UnknownLotError(ValueError):
    """An event takes from or returns to a lot that was never created."""


def lot_changes(event: ViewEvent) -> list[tuple[str, int]]:
    """Return by how much an event changes what is left of lots; new lots are not among them."""
    match event:
        case Spent():
            return [(part.lot_id, -part.bytes) for line in event.lines for part in line.slices]
        case DataTransferred():
            return [(leg.lot_id, -leg.bytes) for leg in event.legs]
        case TransferReturned() | UsageReversed() | DataClawedBack():
            return [(leg.lot_id, leg.bytes) for leg in event.legs]
        case DataCarriedOver() | DataExpired() | DataAdjusted():
            return [(part.lot_id, -part.bytes) for part in event.slices]
    return []


def held_changes(event: ViewEvent) -> list[tuple[str, int]]:
    """Return by how much an event changes what is held in lots."""
    match event:
        case DataHeld():
            return [(part.lot_id, part.bytes) for part in event.slices]
        case HoldReleased():
            return [(part.lot_id, -part.bytes) for part in event.slices]
        case DataTransferred() if event.hold_id is not None:
            return [(leg.lot_id, -leg.bytes) for leg in event.legs]
    return []


def new_lots(event: ViewEvent) -> list[LotTerms]:
    """Return the lots that an event creates; a carry lot may grow by a later event."""
    match event:
        case DataEarned() | DataReceived() | DataAdjusted():
            return event.lots
        case DataCarriedOver():
            return [event.lot]
    return []


def sponsored_bytes(event: UsageReversed) -> int:
    """Return what campaigns had paid of a subscriber's record that was undone."""
    paid = event.sponsored
    return 0 if paid is None or event.subscriber is not None else paid.bytes


def sponsored_changes(event: ViewEvent) -> dict[str, tuple[int, int]]:
    """Return by campaign how many more bytes, of how many more records, it paid for an account."""
    if isinstance(event, UsageReversed):
        amount = sponsored_bytes(event)
        return {event.sponsored.campaign: (-amount, -1)} if amount and event.sponsored else {}
    paid: dict[str, tuple[int, int]] = {}
    if isinstance(event, Spent):
        for line in event.lines:
            if (by := line.sponsored) is not None:
                before, records = paid.get(by.campaign, (0, 0))
                paid[by.campaign] = before + by.bytes, records + 1
    return paid


class LotDelta(msgspec.Struct):
    """Change of one lot; `terms` are set where it was created meanwhile."""

    granted: int = 0
    remaining: int = 0
    held: int = 0
    granted_at: int = 0
    terms: LotTerms | None = None


STATUS_EVENTS = (AccountSuspended, AccountResumed, AccountClosed, PlanChanged)


def status_of(event: ViewEvent) -> dict[str, str]:
    """Return what an event makes of an account's status and plan."""
    match event:
        case AccountSuspended():
            return {"status": "suspended"}
        case AccountResumed():
            return {"status": "active"}
        case AccountClosed():
            return {"status": "closed"}
        case PlanChanged():
            return {"next_plan": event.plan, "next_plan_from": event.from_month}
    return {}


class BalancesDelta:
    """Changes of the view `balances`: accounts, their lots, and what campaigns paid for them."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        # By account, bank month of `recorded_at` and campaign: bytes and records.
        self.sponsored: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
        self.accounts: dict[str, AccountOpened] = {}
        self.changes: dict[str, dict[str, str]] = {}
        self.lots: dict[LotKey, LotDelta] = defaultdict(LotDelta)

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event changes."""
        del log
        account = event.account
        if isinstance(event, AccountOpened):
            self.accounts[account] = event
        for terms in new_lots(event):
            lot = self.lots[account, terms.lot_id]
            lot.granted += terms.granted
            lot.remaining += terms.granted
            if lot.terms is None:
                lot.terms = terms
                lot.granted_at = event.recorded_at
        for lot_id, change in lot_changes(event):
            self.lots[account, lot_id].remaining += change
        for lot_id, change in held_changes(event):
            self.lots[account, lot_id].held += change
        if isinstance(event, STATUS_EVENTS):
            self.changes[account] = {**self.changes.get(account, {}), **status_of(event)}
        for campaign, (amount, records) in sponsored_changes(event).items():
            month = self._calendar.month_of(event.recorded_at)
            paid = self.sponsored[account, month, campaign]
            paid[0] += amount
            paid[1] += records

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.accounts) + len(self.lots) + len(self.sponsored)

    def rows(self) -> Rows:
        """Return accounts, lots and what was sponsored. Raises UnknownLotError."""
        accounts = {
            (name,): (
                one.kind,
                one.plan,
                one.partner,
                one.active_from,
                one.recorded_at,
                self.changes.get(name, {}).get("status", "active"),
                self.changes.get(name, {}).get("next_plan"),
                self.changes.get(name, {}).get("next_plan_from"),
            )
            for name, one in self.accounts.items()
        }
        return {
            "balances": accounts,
            "lots": {key: lot_row(key, lot) for key, lot in self.lots.items()},
            "sponsored": {key: tuple(paid) for key, paid in self.sponsored.items()},
        }


def lot_row(key: LotKey, lot: LotDelta) -> tuple[Any, ...]:
    """Return a lot's row behind its key. Raises UnknownLotError."""
    terms = lot.terms
    if terms is None:
        raise UnknownLotError(f"lot {key[1]} of {key[0]} was never created")
    source, hours = msgspec.to_builtins(terms.source), msgspec.to_builtins(terms.hours)
    return (
        terms.kind, lot.granted, lot.remaining, lot.held, terms.valid_from, terms.expires_at,
        lot.granted_at, terms.scope, terms.giftable, terms.carries, source, terms.parent_lot,
        hours,
    )  # fmt: skip


class Sums(msgspec.Struct):
    """The terms of the trial balance that only ever grow."""

    accounts: int = 0
    earned: int = 0
    received: int = 0
    returned: int = 0
    spent: int = 0
    unfunded: int = 0
    transferred: int = 0
    expired: int = 0
    adjusted: int = 0
    sponsored: int = 0


SUM_TERMS = Sums.__struct_fields__


class TrialDelta:
    """Changes of the view `trial_balance`: sums by log and kind of account, lots by expiry."""

    def __init__(self) -> None:
        self.sums: dict[Key, Sums] = defaultdict(Sums)
        self.lots: dict[LotKey, tuple[str, str, int]] = {}
        self.remaining: dict[LotKey, int] = defaultdict(int)
        self.held: dict[LotKey, int] = defaultdict(int)
        self.transit: dict[str, int] = defaultdict(int)

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event changes."""
        if isinstance(event, WITHOUT_ACCOUNT):
            return
        account = event.account
        kind = account_kind(account) or "unknown"
        created = new_lots(event)
        for terms in created:
            self.lots.setdefault((account, terms.lot_id), (log, kind, terms.expires_at))
            self.remaining[account, terms.lot_id] += terms.granted
        changed = lot_changes(event)
        for lot_id, change in changed:
            self.remaining[account, lot_id] += change
        for lot_id, change in held_changes(event):
            self.held[account, lot_id] += change
        created_bytes = sum(terms.granted for terms in created)
        moved_bytes = abs(sum(change for _, change in changed))
        _COUNT[type(event)](self, self.sums[log, kind], event, created_bytes, moved_bytes)

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.sums) + len(self.lots) + len(self.remaining) + len(self.transit)

    def rows(self) -> Rows:
        """Return sums, lots, what is left by expiry, and transfers under way.

        Raises UnknownLotError.
        """
        left: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
        for column, changes in enumerate((self.remaining, self.held)):
            for key, change in changes.items():
                if key not in self.lots:
                    raise UnknownLotError(f"lot {key[1]} of {key[0]} was never created")
                left[self.lots[key]][column] += change
        sums = self.sums.items()
        return {
            "trial_balance": {key: msgspec.structs.astuple(each) for key, each in sums},
            "trial_lots": dict(self.lots),
            "trial_remaining": {key: tuple(each) for key, each in left.items() if any(each)},
            "transfers_in_transit": {(id_,): (b,) for id_, b in self.transit.items() if b},
        }


Count = Callable[[TrialDelta, Sums, Any, int, int], None]


def _opened(_: TrialDelta, sums: Sums, _event: AccountOpened, _created: int, _moved: int) -> None:
    sums.accounts += 1


def _earned(_: TrialDelta, sums: Sums, _event: DataEarned, created: int, _moved: int) -> None:
    sums.earned += created


def _spent(_: TrialDelta, sums: Sums, event: Spent, _created: int, moved: int) -> None:
    sums.spent += moved
    for line in event.lines:
        sums.unfunded += line.unfunded_bytes
        if line.sponsored is not None:
            sums.sponsored += line.sponsored.bytes


def _transferred(
    delta: TrialDelta, sums: Sums, event: DataTransferred, _created: int, moved: int
) -> None:
    sums.transferred += moved
    delta.transit[event.transfer_id] += moved


def _received(
    delta: TrialDelta, sums: Sums, event: DataReceived, created: int, _moved: int
) -> None:
    sums.received += created
    delta.transit[event.transfer_id] -= created


def _returned(
    delta: TrialDelta, sums: Sums, event: TransferReturned, _created: int, moved: int
) -> None:
    sums.returned += moved
    delta.transit[event.transfer_id] -= moved


def _clawed_back(
    delta: TrialDelta, sums: Sums, event: DataClawedBack, _created: int, moved: int
) -> None:
    sums.received += moved
    delta.transit[event.transfer_id] -= moved


def _carried(
    _: TrialDelta, _sums: Sums, _event: DataCarriedOver, _created: int, _moved: int
) -> None:
    """Bytes moved from lot to lot; no sum changes."""


def _expired(_: TrialDelta, sums: Sums, _event: DataExpired, _created: int, moved: int) -> None:
    sums.expired += moved


def _reversed(_: TrialDelta, sums: Sums, event: UsageReversed, _created: int, moved: int) -> None:
    sums.spent -= moved
    sums.unfunded -= event.unfunded_bytes
    sums.sponsored -= sponsored_bytes(event)


def _adjusted(_: TrialDelta, sums: Sums, _event: DataAdjusted, created: int, moved: int) -> None:
    sums.adjusted += moved - created


def _no_sum(_: TrialDelta, _sums: Sums, _event: Event, _created: int, _moved: int) -> None:
    """Change no sum: a hold, its release, an account's status."""


def _closed(_: TrialDelta, _sums: Sums, _event: MonthClosed, _created: int, _moved: int) -> None:
    """Nothing was left in that month; no sum changes."""


_COUNT: dict[type[ViewEvent], Count] = {
    AccountOpened: _opened, DataEarned: _earned, Spent: _spent, DataTransferred: _transferred,
    DataReceived: _received, TransferReturned: _returned, DataClawedBack: _clawed_back,
    DataCarriedOver: _carried,
    DataExpired: _expired, MonthClosed: _closed, UsageReversed: _reversed,
    DataAdjusted: _adjusted, DataHeld: _no_sum, HoldReleased: _no_sum, PlanChanged: _no_sum,
    ThresholdsSet: _no_sum, ThresholdCrossed: _no_sum,
    AccountSuspended: _no_sum, AccountResumed: _no_sum, AccountClosed: _no_sum,
    RefillRequested: _no_sum, RequestNoted: _no_sum, QuotasRecalled: _no_sum,
    RecallDeferred: _no_sum, RecallAnswered: _no_sum, RecallNoted: _no_sum,
    CampaignExhausted: _no_sum,
    CampaignReplenished: _no_sum, CampaignEnding: _no_sum, QuotaMarked: _no_sum,
    SponsorshipCapped: _no_sum,
}  # fmt: skip
