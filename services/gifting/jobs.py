"""What gifting does by itself: go on with gifts that were asked for while the ledger was away.

The deadlines of what is held are the ledger's: its events end gifts and packets.
"""

from threading import Event
from uuid import UUID

from services.gifting import listing
from services.gifting.bank import Bank
from services.gifting.metrics import JOB_FAILURES
from shared.errors import UnavailableError
from shared.logs import logger

LOOK_EVERY_S = 1.0
DUE_BATCH = 500
FIRST = UUID(int=0)


def run_jobs(bank: Bank, stop: Event) -> None:
    """Look every second whether something is due; ends with `stop`."""
    while not stop.wait(LOOK_EVERY_S):
        try:
            go_on_with_gifts(bank, stop)
        except UnavailableError as error:
            JOB_FAILURES.inc()
            logger().warning("job_waits", error=str(error))
        except Exception as error:  # noqa: BLE001 A failed job is tried again at the next look.
            JOB_FAILURES.inc()
            logger().error("job_failed", exc_info=error)


def go_on_with_gifts(bank: Bank, stop: Event) -> None:
    """Decide about requested gifts, in batches. Raises UnavailableError: the ledger is away."""
    after = FIRST
    while not stop.is_set():
        due = listing.due(bank.gifting.store, "gifts", bank.clock.now(), after, DUE_BATCH)
        if not due:
            return
        bank.gifting.go_on(due)
        after = due[-1].id
