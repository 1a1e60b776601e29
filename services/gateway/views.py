"""The views' tables: how a delta is written to them, and how their rows are read for a check.

Writing is a few statements per delta, whatever its size. A view may be built in shadow tables
beside the ones that are read.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec
from psycopg import Connection, Cursor
from psycopg.rows import tuple_row

from services.gateway.projections import (
    SUM_TERMS,
    BalancesDelta,
    Delta,
    Key,
    LotDelta,
    TrialDelta,
    UnknownLotError,
    lot_row,
)
from shared.calendar import Calendar
from shared.pgarrays import int8s, texts

SHADOW = "_shadow"
FETCH_ROWS = 2_000

AnyCursor = Cursor[Any]
Table = tuple[tuple[str, ...], tuple[str, ...]]


class View(ABC):
    """Tables that one projection fills; `tables` gives each one's key and other columns.

    It follows the logs of one `service`.
    """

    name: ClassVar[str]
    service: ClassVar[str] = "ledger"
    tables: ClassVar[dict[str, Table]]

    def __init__(self, calendar: Calendar, *, shadow: bool = False) -> None:
        self.calendar = calendar
        self._names = {table: table + (SHADOW if shadow else "") for table in self.tables}

    @abstractmethod
    def new_delta(self) -> Delta:
        """Return a delta without changes."""

    def new_check(self) -> Delta:
        """Return what a check folds a whole log into; its `rows` are compared with the view's."""
        return self.new_delta()

    def broken_invariant(self, delta: Any) -> tuple[Key, str, Any, Any] | None:
        """Return where a check's fold breaks what must always hold: key, what, expected, found."""
        del delta
        return None

    @abstractmethod
    def write(self, cursor: AnyCursor, delta: Any) -> None:
        """Write a delta inside the caller's transaction. Raises UnknownLotError, psycopg.Error."""

    def clear(self, cursor: AnyCursor) -> None:
        """Remove every row."""
        cursor.execute(f"TRUNCATE {', '.join(self._names.values())}")

    def rows(self, conn: Connection[Any], table: str) -> Iterator[tuple[Key, tuple[Any, ...]]]:
        """Yield a table's rows as key and the rest, inside the caller's transaction."""
        key, rest = self.tables[table]
        columns = ", ".join((*map(_as_text, key), *rest))
        with conn.cursor(name=f"rows_{table}", row_factory=tuple_row) as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(f"SELECT {columns} FROM {self._names[table]}")
            for row in cursor:
                yield row[: len(key)], row[len(key) :]

    def lock_for_reading(self, cursor: AnyCursor) -> None:
        """Keep the tables from being swapped until the transaction ends."""
        cursor.execute(f"LOCK TABLE {', '.join(self._names.values())} IN ACCESS SHARE MODE")

    def _run(self, cursor: AnyCursor, statement: str, *arrays: Any) -> None:
        cursor.execute(statement.format(**self._names), arrays)


def _as_text(column: str) -> str:
    return "day::text" if column == "day" else column


def columns_of(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Turn rows into columns, to be sent as arrays."""
    return [list(column) for column in zip(*rows, strict=True)]


INSERT_BALANCES = """
INSERT INTO {balances} (account, kind, plan, partner, active_from, opened_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (account) DO NOTHING
"""
UPDATE_STATUS = """
UPDATE {balances} AS one SET $ = change.value
FROM unnest(%s::text[], %s::text[]) AS change (account, value) WHERE one.account = change.account
"""
# New lots begin empty: a row that is refused by a check is refused even where it would be merged.
INSERT_LOTS = """
INSERT INTO {lots} (account, lot_id, kind, granted, remaining, held, valid_from, expires_at,
    granted_at, scope, giftable, carries, source, parent_lot, hours)
SELECT account, lot_id, kind, 0, 0, 0, valid_from, expires_at, granted_at, scope::jsonb, giftable,
    carries, source::jsonb, parent_lot, hours::jsonb
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::text[], %s::boolean[], %s::boolean[], %s::text[], %s::text[], %s::text[])
    AS new (account, lot_id, kind, valid_from, expires_at, granted_at, scope, giftable, carries,
        source, parent_lot, hours)
ON CONFLICT (account, lot_id) DO NOTHING
"""
UPDATE_LOTS = """
UPDATE {lots} AS lot
SET granted = lot.granted + change.granted, remaining = lot.remaining + change.remaining,
    held = lot.held + change.held
FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[])
    AS change (account, lot_id, granted, remaining, held)
