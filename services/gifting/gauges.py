"""What gifting reads from its database when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from services.gifting.bank import Bank
from shared.metrics import gauge, head_gauge
from shared.sagas.serving import parked_gauge

# Those that are not final: they are few, whatever has been given before.
OPEN_STATES = """
SELECT state, count(*) FROM gifts
WHERE state NOT IN ('completed', 'refused', 'returned') GROUP BY state
"""


def web_gauges(bank: Bank) -> Iterator[Metric]:
    """Yield how long the log is, what is under way and what is parked. Raises UnavailableError."""
    yield head_gauge([bank.log])
    yield gauge(
        "databank_gifting_open_gifts", "Gifts that have not ended, by state", ("state",),
        {(state,): count for state, count in bank.store.rows(OPEN_STATES)},
    )  # fmt: skip
    yield parked_gauge(bank)
