"""Gifting's database: turns in which something is decided, and reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from services.gifting import metrics
from services.gifting.domain.aggregate import Aggregate, event_of
from services.gifting.domain.rules import RuleBook, Rules
from services.gifting.turn import SELECT_EVENTS, Turn
from shared.bus.stored_log import decode_facts
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.ids import GIFTING_LOG
from shared.log_database import LogDatabase, take_turn
from shared.pgarrays import uuids

# Gifting has one log.
PARTITION = 0
SELECT_SEED = "SELECT seed FROM red_packets WHERE id = %s"
SELECT_PACKET = "SELECT id FROM red_packets WHERE token_hash = %s"
LAST_EVENT = "SELECT state FROM stored_events ORDER BY notification_id DESC LIMIT 1"


class Store(LogDatabase):
    """The schema of gifting's log and tables. Threads may share it."""

    def __init__(
        self, conninfo: str, *, clock: BankClock, calendar: Calendar, rulebook: RuleBook
    ) -> None:
        super().__init__(GIFTING_LOG, conninfo)
        self.clock = clock
        self.calendar = calendar
        self.rulebook = rulebook

    def rules(self) -> Rules:
        """Return the rules in force now."""
        return self.rulebook.at(self.clock.now())

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """In turn with all writers, lend a transaction. Raises BusyError, UnavailableError.

        The caller has it read and store; it is committed at the block's end.
        """
        with self.connection() as conn, conn.transaction():
            lock, last = (conn.cursor(row_factory=tuple_row) for _ in range(2))
            with conn.pipeline():
                take_turn(lock, self.name, PARTITION)
                last.execute(LAST_EVENT, binary=True)
            for _, _, _, waited_s, *_ in lock:
                metrics.LOCK_WAIT_SECONDS.observe(waited_s)
            now = self.clock.now()
            for (state,) in last:
                now = max(now, decode_facts(state).recorded_at)
            yield Turn(conn, self.recorder, now, self.calendar, self.rulebook)

    @contextmanager
    def glance(self) -> Iterator[Turn]:
        """Lend what a turn would see now, out of turn and to be read only."""
        with self.connection() as conn, conn.transaction():
            yield Turn(conn, self.recorder, self.clock.now(), self.calendar, self.rulebook)

    def seed(self, packet: UUID) -> bytes:
        """Return the secret seed of a packet (there is one)."""
        with self.connection() as conn:
            row = conn.cursor(row_factory=tuple_row).execute(SELECT_SEED, (packet,)).fetchone()
        assert row is not None
        return bytes(row[0])

    def packet_of(self, token_hash: str) -> UUID | None:
        """Return the packet whose token has this hash."""
        with self.connection() as conn:
            row = (
                conn.cursor(row_factory=tuple_row).execute(SELECT_PACKET, (token_hash,)).fetchone()
            )
        return None if row is None else row[0]

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
