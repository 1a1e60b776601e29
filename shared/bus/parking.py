"""Events put aside: SQL on the table `parked` of whatever schema the cursor looks at.

A parked event keeps its account waiting: later events of that account are parked behind it, in
order, until a retry applies them. All functions run inside the caller's transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from psycopg import Cursor
from psycopg.rows import kwargs_row, scalar_row, tuple_row
from psycopg.types.json import Jsonb

from shared.contracts.envelope import Batch, Envelope

AnyCursor = Cursor[Any]
BEHIND = "waits behind an earlier parked event of its account"
LIST_MAX = 1_000

INSERT = """
INSERT INTO parked (consumer, source, sequence, account, event, error, attempts, parked_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (consumer, source, sequence) DO NOTHING
"""
SELECT = "SELECT consumer, source, sequence, account, event, error, attempts, parked_at FROM parked"


class Parked(msgspec.Struct, frozen=True):
    """An event that waits, with the error that put it aside; `parked_at` is in ms since 1970Z."""

    consumer: str
    source: str
    sequence: int
    account: str
    event: Envelope
    error: str
    attempts: int
    parked_at: int


def subject_of(event: Envelope) -> str:
    """Return the account that an event is about."""
    return event.subject


def park(  # noqa: PLR0913 One column each.
    cursor: AnyCursor, consumer: str, event: Envelope, error: str, attempts: int, *,
    at: int, account: str | None = None,
) -> None:  # fmt: skip
    """Put an event aside for its account (the event's subject unless told otherwise)."""
    whose = event.subject if account is None else account
    row = (consumer, event.source, int(event.sequence), whose, _jsonb(event), error, attempts, at)
    cursor.execute(INSERT, row)


def parked_accounts(cursor: AnyCursor, consumer: str) -> set[str]:
    """Return the accounts that wait."""
    with cursor.connection.cursor(row_factory=scalar_row) as rows:
        rows.execute("SELECT DISTINCT account FROM parked WHERE consumer = %s", (consumer,))
        return set(rows)


def park_behind(
    cursor: AnyCursor, consumer: str, batch: Batch, *, at: int,
    account_of: Callable[[Envelope], str] = subject_of,
) -> list[Envelope]:  # fmt: skip
    """Park the events of accounts that wait already; return the others, which may be applied."""
    waiting = parked_accounts(cursor, consumer)
    if not waiting:
        return batch.events
    free: list[Envelope] = []
    for event in batch.events:
        account = account_of(event)
        if account in waiting:
            park(cursor, consumer, event, BEHIND, 0, at=at, account=account)
        else:
            free.append(event)
    return free


def list_parked(
    cursor: AnyCursor, consumers: Sequence[str] | None = None, *, account: str | None = None,
    after: tuple[str, str, int] | None = None, limit: int = LIST_MAX,
) -> list[Parked]:  # fmt: skip
    """Return what waits, of these consumers or of all, in order, behind `after`'s place."""
    where, values = " WHERE true", list[Any]()
    if consumers is not None:
        where, values = where + " AND consumer = ANY(%s)", [*values, list(consumers)]
    if account is not None:
        where, values = where + " AND account = %s", [*values, account]
    if after is not None:
        where, values = (
            where + " AND (consumer, source, sequence) > (%s, %s, %s)",
            [*values, *after],
        )
    order = " ORDER BY consumer, source, sequence LIMIT %s"
    return _select(cursor, where + order, [*values, limit])


def first_parked(cursor: AnyCursor, consumer: str, without: Iterable[str]) -> Parked | None:
    """Return the first event that waits for a consumer, those of some accounts left out."""
    tail = " WHERE consumer = %s AND account <> ALL(%s) ORDER BY source, sequence LIMIT 1"
    return next(iter(_select(cursor, tail, [consumer, list(without)])), None)


def take_for_retry(cursor: AnyCursor, consumer: str, account: str) -> list[Parked]:
    """Return an account's waiting events in order and keep them locked until the transaction ends.

    Apply them one after the other; call `unpark` for each that worked, `failed_again` for the
    first that did not and stop there.
    """
    tail = " WHERE consumer = %s AND account = %s ORDER BY source, sequence FOR UPDATE"
    return _select(cursor, tail, [consumer, account])


def unpark(cursor: AnyCursor, events: Iterable[Parked]) -> None:
    """Forget events that were applied."""
    cursor.executemany(
        "DELETE FROM parked WHERE consumer = %s AND source = %s AND sequence = %s",
        [(event.consumer, event.source, event.sequence) for event in events],
    )


def failed_again(cursor: AnyCursor, event: Parked, error: str) -> None:
    """Note that a retry failed."""
    cursor.execute(
        "UPDATE parked SET error = %s, attempts = attempts + 1"
        " WHERE consumer = %s AND source = %s AND sequence = %s",
        (error, event.consumer, event.source, event.sequence),
    )


def count_parked(cursor: AnyCursor, consumer: str | None = None) -> int:
    """Return how many events wait, for one consumer or for all."""
    count = (
        "SELECT count(*) FROM parked WHERE %(consumer)s::text IS NULL OR consumer = %(consumer)s"
    )
    with cursor.connection.cursor(row_factory=tuple_row) as rows:
        row = rows.execute(count, {"consumer": consumer}).fetchone()
    return int(row[0]) if row else 0


def _select(cursor: AnyCursor, tail: str, values: list[Any]) -> list[Parked]:
    with cursor.connection.cursor(row_factory=kwargs_row(_parked)) as rows:
        rows.execute(SELECT + tail, values)
        return rows.fetchall()


def _parked(**columns: Any) -> Parked:
    columns["event"] = msgspec.convert(columns["event"], Envelope)
    return Parked(**columns)


def _jsonb(event: Envelope) -> Jsonb:
    return Jsonb(event, dumps=msgspec.json.encode)
