"""The ledger's parts as bootstrap puts them together, for routes, workers and tests."""

from dataclasses import dataclass

from services.ledger.application import Ledger
from services.ledger.integration import PartitionConsumer
from services.ledger.log import PartitionLog
from shared.bus.doorbell import Doorbell
from shared.calendar import Calendar
from shared.clock import BankClock


@dataclass(frozen=True)
class Bank:
    """One bank's ledger in this process."""

    bank_id: str
    epoch: int
    sandbox: bool
    close_at: str
    calendar: Calendar
    clock: BankClock
    ledger: Ledger
    logs: list[PartitionLog]
    consumers: list[PartitionConsumer]
    doorbell: Doorbell
