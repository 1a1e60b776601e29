"""What the gateway measures: as it answers, and from its database when Prometheus asks."""

from collections.abc import Iterator, Mapping

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric

from services.gateway import spend_queries
from services.gateway.catalogue import VIEWS
from services.gateway.store import LANE, Sequences, Store, parked_counts, positions_of
from shared.bus.inbox import Counts
from shared.bus.types import LogReader
from shared.clock import BankClock
from shared.contracts.ledger import FUNDS_LEFT_PERCENT
from shared.ids import account_kind
from shared.metrics import Lags, gauge, inbox_metrics, lags_behind_each

KINDS = ("partner", "campaign")
READS = Counter(
    "databank_gateway_reads",
    "Answers from views; stale ones lack a position that the caller asked for",
    ["stale"],
)


def count_read(*, stale: bool) -> None:
    """Count an answer from a view."""
    READS.labels("yes" if stale else "no").inc()


def web_gauges(
    store: Store, readers: Mapping[str, LogReader], clock: BankClock
) -> Iterator[Metric]:
    """Yield what is parked, how far the views are behind, and what they say of campaigns.

    Raises UnavailableError.
    """
    views = list(VIEWS)
    with store.cursor() as cursor:
        positions, parked = positions_of(cursor, views), parked_counts(cursor, views)
    yield gauge(
        "databank_parked_events", "Events put aside that wait for a retry", ("consumer",),
        {(view,): count for view, count in parked.items()},
    )  # fmt: skip
    yield gauge(
        "databank_view_lag_events", "Sequence numbers that a view is behind a log",
        ("view", "log"), _lags(readers, positions),
    )  # fmt: skip
    yield from campaign_gauges(store)
    yield alarms_gauge(store, clock.now())


def alarms_gauge(store: Store, now: int) -> Metric:
    """Return how many partners and campaigns have little left. Raises UnavailableError."""
    counts = {(kind, str(percent)): 0 for kind in KINDS for percent in FUNDS_LEFT_PERCENT}
    with store.cursor() as cursor:
        _, found = spend_queries.alarms(cursor, now)
    for row in found:
        counts[str(account_kind(row["account"])), str(row["percent"])] += 1
    return gauge(
        "databank_fund_alarms",
        "Partners and campaigns of whose funds less than so many percent are left",
        ("kind", "percent"), counts,
    )  # fmt: skip


def campaign_gauges(store: Store) -> Iterator[Metric]:
    """Yield where the campaigns' bytes came from and are, all together. Raises UnavailableError."""
    with store.cursor() as cursor:
        sums = spend_queries.campaign_sums(cursor)
    yield gauge(
        "databank_campaign_bytes", "Bytes of all campaigns and their quotas by term", ("term",),
        {(term,): amount for term, amount in sums.items()},
    )  # fmt: skip


def worker_gauges(
    store: Store, readers: Mapping[str, LogReader], counts: dict[str, Counts]
) -> Iterator[Metric]:
    """Yield how far the inboxes are. Raises UnavailableError."""
    yield inbox_metrics(counts)
    with store.cursor() as cursor:
        positions = positions_of(cursor, list(VIEWS))
    yield gauge(
        "databank_inbox_lag_events", "Sequence numbers that a consumer is behind a log",
        ("consumer", "log"), _lags(readers, positions),
    )  # fmt: skip


def _lags(readers: Mapping[str, LogReader], positions: dict[str, Sequences]) -> Lags:
    """Return how far each view is behind the logs that it follows, of services that answer."""
    lags: Lags = {}
    for service, reader in readers.items():
        own = {name: positions[name] for name in VIEWS if VIEWS[name].service == service}
        lags |= lags_behind_each([reader], LANE, own)
    return lags
