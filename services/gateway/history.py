"""The view `history`: each event of an account as one entry, with what it changed in which lots.

An entry's number is the event's version in its account's stream, so `account:entry` is the event
id that outcomes name. Usage is one entry per event, whatever the number of its lines.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, ClassVar

import msgspec
from psycopg import Connection
from psycopg.rows import tuple_row

from services.gateway.integration import CONTRACTS, Spent, ViewEvent
from services.gateway.projections import (
    Delta,
    Key,
    Rows,
    held_changes,
    lot_changes,
    new_lots,
    sponsored_changes,
)
from services.gateway.views import FETCH_ROWS, AnyCursor, View
from shared.contracts.ledger import (
    AccountOpened,
    CampaignExhausted,
    DataCarriedOver,
    DataClawedBack,
    DataExpired,
    DataHeld,
    DataReceived,
    DataTransferred,
    HoldReleased,
    MonthClosed,
    PlanChanged,
    SponsorshipCapped,
    ThresholdCrossed,
    ThresholdsSet,
    TransferReturned,
    UsageReversed,
)
from shared.pgarrays import int8s, texts

# They are on streams of their own and change nothing of an account.
WITHOUT_ACCOUNT = (
    "arrival_refused", "hold_refused", "transfer_refused", "rules_published", "offer_published",
)  # fmt: skip
KIND_OF: dict[type[ViewEvent], str] = {
    contract: kind.removeprefix("data_")
    for name, contract in CONTRACTS.items()
    if (kind := name.split(".")[2]) not in WITHOUT_ACCOUNT
}
KINDS = tuple(KIND_OF.values())

encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Entry(msgspec.Struct, array_like=True, gc=False):
    """One event of an account: what it changed. `number` and `balance` count from a delta's begin.

    `lots` and `facts` are JSON; the facts are what only some kinds have.
    """

    number: int
    at: int
    kind: str
    bytes_in: int
    bytes_out: int
    balance: int
    lots: Any
    facts: Any
    actor: str
    reason: str | None


def facts_of(event: ViewEvent) -> dict[str, Any]:
    """Return what only events of this kind tell."""
    facts = _FACTS.get(type(event))
    return {} if facts is None else facts(event)


def _transfer(
    event: DataTransferred | DataReceived | TransferReturned | DataClawedBack,
) -> dict[str, Any]:
    return {"transfer_id": event.transfer_id, "purpose": event.purpose}


def _departed(event: DataTransferred) -> dict[str, Any]:
    held = {} if event.hold_id is None else {"hold_id": event.hold_id}
    fee = sum(leg.bytes for leg in event.legs if leg.to is not None)
    paid = {"fee_bytes": fee} if fee else {}
    undone = {} if event.undoes is None else _undone(event)
    return {"counterparty": event.to, **_transfer(event), **held, **paid, **undone}


def _undone(event: DataTransferred | DataClawedBack) -> dict[str, Any]:
    return {"undoes": event.undoes, "shortfall_bytes": event.shortfall_bytes}


def _spent(event: Spent) -> dict[str, Any]:
    unfunded = sum(line.unfunded_bytes for line in event.lines)
    return {"lines": len(event.lines), "unfunded_bytes": unfunded, **_sponsored(event)}


def _sponsored(event: Spent | UsageReversed) -> dict[str, Any]:
    """Return what campaigns paid beside the account's own lots, and which did."""
    paid = sponsored_changes(event)
    if not paid:
        return {}
    return {
        "sponsored_bytes": sum(amount for amount, _ in paid.values()),
        "sponsors": {campaign: amount for campaign, (amount, _) in sorted(paid.items())},
    }


def _crossed(event: ThresholdCrossed) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "threshold": event.threshold, "value": event.value,
        "available_bytes": event.available_bytes,
    }  # fmt: skip
    if event.lot_id is not None:
        facts["lot_id"] = event.lot_id
    if event.slices:
        expiring = sum(part.bytes for part in event.slices)
        facts.update(expiring_bytes=expiring, expires_at=event.expires_at)
    return facts


