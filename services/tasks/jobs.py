"""What tasks does by itself: offers and members told, draws' seeds, audiences, grants.

Offers are told at once where the ledger is there; here is what could not be told then.
"""

from collections.abc import Callable
from threading import Event
from uuid import UUID

from services.tasks.bank import Bank
from services.tasks.metrics import JOB_FAILURES
from shared.errors import RefusedError, UnavailableError
from shared.logs import logger

LOOK_EVERY_S = 1.0
PURGE_EVERY_LOOKS = 3_600
DUE_BATCH = 100


def run_jobs(bank: Bank, stop: Event) -> None:
    """Look every second whether something is due; ends with `stop`."""
    looks, sealed = 0, False
    while not stop.wait(LOOK_EVERY_S):
        # At its start, so that a new key counts for what is stored, too.
        sealed = sealed or _try(bank.tasks.secrets.seal_all)
        _try(lambda: put_offers(bank, stop))
        if looks % PURGE_EVERY_LOOKS == 0:
            _try(bank.tasks.claims.purge)
        _try(bank.tasks.claims.draw_seeds.commit_ahead)
        _try(lambda: bank.tasks.audiences.take_due(stop))
        _try(bank.tasks.feeding.feed_all)
        _try(lambda: bank.tasks.supply.run_jobs(stop))
        looks += 1


def _try(job: Callable[[], object]) -> bool:
    try:
        job()
    except UnavailableError as error:
        JOB_FAILURES.inc()
        logger().warning("job_waits", error=str(error))
    except Exception as error:  # noqa: BLE001 A failed job is tried again at the next look.
        JOB_FAILURES.inc()
        logger().error("job_failed", exc_info=error)
    else:
        return True
    return False


def put_offers(bank: Bank, stop: Event) -> None:
    """Let the ledger know what it does not know yet. Raises UnavailableError while it is away."""
    offers = bank.tasks.offers
    for campaign in offers.due(DUE_BATCH):
        if stop.is_set():
            return
        _put(bank, campaign)


def _put(bank: Bank, campaign: UUID) -> None:
    try:
        bank.tasks.feeding.feed(campaign)
        bank.tasks.offers.put(campaign)
    except RefusedError as error:
        # One that the ledger refuses must not keep the others waiting.
        JOB_FAILURES.inc()
        logger().error("offer_refused", campaign=campaign.hex, code=error.code, why=error.detail)
