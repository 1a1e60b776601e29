"""What the gateway measures: as it answers, and from its database when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric

from services.gateway.store import LANE, Store, parked_counts, positions_of
from shared.bus.inbox import Counts
from shared.bus.types import LogReader
from shared.metrics import gauge, inbox_metrics, lags_behind

READS = Counter(
    "databank_gateway_reads",
    "Answers from views; stale ones lack a position that the caller asked for",
    ["stale"],
)


def count_read(*, stale: bool) -> None:
    """Count an answer from a view."""
    READS.labels("yes" if stale else "no").inc()


def web_gauges(store: Store, reader: LogReader, views: list[str]) -> Iterator[Metric]:
    """Yield what is parked and how far the views are behind. Raises UnavailableError."""
    with store.cursor() as cursor:
        positions, parked = positions_of(cursor, views), parked_counts(cursor, views)
    yield gauge(
        "databank_parked_events", "Events put aside that wait for a retry", ("consumer",),
        {(view,): count for view, count in parked.items()},
    )  # fmt: skip
    yield gauge(
        "databank_view_lag_events", "Sequence numbers that a view is behind a log",
        ("view", "log"), lags_behind(reader, LANE, positions),
    )  # fmt: skip


def worker_gauges(
    store: Store, reader: LogReader, views: list[str], counts: dict[str, Counts]
) -> Iterator[Metric]:
    """Yield how far the inboxes are. Raises UnavailableError."""
    yield inbox_metrics(counts)
    with store.cursor() as cursor:
        positions = positions_of(cursor, views)
    yield gauge(
        "databank_inbox_lag_events", "Sequence numbers that a consumer is behind a log",
        ("consumer", "log"), lags_behind(reader, LANE, positions),
    )  # fmt: skip
