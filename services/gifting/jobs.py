"""What gifting does by itself: it goes on with what was asked for while the ledger was away.

It ends asks at their deadline, too. The deadlines of what is held are the ledger's: its events end
gifts and packets.
"""

from collections.abc import Iterator
from threading import Event
from typing import Any

from services.gifting.bank import Bank
from services.gifting.metrics import JOB_FAILURES
from shared.errors import UnavailableError
from shared.logs import logger
from shared.sagas import listing

LOOK_EVERY_S = 1.0
DUE_BATCH = 500


def run_jobs(bank: Bank, stop: Event) -> None:
    """Look every second whether something is due; ends with `stop`."""
    while not stop.wait(LOOK_EVERY_S):
        try:
            go_on(bank, stop)
            expire_asks(bank, stop)
        except UnavailableError as error:
            JOB_FAILURES.inc()
            logger().warning("job_waits", error=str(error))
        except Exception as error:  # noqa: BLE001 A failed job is tried again at the next look.
            JOB_FAILURES.inc()
            logger().error("job_failed", exc_info=error)


def go_on(bank: Bank, stop: Event) -> None:
    """Decide about what was asked for while the ledger was away, in batches.

    Raises UnavailableError while it still is.
    """
    for table in ("gifts", "red_packets"):
        for due in _due(bank, table, stop):
            bank.gifting.go_on(due)


def expire_asks(bank: Bank, stop: Event) -> None:
    """End the asks whose deadline has come, in batches."""
    for due in _due(bank, "asks", stop):
        bank.gifting.expire_asks(due)


def _due(bank: Bank, table: str, stop: Event) -> Iterator[list[Any]]:
    after = listing.FIRST_DUE
    while not stop.is_set():
        due, after = listing.due(bank.gifting.store, table, bank.clock.now(), after, DUE_BATCH)
        if not due:
            return
        yield due
