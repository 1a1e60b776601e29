"""Views that follow the logs: each is a consumer of its own, with its own positions and parked rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import Cursor
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool

from services.gateway.views import View
from shared.bus import parking
from shared.clock import BankClock
from shared.contracts.envelope import Batch, Envelope
from shared.db import away_is_unavailable

# One writer a view: live batches and a rebuild's swap take turns by this lock.
VIEW_LOCK = "SELECT pg_advisory_xact_lock(hashtext('databank.view.' || %s))"
UPSERT_POSITION = """
INSERT INTO inbox_positions AS p (consumer, source, lane, sequence) VALUES (%s, %s, 'all', %s)
ON CONFLICT (consumer, source, lane) DO UPDATE SET sequence = greatest(p.sequence, excluded.sequence)
"""


class Store:
    """The gateway's database. Raises UnavailableError when it is away."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @contextmanager
    def cursor(self) -> Iterator[Cursor[Any]]:
        """Lend a cursor inside a transaction."""
        with away_is_unavailable():
            self._pool.open()
            with self._pool.connection() as conn, conn.transaction():
                yield conn.cursor(row_factory=tuple_row)

    @contextmanager
    def snapshot(self) -> Iterator[Cursor[Any]]:
        """Lend a cursor that sees one instant, for as long as it takes."""
        with self.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield cursor


def positions_of(cursor: Cursor[Any], consumer: str) -> dict[str, int]:
    """Return a consumer's positions by source."""
    cursor.execute("SELECT source, sequence FROM inbox_positions WHERE consumer = %s", (consumer,))
    return dict(cursor.fetchall())


def lock_view(cursor: Cursor[Any], view: View) -> None:
    """Wait for this view's other writers, until the transaction ends."""
    cursor.execute(VIEW_LOCK, (view.name,))


def write_events(cursor: Cursor[Any], view: View, events: Sequence[Envelope]) -> None:
    """Write the merged change of events."""
    if events:
        change = view.change()
        for event in events:
            change.add(event)
        view.write(cursor, change)


class ViewConsumer:
    """One view's inbox."""

    lane = "all"

    def __init__(self, view: View, store: Store, clock: BankClock) -> None:
        self.view = view
        self.name = view.name
        self._store = store
        self._clock = clock

    def position(self, source: str) -> int:
        """Return the durable position, 0 at the beginning."""
        with self._store.cursor() as cursor:
            return positions_of(cursor, self.name).get(source, 0)

    def apply(self, batch: Batch) -> None:
        """Write what the events change, and the position, in one transaction."""
        with self._store.cursor() as cursor:
            lock_view(cursor, self.view)
            at = positions_of(cursor, self.name).get(batch.source, 0)
            new = [event for event in batch.events if int(event.sequence) > at]
            if not new:
                return
            rest = Batch(batch.source, batch.lane, at, batch.sequence, new)
            free = parking.park_behind(cursor, self.name, rest, at=self._clock.now())
            write_events(cursor, self.view, free)
            cursor.execute(UPSERT_POSITION, (self.name, batch.source, batch.sequence))

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Put an event aside that the view can't take, and step over it."""
        with self._store.cursor() as cursor:
            lock_view(cursor, self.view)
            parking.park(cursor, self.name, batch.events[0], error, attempts, at=self._clock.now())
            cursor.execute(UPSERT_POSITION, (self.name, batch.source, batch.sequence))

    def retry_parked(self) -> dict[str, int]:
        """Write parked events again, account by account, in order; stop at its first failure."""
        with self._store.cursor() as cursor:
            accounts = sorted(parking.parked_accounts(cursor, self.name))
        applied = sum(self._retry(account) for account in accounts)
        with self._store.cursor() as cursor:
            left = len(parking.list_parked(cursor, [self.name]))
        return {"applied": applied, "still_parked": left}

    def _retry(self, account: str) -> int:
        applied = 0
        with self._store.cursor() as cursor:
            lock_view(cursor, self.view)
            for waiting in parking.take_for_retry(cursor, self.name, account):
                try:
                    with cursor.connection.transaction():
                        write_events(cursor, self.view, [waiting.event])
                except Exception as error:  # noqa: BLE001 Whatever it is, the event stays parked.
                    parking.failed_again(cursor, waiting, str(error))
                    break
                parking.unpark(cursor, [waiting])
                applied += 1
        return applied
