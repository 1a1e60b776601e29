"""The gateway's database beside its views: positions, what is put aside, locks, the swap."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, Cursor
from psycopg.errors import LockNotAvailable
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool

from shared.contracts.envelope import Envelope
from shared.db import away_is_unavailable, connect, make_pool
from shared.errors import BusyError

SCHEMA = "gateway"
LANE = "all"
LOCK_SPACE = 0x6761_7465
SWAP_LOCK_TIMEOUT_MS = 1_000

AnyCursor = Cursor[Any]
Sequences = dict[str, int]
Waiting = dict[tuple[str, str], int]

UPSERT_POSITIONS = """
INSERT INTO inbox_positions (consumer, source, lane, sequence)
SELECT %s, source, %s, sequence FROM unnest(%s::text[], %s::bigint[]) AS new (source, sequence)
ON CONFLICT (consumer, source, lane) DO UPDATE SET sequence = excluded.sequence
"""
COPY_PARKED = """
INSERT INTO parked (consumer, source, sequence, account, event, error, attempts, parked_at)
SELECT %s, source, sequence, account, event, error, attempts, parked_at FROM parked
WHERE consumer = %s
"""


class Store:
    """Connections of one process to the gateway's schema; opened at first use."""

    def __init__(self, conninfo: str, *, size: int = 1, overflow: int = 3) -> None:
        self._conninfo = conninfo
        self._pool: ConnectionPool = make_pool(
            conninfo, schema=SCHEMA, size=size, overflow=overflow
        )

    @contextmanager
    def cursor(self) -> Iterator[AnyCursor]:
        """Lend a cursor inside a transaction of its own. Raises UnavailableError."""
        with away_is_unavailable():
            self._pool.open()
            with self._pool.connection() as conn, conn.transaction():
                yield conn.cursor(row_factory=tuple_row)

    @contextmanager
    def alone(self) -> Iterator[Connection[Any]]:
        """Lend a connection beside the pool, for long work. Raises UnavailableError."""
        with away_is_unavailable(), connect(self._conninfo, schema=SCHEMA) as conn:
            yield conn

    @contextmanager
    def maintenance(self, view: str, *, shared: bool = False) -> Iterator[None]:
        """Keep rebuilds of a view apart, and checks from them; ends with its process.

        Raises BusyError, UnavailableError.
        """
        verb = "pg_try_advisory_lock" + ("_shared" if shared else "")
        with self.alone() as conn:
            row = conn.execute(f"SELECT {verb}(%s, hashtext(%s))", (LOCK_SPACE, view)).fetchone()
            if row is None or not row[0]:
                raise BusyError(f"the view {view} is being rebuilt or checked now")
            try:
                yield
            finally:
                # A closed session keeps its locks until its server process has noticed.
                conn.execute("SELECT pg_advisory_unlock_all()")

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()


def lock(cursor: AnyCursor, consumer: str) -> None:
    """Hold a consumer's rows and position until the transaction ends."""
    name = f"write {consumer}"
    cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK_SPACE, name))


def positions(cursor: AnyCursor, consumer: str) -> Sequences:
    """Return how far a consumer is, by source."""
    cursor.execute("SELECT source, sequence FROM inbox_positions WHERE consumer = %s", (consumer,))
    return dict(cursor.fetchall())


def positions_of(cursor: AnyCursor, consumers: list[str]) -> dict[str, Sequences]:
    """Return how far consumers are, each by source."""
    cursor.execute(
        "SELECT consumer, source, sequence FROM inbox_positions WHERE consumer = ANY(%s)",
        (consumers,),
    )
    found: dict[str, Sequences] = {consumer: {} for consumer in consumers}
    for consumer, source, sequence in cursor.fetchall():
        found[consumer][source] = sequence
    return found


def parked_counts(cursor: AnyCursor, consumers: list[str]) -> dict[str, int]:
    """Return how many events each consumer has put aside."""
    cursor.execute(
        "SELECT consumer, count(*) FROM parked WHERE consumer = ANY(%s) GROUP BY 1", (consumers,)
    )
    return dict.fromkeys(consumers, 0) | dict(cursor.fetchall())


def set_positions(cursor: AnyCursor, consumer: str, reached: Sequences) -> None:
    """Store how far a consumer is."""
    values = (consumer, LANE, list(reached), list(reached.values()))
    cursor.execute(UPSERT_POSITIONS, values)


def waiting(cursor: AnyCursor, consumer: str) -> Waiting:
    """Return the sequence of the first parked event of each source and account that waits."""
    cursor.execute(
        "SELECT source, account, min(sequence) FROM parked WHERE consumer = %s GROUP BY 1, 2",
        (consumer,),
    )
    return {(source, account): first for source, account, first in cursor.fetchall()}


def split_waiting(
    events: Iterable[Envelope], waits: Waiting
) -> tuple[list[Envelope], list[Envelope]]:
    """Part events into those that may be applied and those that wait behind a parked one."""
    free: list[Envelope] = []
    behind: list[Envelope] = []
    for event in events:
        first = waits.get((event.source, event.subject))
        waits_too = first is not None and int(event.sequence) >= first
        (behind if waits_too else free).append(event)
    return free, behind


def clear_bookkeeping(cursor: AnyCursor, consumer: str) -> None:
    """Forget a consumer's positions and parked events."""
    cursor.execute("DELETE FROM inbox_positions WHERE consumer = %s", (consumer,))
    cursor.execute("DELETE FROM parked WHERE consumer = %s", (consumer,))


def copy_parked(cursor: AnyCursor, of: str, to: str) -> None:
    """Let a consumer begin with what another has put aside."""
    cursor.execute(COPY_PARKED, (to, of))


def swap(cursor: AnyCursor, live: str, shadow: str, tables: Iterable[str]) -> None:
    """Give a view its shadow's rows, positions and parked events; the shadow gets the old rows.

    The caller holds the view's lock. Raises BusyError when a reader keeps the tables too long.
    """
    cursor.execute(f"SET LOCAL lock_timeout = {SWAP_LOCK_TIMEOUT_MS}")
    try:
        cursor.execute("SELECT swap_with_shadows(%s)", (list(tables),))
    except LockNotAvailable as error:
        raise BusyError(f"readers keep the view {live}; try again") from error
    clear_bookkeeping(cursor, live)
    for table in ("inbox_positions", "parked"):
        cursor.execute(f"UPDATE {table} SET consumer = %s WHERE consumer = %s", (live, shadow))
