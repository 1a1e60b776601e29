"""Tasks' parts as bootstrap puts them together, for routes, workers and tests."""

from dataclasses import dataclass

from services.tasks.application import Tasks
from services.tasks.store import Store
from shared.bus.doorbell import Doorbell
from shared.bus.stored_log import StoredLog
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.sagas.inbox import LedgerConsumer


@dataclass(frozen=True)
class Bank:
    """One bank's tasks in this process."""

    bank_id: str
    epoch: int
    calendar: Calendar
    clock: BankClock
    tasks: Tasks
    log: StoredLog
    consumer: LedgerConsumer
    doorbell: Doorbell

    @property
    def store(self) -> Store:
        """Return the database."""
        return self.tasks.store