def _month(event: DataCarriedOver | MonthClosed | DataExpired) -> dict[str, Any]:
    return {} if event.month is None else {"month": event.month}


_FACTS: dict[type[ViewEvent], Callable[[Any], dict[str, Any]]] = {
    AccountOpened: lambda event: {} if event.plan is None else {"plan": event.plan},
    PlanChanged: lambda event: {"plan": event.plan, "from_month": event.from_month},
    Spent: _spent,
    UsageReversed: lambda event: {
        "usage_id": event.usage_id, "unfunded_bytes": -event.unfunded_bytes, **_sponsored(event),
    },
    DataHeld: lambda event: {
        "hold_id": event.hold_id, "deadline": event.deadline, "purpose": event.purpose,
    },
    HoldReleased: lambda event: {"hold_id": event.hold_id, "cause": event.cause},
    DataTransferred: _departed,
    DataReceived: lambda event: {"counterparty": event.sender, **_transfer(event)},
    TransferReturned: lambda event: {
        "counterparty": event.to, **_transfer(event), "code": event.code,
    },
    DataClawedBack: lambda event: {
        "counterparty": event.sender, **_transfer(event), **_undone(event),
    },
    ThresholdsSet: lambda event: {"thresholds": msgspec.to_builtins(event.thresholds)},
    ThresholdCrossed: _crossed,
    SponsorshipCapped: lambda event: {
        "campaign": event.campaign, "cap": event.cap, "period": event.period,
    },
    CampaignExhausted: lambda event: {} if event.until is None else {"until": event.until},
    DataCarriedOver: _month,
    DataExpired: _month,
    MonthClosed: _month,
}  # fmt: skip


def changes_of(event: ViewEvent) -> tuple[int, int, list[tuple[str, int, int]]]:
    """Return the bytes that came and went, and by lot the changes of what is left and held."""
    left: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    came = went = 0
    created = [(terms.lot_id, terms.granted) for terms in new_lots(event)]
    for lot_id, change in created + lot_changes(event):
        left[lot_id] += change
        if change > 0:
            came += change
        else:
            went -= change
    for lot_id, change in held_changes(event):
        held[lot_id] += change
    names = {**left, **held}
    return came, went, [(name, left.get(name, 0), held.get(name, 0)) for name in names]


class HistoryDelta:
    """New entries by account, in the order of their events."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Entry]] = []
        self.ends: dict[str, tuple[int, int]] = {}

    def add(self, log: str, event: ViewEvent) -> None:
        """Add an event's entry."""
        del log
        if type(event) not in KIND_OF:
            return
        account = event.account
        count, balance = self.ends.get(account, (0, 0))
        came, went, lots = changes_of(event)
        self.ends[account] = count, balance = count + 1, balance + came - went
        entry = Entry(
            count, event.recorded_at, KIND_OF[type(event)], came, went, balance, lots,
            facts_of(event), event.actor, event.reason,
        )  # fmt: skip
        self.take(account, entry)

    def take(self, account: str, entry: Entry) -> None:
        """Keep an entry."""
        self.entries.append((account, entry))

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.entries) + len(self.ends)

    def rows(self) -> Rows:
        """Return the rows of a view that holds this and nothing else, as `HistoryView.rows`."""
        check = HistoryCheck()
        for account, entry in self.entries:
            check.take(account, entry)
        check.ends = self.ends
        return check.rows()


class HistoryCheck(HistoryDelta):
    """The fold of a whole log that only keeps a digest of each account's entries."""

    def __init__(self) -> None:
        super().__init__()
        self.digests: dict[str, bytes] = {}

    def take(self, account: str, entry: Entry) -> None:
        """Add an entry to its account's digest."""
        self.digests[account] = chained(self.digests.get(account, b""), entry)

    def rows(self) -> Rows:
        """Return each account's digest, and its last entry's number and balance."""
        return {
            "history": {(account,): (digest.hex(),) for account, digest in self.digests.items()},
            "history_ends": {(account,): end for account, end in self.ends.items()},
        }


