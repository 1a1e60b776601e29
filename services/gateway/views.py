"""The read models' tables: the only SQL that writes or compares them, set by set."""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
from psycopg import Cursor
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composed, Identifier

from services.gateway.projections import (
    SUMS,
    BalancesChange,
    Change,
    PartnerSpendChange,
    Rows,
    TrialBalanceChange,
)
from shared.calendar import Calendar

FETCH_ROWS = 5_000
Columns = dict[str, str]


class View(Protocol):
    """One read model: its tables, and how changes get into them."""

    @property
    def name(self) -> str:
        """Return the view's name, which is its consumer's too."""
        ...

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of its tables."""
        ...

    def change(self) -> Change:
        """Return an empty change."""
        ...

    def write(self, cursor: Cursor[Any], change: Any, suffix: str = "") -> None:
        """Write a change into the tables (with a suffix: into a rebuild's shadow tables)."""
        ...

    def stored(self, cursor: Cursor[Any]) -> Iterator[Rows]:
        """Yield the stored rows in parts, as `Change.rows` gives them."""
        ...


def upsert(
    cursor: Cursor[Any], table: str, keys: Columns, values: Columns, rows: list[tuple[Any, ...]],
    added: tuple[str, ...],
) -> None:  # fmt: skip
    """Insert rows; where one is there, add to its columns `added`."""
    if not rows:
        return
    columns = {**keys, **values}
    names = SQL(", ").join(map(Identifier, columns))
    arrays = SQL(", ").join(SQL("%s::" + kind + "[]") for kind in columns.values())
    action: Composed | SQL = SQL("DO NOTHING")
    if added:
        sums = SQL(", ").join(
            SQL("{0} = t.{0} + excluded.{0}").format(Identifier(name)) for name in added
        )
        action = SQL("DO UPDATE SET {0}").format(sums)
    statement = SQL(
        "INSERT INTO {table} AS t ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT ({keys}) {action}"
    ).format(
        table=Identifier(table), names=names, arrays=arrays, action=action,
        keys=SQL(", ").join(map(Identifier, keys)),
    )  # fmt: skip
    # Rows in the order of their keys, so that two writers never wait for each other in a circle.
    rows.sort(key=lambda row: row[: len(keys)])
    cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def _fetch(cursor: Cursor[Any], statement: str) -> Iterator[list[tuple[Any, ...]]]:
    with cursor.connection.cursor(name="stored", row_factory=tuple_row) as rows:
        rows.itersize = FETCH_ROWS
        rows.execute(statement)
        while part := rows.fetchmany(FETCH_ROWS):
            yield part


class BalancesView:
    """`balances` and `lots`: what each account has, and on which terms."""

    name = "balances"
    tables = ("balances", "lots")

    ACCOUNT: Columns = {"account": "text"}  # noqa: RUF012 Never changed.
    SUMS: Columns = dict.fromkeys(SUMS, "int8")
    LOT: Columns = {"account": "text", "lot_id": "text"}  # noqa: RUF012
    TERMS: Columns = {  # noqa: RUF012
        "kind": "text", "granted": "int8", "remaining": "int8", "valid_from": "int8",
        "expires_at": "int8", "scope": "text", "giftable": "bool", "carries": "bool",
        "source": "jsonb", "parent_lot": "text",
    }  # fmt: skip

    def change(self) -> BalancesChange:
        """Return an empty change."""
        return BalancesChange()

    def write(self, cursor: Cursor[Any], change: BalancesChange, suffix: str = "") -> None:
        """Write a change."""
        self._write_opened(cursor, change, suffix)
        self._write_sums(cursor, change, suffix)
        self._write_lots(cursor, change, suffix)

    def _write_opened(self, cursor: Cursor[Any], change: BalancesChange, suffix: str) -> None:
        columns = {"log": "text", "kind": "text", "plan": "text", "opened_at": "int8", **self.SUMS}
        rows = [
            (account, *opened, *change.sums[account]) for account, opened in change.opened.items()
        ]
        upsert(cursor, "balances" + suffix, self.ACCOUNT, columns, rows, SUMS)

    def _write_sums(self, cursor: Cursor[Any], change: BalancesChange, suffix: str) -> None:
        rows = sorted(
            (account, *sums)
            for account, sums in change.sums.items()
            if account not in change.opened and any(sums)
        )
        if not rows:
            return
        sets = SQL(", ").join(SQL("{0} = t.{0} + u.{0}").format(Identifier(name)) for name in SUMS)
        statement = SQL(
            "UPDATE {table} t SET {sets} FROM unnest(%s::text[], {arrays}) AS u(account, {names})"
            " WHERE t.account = u.account"
        ).format(
            table=Identifier("balances" + suffix), sets=sets,
            arrays=SQL(", ").join([SQL("%s::int8[]")] * len(SUMS)),
            names=SQL(", ").join(map(Identifier, SUMS)),
        )  # fmt: skip
        cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])
        _all_there(cursor, len(rows), "accounts")

    def _write_lots(self, cursor: Cursor[Any], change: BalancesChange, suffix: str) -> None:
        # A lot is made empty, then filled: one that only grows (a carry lot) may be there already.
        created = [(*key, *_terms(lot.terms)) for key, lot in change.lots.items() if lot.terms]
        upsert(cursor, "lots" + suffix, self.LOT, self.TERMS, created, ())
        moved = [
            (*key, lot.granted, lot.remaining)
            for key, lot in change.lots.items()
            if lot.granted or lot.remaining
        ]
        if moved:
            moved.sort()
            statement = SQL(
                "UPDATE {table} t SET granted = t.granted + u.granted,"
                " remaining = t.remaining + u.remaining"
                " FROM unnest(%s::text[], %s::text[], %s::int8[], %s::int8[])"
                " AS u(account, lot_id, granted, remaining)"
                " WHERE t.account = u.account AND t.lot_id = u.lot_id"
            ).format(table=Identifier("lots" + suffix))
            cursor.execute(statement, [list(column) for column in zip(*moved, strict=True)])
            _all_there(cursor, len(moved), "lots")

    def stored(self, cursor: Cursor[Any]) -> Iterator[Rows]:
        """Yield the stored rows in parts."""
        sums = ", ".join(SUMS)
        accounts = f"SELECT account, log, kind, plan, opened_at, {sums} FROM balances"
        for part in _fetch(cursor, accounts):
            yield {("balances", row[:1]): row[1:] for row in part}
        lots = "SELECT account, lot_id, kind, granted, remaining, valid_from, expires_at FROM lots"
        for part in _fetch(cursor, lots):
            yield {("lots", row[:2]): row[2:] for row in part}


