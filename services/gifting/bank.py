"""Gifting's parts as bootstrap puts them together, for routes, workers and tests."""

from dataclasses import dataclass

from services.gifting.application import Gifting
from services.gifting.store import Store
from shared.bus.doorbell import Doorbell
from shared.bus.stored_log import StoredLog
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.sagas.inbox import LedgerConsumer


@dataclass(frozen=True)
class Bank:
    """One bank's gifting in this process."""

    bank_id: str
    epoch: int
    calendar: Calendar
    clock: BankClock
    gifting: Gifting
    log: StoredLog
    consumer: LedgerConsumer
    doorbell: Doorbell

    @property
    def store(self) -> Store:
        """Return the database."""
        return self.gifting.store
