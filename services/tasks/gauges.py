"""What tasks reads from its database when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from services.tasks.bank import Bank
from shared.metrics import gauge, head_gauge
from shared.sagas.serving import parked_gauge

CAMPAIGNS = "SELECT state, count(*) FROM campaigns WHERE state <> 'ended' GROUP BY state"
OFFERS = "SELECT count(*) FROM campaigns WHERE offer_known < offer_version"


def web_gauges(bank: Bank) -> Iterator[Metric]:
    """Yield how long the log is, what campaigns there are, what is parked.

    Raises UnavailableError.
    """
    yield head_gauge([bank.log])
    yield gauge(
        "databank_tasks_campaigns", "Campaigns that have not ended, by state", ("state",),
        {(state,): count for state, count in bank.store.rows(CAMPAIGNS)},
    )  # fmt: skip
    [(waiting,)] = bank.store.rows(OFFERS)
    yield gauge(
        "databank_tasks_offers_unknown", "Offers that the ledger does not know yet", (),
        {(): waiting},
    )  # fmt: skip
    yield parked_gauge(bank)
