"""Gifting's database: turns in which something is decided, and reads."""

from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from services.gifting import metrics
from services.gifting.domain.rules import RuleBook, Rules
from services.gifting.turn import Turn
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.ids import GIFTING_LOG
from shared.sagas.store import SagaStore

SELECT_SEED = "SELECT seed FROM red_packets WHERE id = %s"
SELECT_PACKET = "SELECT id FROM red_packets WHERE token_hash = %s"


class Store(SagaStore[Turn]):
    """The schema of gifting's log and tables. Threads may share it."""

    def __init__(
        self, conninfo: str, *, clock: BankClock, calendar: Calendar, rulebook: RuleBook
    ) -> None:
        super().__init__(GIFTING_LOG, conninfo, clock=clock, calendar=calendar, watch=metrics.TURNS)
        self.rulebook = rulebook

    def begin(self, conn: Connection[Any], now: int) -> Turn:
        """Return a turn in a transaction."""
        return Turn(conn, self.recorder, now, self.calendar, self.rulebook.at(now))

    def rules(self) -> Rules:
        """Return the rules in force now."""
        return self.rulebook.at(self.clock.now())

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
