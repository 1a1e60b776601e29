"""The database of a service with one log: turns in which something is decided, and reads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from shared.bus.stored_log import decode_facts
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.log_database import LogDatabase, take_turn
from shared.pgarrays import uuids
from shared.sagas.aggregate import Aggregate, event_of
from shared.sagas.turn import SELECT_EVENTS, SagaTurn
from shared.sagas.watch import TurnMetrics

# A service with sagas has one log.
PARTITION = 0
LAST_EVENT = "SELECT state FROM stored_events ORDER BY notification_id DESC LIMIT 1"

T = TypeVar("T", bound=SagaTurn)


class SagaStore(LogDatabase, Generic[T]):
    """The schema of a service's log and tables. Threads may share it."""

    def __init__(
        self, name: str, conninfo: str, *, clock: BankClock, calendar: Calendar, watch: TurnMetrics
    ) -> None:
        super().__init__(name, conninfo)
        self.clock = clock
        self.calendar = calendar
        self.watch = watch

    def begin(self, conn: Connection[Any], now: int) -> T:
        """Return a turn of the service in a transaction."""
        raise NotImplementedError

    @contextmanager
    def turn(self) -> Iterator[T]:
        """In turn with all writers, lend a transaction. Raises BusyError, UnavailableError.

        The caller has it read and store; it is committed at the block's end.
        """
        with self.connection() as conn, conn.transaction():
            lock, last = (conn.cursor(row_factory=tuple_row) for _ in range(2))
            with conn.pipeline():
                take_turn(lock, self.name, PARTITION)
                last.execute(LAST_EVENT, binary=True)
            for _, _, _, waited_s, *_ in lock:
                self.watch.lock_wait_seconds.observe(waited_s)
            now = self.clock.now()
            for (state,) in last:
                now = max(now, decode_facts(state).recorded_at)
            yield self.begin(conn, now)

    @contextmanager
    def glance(self) -> Iterator[T]:
        """Lend what a turn would see now, out of turn and to be read only."""
        with self.connection() as conn, conn.transaction():
            yield self.begin(conn, self.clock.now())

    def barrier(self) -> None:
        """Wait until every turn that began before has ended."""
        self.wait_for_turns(PARTITION)

    @contextmanager
    def snapshot(self) -> Iterator[Connection[Any]]:
        """Lend a transaction that sees one instant, whatever is written meanwhile."""
        with self.connection() as conn, conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield conn

    def events(self, streams: list[UUID]) -> dict[UUID, list[Aggregate.Event]]:
        """Return the events of streams, in order; unknown ones are missing."""
        with self.connection() as conn:
            return self.events_in(conn, streams)

    def rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return what a query gives, as tuples. Raises UnavailableError."""
        with self.connection() as conn:
            return conn.cursor(row_factory=tuple_row).execute(statement, values).fetchall()

    def events_in(
        self, conn: Connection[Any], streams: list[UUID]
    ) -> dict[UUID, list[Aggregate.Event]]:
        """Return the events of streams as a transaction sees them."""
        found: dict[UUID, list[Aggregate.Event]] = {}
        rows = conn.cursor(row_factory=tuple_row).execute(
            SELECT_EVENTS, (uuids([each.bytes for each in streams]),), binary=True
        )
        for stream, version, topic, state in rows:
            found.setdefault(stream, []).append(event_of(stream, version, topic, state))
        return found