def _terms(terms: dict[str, Any]) -> tuple[Any, ...]:
    scope = terms.get("scope", "any")
    return (
        terms["kind"], 0, 0, terms["valid_from"], terms["expires_at"],
        scope if isinstance(scope, str) else "+".join(scope),
        terms.get("giftable", False), terms.get("carries", False),
        msgspec.json.encode(terms["source"]).decode(), terms.get("parent_lot"),
    )  # fmt: skip


def _all_there(cursor: Cursor[Any], expected: int, what: str) -> None:
    if cursor.rowcount != expected:
        msg = f"{expected - cursor.rowcount} {what} are not in the view"
        raise LookupError(msg)


class PartnerSpendView:
    """`partner_spend`: what each partner paid for, by campaign, day and kind."""

    name = "partner_spend"
    tables = ("partner_spend", "partner_spend_subscribers")

    KEY: Columns = dict.fromkeys(("partner", "campaign", "day", "kind"), "text")

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar

    def change(self) -> PartnerSpendChange:
        """Return an empty change."""
        return PartnerSpendChange(self._calendar)

    def write(self, cursor: Cursor[Any], change: PartnerSpendChange, suffix: str = "") -> None:
        """Write a change."""
        values = {"bytes": "int8", "count": "int8"}
        rows = [(*key, *row) for key, row in change.spend.items()]
        upsert(cursor, "partner_spend" + suffix, self.KEY, values, rows, ("bytes", "count"))
        people = {**self.KEY, "subscriber": "text"}
        upsert(
            cursor, "partner_spend_subscribers" + suffix, people, {}, list(change.subscribers), ()
        )

    def stored(self, cursor: Cursor[Any]) -> Iterator[Rows]:
        """Yield the stored rows in parts."""
        key = "partner, campaign, day, kind"
        for part in _fetch(cursor, f"SELECT {key}, bytes, count FROM partner_spend"):
            yield {("partner_spend", row[:4]): row[4:] for row in part}
        people = f"SELECT {key}, subscriber FROM partner_spend_subscribers"
        for part in _fetch(cursor, people):
            yield {("partner_spend_subscribers", row): () for row in part}


class TrialBalanceView:
    """`trial_balance`: the whole bank's sums, and what is in transit."""

    name = "trial_balance"
    tables = ("trial_balance", "transfers_in_transit")

    def change(self) -> TrialBalanceChange:
        """Return an empty change."""
        return TrialBalanceChange()

    def write(self, cursor: Cursor[Any], change: TrialBalanceChange, suffix: str = "") -> None:
        """Write a change."""
        columns = TrialBalanceChange.COLUMNS
        rows = [(*key, *row) for key, row in change.sums.items()]
        keys = {"log": "text", "kind": "text"}
        upsert(
            cursor, "trial_balance" + suffix, keys, dict.fromkeys(columns, "int8"), rows, columns
        )
        moved = [(name, amount) for name, amount in change.transit.items() if amount]
        table = "transfers_in_transit" + suffix
        upsert(cursor, table, {"transfer_id": "text"}, {"bytes": "int8"}, list(moved), ("bytes",))
        if moved:
            cursor.execute(
                SQL("DELETE FROM {} WHERE transfer_id = ANY(%s) AND bytes = 0").format(
                    Identifier(table)
                ),
                ([name for name, _ in moved],),
            )

    def stored(self, cursor: Cursor[Any]) -> Iterator[Rows]:
        """Yield the stored rows in parts."""
        columns = ", ".join(TrialBalanceChange.COLUMNS)
        for part in _fetch(cursor, f"SELECT log, kind, {columns} FROM trial_balance"):
            yield {("trial_balance", row[:2]): row[2:] for row in part}
        for part in _fetch(cursor, "SELECT transfer_id, bytes FROM transfers_in_transit"):
            yield {("transfers_in_transit", row[:1]): row[1:] for row in part}
