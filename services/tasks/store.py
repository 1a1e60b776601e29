"""Tasks' database: turns in which something is decided, and reads."""

from typing import Any

from psycopg import Connection

from services.tasks import metrics
from services.tasks.domain.tasks.rules import TaskRules
from services.tasks.turn import Turn
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.contracts.tasks import LOG
from shared.rulebook import Rulebook
from shared.sagas.store import SagaStore


class Store(SagaStore[Turn]):
    """The schema of tasks' log and tables. Threads may share it."""

    def __init__(
        self, conninfo: str, *, clock: BankClock, calendar: Calendar,
        rulebook: Rulebook[TaskRules],
    ) -> None:  # fmt: skip
        super().__init__(LOG, conninfo, clock=clock, calendar=calendar, watch=metrics.TURNS)
        self.rulebook = rulebook

    def begin(self, conn: Connection[Any], now: int) -> Turn:
        """Return a turn in a transaction."""
        return Turn(conn, self.recorder, now, self.calendar, self.rulebook.at(now))

    def rules(self) -> TaskRules:
        """Return the rules in force now."""
        return self.rulebook.at(self.clock.now())