WHERE lot.account = change.account AND lot.lot_id = change.lot_id
"""


INSERT_SPONSORED = """
INSERT INTO {sponsored} AS old (account, month, campaign, bytes, records)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (account, month, campaign) DO UPDATE
SET bytes = old.bytes + excluded.bytes, records = old.records + excluded.records
"""


class BalancesView(View):
    """What each account has, lot by lot."""

    name = "balances"
    tables: ClassVar = {
        "balances": (("account",), (
            "kind", "plan", "partner", "active_from", "opened_at", "status", "next_plan",
            "next_plan_from",
        )),
        "lots": (
            ("account", "lot_id"),
            (
                "kind", "granted", "remaining", "held", "valid_from", "expires_at", "granted_at",
                "scope", "giftable", "carries", "source", "parent_lot", "hours",
            ),
        ),
        "sponsored": (("account", "month", "campaign"), ("bytes", "records")),
    }  # fmt: skip

    def new_delta(self) -> BalancesDelta:
        """Return a delta without changes."""
        return BalancesDelta(self.calendar)

    def write(self, cursor: AnyCursor, delta: BalancesDelta) -> None:
        """Write accounts, lots and what was sponsored.

        Raises UnknownLotError, CheckViolation for an overdrawn lot.
        """
        if delta.accounts:
            rows = [
                (one.account, one.kind, one.plan, one.partner, one.active_from, one.recorded_at)
                for one in delta.accounts.values()
            ]
            self._run(cursor, INSERT_BALANCES, *columns_of(rows))
        for column in ("status", "next_plan", "next_plan_from"):
            changed = sorted(
                (name, change[column]) for name, change in delta.changes.items() if column in change
            )
            if changed:
                self._run(cursor, UPDATE_STATUS.replace("$", column), *columns_of(changed))
        new = [_lot_terms(key, lot) for key, lot in delta.lots.items() if lot.terms is not None]
        if new:
            self._run(cursor, INSERT_LOTS, *columns_of(new))
        if delta.sponsored:
            paid = [(*key, *each) for key, each in delta.sponsored.items()]
            self._run(cursor, INSERT_SPONSORED, *columns_of(paid))
        if not delta.lots:
            return
        accounts, lot_ids = zip(*delta.lots, strict=True)
        granted = [lot.granted for lot in delta.lots.values()]
        remaining = [lot.remaining for lot in delta.lots.values()]
        held = [lot.held for lot in delta.lots.values()]
        arrays = (
            texts(accounts), texts(lot_ids), int8s(granted), int8s(remaining), int8s(held),
        )  # fmt: skip
        self._run(cursor, UPDATE_LOTS, *arrays)
        if cursor.rowcount != len(delta.lots):
            raise UnknownLotError("an event changes a lot that was never created")


def _lot_terms(key: tuple[str, str], lot: LotDelta) -> tuple[Any, ...]:
    kind, _, _, _, valid_from, expires_at, at, scope, giftable, carries, source, parent, hours = (
        lot_row(key, lot)
    )
    return (
        *key, kind, valid_from, expires_at, at, _json(scope), giftable, carries, _json(source),
        parent, None if hours is None else _json(hours),
    )  # fmt: skip


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_TYPES = ", ".join(["%s::bigint[]"] + ["%s::numeric[]"] * (len(SUM_TERMS) - 1))
INSERT_SUMS = f"""
INSERT INTO {{trial_balance}} AS old (log, account_kind, {", ".join(SUM_TERMS)})
SELECT * FROM unnest(%s::text[], %s::text[], {_TYPES})
ON CONFLICT (log, account_kind) DO UPDATE SET
    {", ".join(f"{term} = old.{term} + excluded.{term}" for term in SUM_TERMS)}
