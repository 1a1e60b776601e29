"""What events change in each view, pure: changes of many events merge into one.

A view's rows are sums, so the changes of any number of events can be merged and written at once;
the whole log merged is the whole view, which is how a view is verified.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from shared.calendar import Calendar
from shared.contracts import ledger
from shared.contracts.envelope import Envelope, log_of
from shared.ids import account_kind

SUMS = (
    "earned", "received", "returned", "spent", "unfunded", "transferred", "expired", "adjusted",
)  # fmt: skip
EARNED, RECEIVED, RETURNED, SPENT, UNFUNDED, TRANSFERRED, EXPIRED = range(7)

# A row of a view: its table, its key, its values by column.
Rows = dict[tuple[str, tuple[Any, ...]], tuple[Any, ...]]


class Change(Protocol):
    """The merged changes of some events to one view."""

    def add(self, event: Envelope) -> None:
        """Merge an event's change. Raises KeyError, TypeError for an event it can't read."""
        ...

    def size(self) -> int:
        """Return about how many rows are touched."""
        ...

    def rows(self) -> Rows:
        """Return the rows of a view that began empty."""
        ...


class LotChange(msgspec.Struct):
    """What happened to a lot: its terms if it was created, and the bytes it gained or lost."""

    terms: dict[str, Any] | None = None
    granted: int = 0
    remaining: int = 0


class BalancesChange:
    """Changes to `balances` and `lots`."""

    def __init__(self) -> None:
        self.opened: dict[str, tuple[str, str, str | None, int]] = {}
        self.sums: dict[str, list[int]] = {}
        self.lots: dict[tuple[str, str], LotChange] = {}

    def add(self, event: Envelope) -> None:
        """Merge an event's change."""
        apply = _BALANCES.get(event.type)
        if apply is not None:
            apply(self, event, event.data)

    def size(self) -> int:
        """Return about how many rows are touched."""
        return len(self.lots) + len(self.sums)

    def sum_of(self, account: str) -> list[int]:
        """Return the account's changed sums, to be added to."""
        sums = self.sums.get(account)
        if sums is None:
            sums = self.sums[account] = [0] * len(SUMS)
        return sums

    def lot(self, account: str, lot_id: str) -> LotChange:
        """Return a lot's change, to be added to."""
        key = (account, lot_id)
        change = self.lots.get(key)
        if change is None:
            change = self.lots[key] = LotChange()
        return change

    def create(self, account: str, terms: dict[str, Any]) -> int:
        """Create a lot or let it grow; return the bytes."""
        change = self.lot(account, terms["lot_id"])
        change.terms = change.terms or terms
        change.granted += terms["granted"]
        change.remaining += terms["granted"]
        return int(terms["granted"])

    def take(self, account: str, slices: list[dict[str, Any]]) -> int:
        """Take slices out of lots; return the bytes."""
        taken = 0
        for part in slices:
            self.lot(account, part["lot_id"]).remaining -= part["bytes"]
            taken += part["bytes"]
        return taken

    def rows(self) -> Rows:
        """Return the rows of a view that began empty."""
        rows: Rows = {}
        for account, opened in self.opened.items():
            rows["balances", (account,)] = (*opened, *self.sums.get(account, [0] * len(SUMS)))
        for key, lot in self.lots.items():
            terms = lot.terms or {}
            rows["lots", key] = (
                terms.get("kind"), lot.granted, lot.remaining, terms.get("valid_from"),
                terms.get("expires_at"),
            )  # fmt: skip
        return rows