def chained(before: bytes, entry: Entry) -> bytes:
    """Return the digest of a chain of entries that this one ends."""
    return hashlib.blake2b(before + encode_sorted(entry), digest_size=16).digest()


INSERT_ENTRIES = """
INSERT INTO {history} (account, entry, at, kind, bytes_in, bytes_out, balance, lots, facts, actor,
    reason)
SELECT account, coalesce(old.entries, 0) + number, at, kind, bytes_in::numeric, bytes_out::numeric,
    coalesce(old.balance, 0) + change::numeric, lots::jsonb, facts::jsonb, actor,
    nullif(reason, '')
FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[],
    %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
    AS new (account, number, at, kind, bytes_in, bytes_out, change, lots, facts, actor, reason)
    LEFT JOIN {history_ends} AS old USING (account)
"""
UPSERT_ENDS = """
INSERT INTO {history_ends} AS old (account, entries, balance)
SELECT account, entries, balance::numeric FROM unnest(%b::text[], %b::bigint[], %b::text[])
    AS new (account, entries, balance)
ON CONFLICT (account) DO UPDATE
SET entries = old.entries + excluded.entries, balance = old.balance + excluded.balance
"""
SELECT_ENTRIES = """
SELECT account, entry, at, kind, bytes_in, bytes_out, balance, lots, facts, actor, reason
FROM {history} ORDER BY account, entry
"""


class HistoryView(View):
    """What happened to each account, event by event."""

    name = "history"
    # A check compares entries by their digest: they are as many as the log's events.
    tables: ClassVar = {
        "history": (("account",), ("digest",)),
        "history_ends": (("account",), ("entries", "balance")),
    }

    def new_delta(self) -> HistoryDelta:
        """Return a delta without entries."""
        return HistoryDelta()

    def new_check(self) -> Delta:
        """Return a fold that keeps digests instead of entries."""
        return HistoryCheck()

    def write(self, cursor: AnyCursor, delta: HistoryDelta) -> None:
        """Add the entries behind those that are there."""
        if not delta.entries:
            return
        entries = [entry for _, entry in delta.entries]
        self._run(
            cursor, INSERT_ENTRIES,
            texts([account for account, _ in delta.entries]),
            int8s([entry.number for entry in entries]),
            int8s([entry.at for entry in entries]),
            texts([entry.kind for entry in entries]),
            texts([str(entry.bytes_in) for entry in entries]),
            texts([str(entry.bytes_out) for entry in entries]),
            texts([str(entry.balance) for entry in entries]),
            texts([msgspec.json.encode(entry.lots).decode() for entry in entries]),
            texts([msgspec.json.encode(entry.facts).decode() for entry in entries]),
            texts([entry.actor for entry in entries]),
            texts([entry.reason or "" for entry in entries]),
        )  # fmt: skip
        counts = [count for count, _ in delta.ends.values()]
        balances = [str(balance) for _, balance in delta.ends.values()]
        self._run(cursor, UPSERT_ENDS, texts(list(delta.ends)), int8s(counts), texts(balances))

    def rows(self, conn: Connection[Any], table: str) -> Iterator[tuple[Key, tuple[Any, ...]]]:
        """Yield accounts with the digest of their entries; or a table's rows."""
        if table != "history":
            yield from super().rows(conn, table)
            return
        with conn.cursor(name="rows_history", row_factory=tuple_row) as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(SELECT_ENTRIES.format(**self._names))
            for account, rows in groupby(cursor, key=lambda row: row[0]):
                digest = b""
                for row in rows:
                    digest = chained(digest, _entry(row))
                yield (account,), (digest.hex(),)


def _entry(row: tuple[Any, ...]) -> Entry:
    _, number, at, kind, came, went, balance, lots, facts, actor, reason = row
    return Entry(number, at, kind, int(came), int(went), int(balance), lots, facts, actor, reason)