"""
INSERT_TRIAL_LOTS = """
INSERT INTO {trial_lots} (account, lot_id, log, account_kind, expires_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (account, lot_id) DO NOTHING
"""
INSERT_REMAINING = """
WITH moved AS MATERIALIZED (
    SELECT log, account_kind, expires_at, change, held_change
    FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::bigint[])
        AS changes (account, lot_id, change, held_change)
        JOIN {trial_lots} USING (account, lot_id)
), written AS (
    INSERT INTO {trial_remaining} AS old (log, account_kind, expires_at, remaining, held)
    SELECT log, account_kind, expires_at, sum(change), sum(held_change) FROM moved GROUP BY 1, 2, 3
    ON CONFLICT (log, account_kind, expires_at)
    DO UPDATE SET remaining = old.remaining + excluded.remaining, held = old.held + excluded.held
)
SELECT count(*) FROM moved
"""
DELETE_REMAINING = "DELETE FROM {trial_remaining} WHERE remaining = 0 AND held = 0"
INSERT_TRANSIT = """
INSERT INTO {transfers_in_transit} AS old (transfer_id, bytes)
SELECT * FROM unnest(%s::text[], %s::numeric[])
ON CONFLICT (transfer_id) DO UPDATE SET bytes = old.bytes + excluded.bytes
"""
DELETE_TRANSIT = "DELETE FROM {transfers_in_transit} WHERE bytes = 0"


class TrialBalanceView(View):
    """What the whole bank earned and where it is now, by kind of account."""

    name = "trial_balance"
    tables: ClassVar = {
        "trial_balance": (("log", "account_kind"), SUM_TERMS),
        "trial_lots": (("account", "lot_id"), ("log", "account_kind", "expires_at")),
        "trial_remaining": (("log", "account_kind", "expires_at"), ("remaining", "held")),
        "transfers_in_transit": (("transfer_id",), ("bytes",)),
    }

    def new_delta(self) -> TrialDelta:
        """Return a delta without changes."""
        return TrialDelta()

    def write(self, cursor: AnyCursor, delta: TrialDelta) -> None:
        """Write sums, lots, what is left by expiry, and transit. Raises UnknownLotError."""
        if delta.sums:
            sums = [(*key, *msgspec.structs.astuple(each)) for key, each in delta.sums.items()]
            self._run(cursor, INSERT_SUMS, *columns_of(sums))
        if delta.lots:
            lots = [(*key, *lot) for key, lot in delta.lots.items()]
            self._run(cursor, INSERT_TRIAL_LOTS, *columns_of(lots))
        if delta.remaining or delta.held:
            self._write_remaining(cursor, delta)
        if delta.transit:
            transit = sorted(delta.transit.items())
            self._run(cursor, INSERT_TRANSIT, *columns_of(transit))
            self._run(cursor, DELETE_TRANSIT)

    def _write_remaining(self, cursor: AnyCursor, delta: TrialDelta) -> None:
        lots = {**delta.remaining, **delta.held}.keys()
        accounts, lot_ids = zip(*lots, strict=True)
        remaining = [delta.remaining.get(lot, 0) for lot in lots]
        held = [delta.held.get(lot, 0) for lot in lots]
        arrays = (texts(accounts), texts(lot_ids), int8s(remaining), int8s(held))
        self._run(cursor, INSERT_REMAINING, *arrays)
        (known,) = next(iter(cursor.fetchall()))
        if known != len(lots):
            raise UnknownLotError("an event changes a lot that was never created")
        self._run(cursor, DELETE_REMAINING)