def _opened(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
    account = event.subject
    opened = (log_of(event.source), data["kind"], data.get("plan"), data["recorded_at"])
    change.opened[account] = opened
    change.sum_of(account)


def _created(index: int) -> Callable[[BalancesChange, Envelope, dict[str, Any]], None]:
    def apply(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
        sums = change.sum_of(event.subject)
        for terms in data["lots"]:
            sums[index] += change.create(event.subject, terms)

    return apply


def _spent(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
    account = event.subject
    sums, lots = change.sum_of(account), change.lots
    for line in data["lines"]:
        for part in line.get("slices", ()):
            key = (account, part["lot_id"])
            lot = lots.get(key)
            if lot is None:
                lot = lots[key] = LotChange()
            lot.remaining -= part["bytes"]
            sums[SPENT] += part["bytes"]
        sums[UNFUNDED] += line.get("unfunded_bytes", 0)


def _transferred(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
    change.sum_of(event.subject)[TRANSFERRED] += change.take(event.subject, data["legs"])


def _returned(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
    sums = change.sum_of(event.subject)
    for leg in data["legs"]:
        change.lot(event.subject, leg["lot_id"]).remaining += leg["bytes"]
        sums[RETURNED] += leg["bytes"]


def _carried(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
    change.take(event.subject, data["slices"])
    change.create(event.subject, data["lot"])


def _expired(change: BalancesChange, event: Envelope, data: dict[str, Any]) -> None:
    change.sum_of(event.subject)[EXPIRED] += change.take(event.subject, data["slices"])


_BALANCES: dict[str, Callable[[BalancesChange, Envelope, dict[str, Any]], None]] = {
    ledger.AccountOpened.TYPE: _opened,
    ledger.DataEarned.TYPE: _created(EARNED),
    ledger.DataReceived.TYPE: _created(RECEIVED),
    ledger.DataSpent.TYPE: _spent,
    ledger.DataTransferred.TYPE: _transferred,
    ledger.TransferReturned.TYPE: _returned,
    ledger.DataCarriedOver.TYPE: _carried,
    ledger.DataExpired.TYPE: _expired,
}


class PartnerSpendChange:
    """Changes to `partner_spend`: what was delivered, on the bank day of its arrival."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.spend: dict[tuple[str, str, str, str], list[int]] = {}
        self.subscribers: set[tuple[str, str, str, str, str]] = set()

    def add(self, event: Envelope) -> None:
        """Merge an event's change."""
        data = event.data
        if event.type != ledger.DataReceived.TYPE or data["purpose"] != "award":
            return
        key = (
            data["partner"],
            data["campaign"],
            self._calendar.day_of(data["recorded_at"]),
            "award",
        )
        row = self.spend.setdefault(key, [0, 0])
        row[0] += sum(lot["granted"] for lot in data["lots"])
        row[1] += 1
        self.subscribers.add((*key, event.subject))

    def size(self) -> int:
        """Return about how many rows are touched."""
        return len(self.spend) + len(self.subscribers)

    def rows(self) -> Rows:
        """Return the rows of a view that began empty."""
        rows: Rows = {("partner_spend", key): tuple(row) for key, row in self.spend.items()}
        rows.update((("partner_spend_subscribers", key), ()) for key in self.subscribers)
        return rows


class TrialBalanceChange:
    """Changes to `trial_balance`: sums per log and kind of account, and what is in transit."""

    COLUMNS = ("accounts", *SUMS, "remaining", "held")

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], list[int]] = {}
        self.transit: dict[str, int] = {}

    def add(self, event: Envelope) -> None:
        """Merge an event's change."""
        apply = _TRIAL.get(event.type)
        if apply is not None:
            key = (log_of(event.source), account_kind(event.subject) or "unknown")
            row = self.sums.get(key)
            if row is None:
                row = self.sums[key] = [0] * len(self.COLUMNS)
            apply(self, row, event.data)

    def size(self) -> int:
        """Return about how many rows are touched."""
        return len(self.sums) + len(self.transit)

    def moved(self, transfer_id: str, amount: int) -> None:
        """Add to what a transfer has on its way."""
        self.transit[transfer_id] = self.transit.get(transfer_id, 0) + amount

    def rows(self) -> Rows:
        """Return the rows of a view that began empty."""
        rows: Rows = {("trial_balance", key): tuple(row) for key, row in self.sums.items()}
        for transfer_id, amount in self.transit.items():
            if amount:
                rows["transfers_in_transit", (transfer_id,)] = (amount,)
        return rows


REMAINING = len(SUMS) + 1


def _trial(row: list[int], index: int, amount: int, remaining: int) -> None:
    row[1 + index] += amount
    row[REMAINING] += remaining


def _trial_opened(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    del change, data
    row[0] += 1


def _trial_earned(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    del change
    amount = sum(lot["granted"] for lot in data["lots"])
    _trial(row, EARNED, amount, amount)


def _trial_received(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    amount = sum(lot["granted"] for lot in data["lots"])
    _trial(row, RECEIVED, amount, amount)
    change.moved(data["transfer_id"], -amount)


def _trial_spent(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    del change
    unfunded = sum(line.get("unfunded_bytes", 0) for line in data["lines"])
    amount = sum(line["bytes"] for line in data["lines"]) - unfunded
    _trial(row, SPENT, amount, -amount)
    row[1 + UNFUNDED] += unfunded


def _trial_transferred(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    amount = sum(leg["bytes"] for leg in data["legs"])
    _trial(row, TRANSFERRED, amount, -amount)
    change.moved(data["transfer_id"], amount)


def _trial_returned(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    amount = sum(leg["bytes"] for leg in data["legs"])
    _trial(row, RETURNED, amount, amount)
    change.moved(data["transfer_id"], -amount)


def _trial_carried(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    del change
    row[REMAINING] += data["lot"]["granted"] - sum(part["bytes"] for part in data["slices"])


def _trial_expired(change: TrialBalanceChange, row: list[int], data: dict[str, Any]) -> None:
    del change
    amount = sum(part["bytes"] for part in data["slices"])
    _trial(row, EXPIRED, amount, -amount)


_TRIAL: dict[str, Callable[[TrialBalanceChange, list[int], dict[str, Any]], None]] = {
    ledger.AccountOpened.TYPE: _trial_opened,
    ledger.DataEarned.TYPE: _trial_earned,
    ledger.DataReceived.TYPE: _trial_received,
    ledger.DataSpent.TYPE: _trial_spent,
    ledger.DataTransferred.TYPE: _trial_transferred,
    ledger.TransferReturned.TYPE: _trial_returned,
    ledger.DataCarriedOver.TYPE: _trial_carried,
    ledger.DataExpired.TYPE: _trial_expired,
}
