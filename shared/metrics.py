"""What every process tells Prometheus: counters kept as it works, gauges read when asked.

Metrics that a service counts itself are in `services/<service>/metrics.py`. A gauge that the
database knows (positions, parked events) is read at each scrape, so that it costs nothing between.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shared.bus.inbox import Counts
from shared.bus.types import Log, LogReader
from shared.contracts.envelope import LANES, log_of
from shared.errors import DatabankError, UnavailableError
from shared.logs import logger

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
Measure = Callable[[], Iterable[Metric]]
"""Returns what is read at a scrape. May raise UnavailableError: then there is nothing to tell."""
Lags = dict[tuple[str, str], int]
"""How many sequence numbers a consumer is behind a log, by consumer and log."""

# When a series began is of no use here and doubles their number.
disable_created_metrics()  # type: ignore[no-untyped-call]

HTTP_SECONDS_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

HTTP_REQUESTS = Counter(
    "databank_http_requests", "Requests answered", ["route", "method", "status"]
)
HTTP_SECONDS = Histogram(
    "databank_http_request_seconds",
    "Time until an answer begins; a log's long poll waits on purpose",
    ["route"],
    buckets=HTTP_SECONDS_BUCKETS,
)


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request that was answered."""
    count, duration = _of_requests(route, method, status)
    count.inc()
    duration.observe(seconds)


@lru_cache(maxsize=1_000)
def _of_requests(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Return a route's own metrics; to look them up costs more than to count."""
    return HTTP_REQUESTS.labels(route, method, str(status)), HTTP_SECONDS.labels(route)


def exposition(ready: dict[str, str], measure: Measure) -> bytes:
    """Return everything in Prometheus' text format; gauges only where every part is ready."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_AtScrape(ready, measure))
    return generate_latest(REGISTRY) + generate_latest(registry)


def nothing() -> Iterable[Metric]:
    """Measure nothing."""
    return ()


def gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, int]) -> Metric:
    """Return a gauge with a value for each tuple of label values."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for where, value in values.items():
        family.add_metric(where, value)
    return family


def inbox_metrics(counts: dict[str, Counts]) -> Metric:
    """Return what inboxes have counted since their process began.

    Without a broker one inbox serves every queue: it is told once, as the queue `all`.
    """
    family = CounterMetricFamily(
        "databank_inbox_events", "What became of what inboxes received", labels=("queue", "what")
    )
    shared = len({id(each) for each in counts.values()}) < len(counts)
    for queue, each in list(counts.items())[: 1 if shared else None]:
        for what in each.__struct_fields__:
            family.add_metric(("all" if shared else queue, what), getattr(each, what))
    return family


def lags_behind(reader: LogReader, lane: str, positions: dict[str, dict[str, int]]) -> Lags:
    """Return how far consumers are behind each log's head; `positions` by consumer and source."""
    heads = {source: reader.head(source, lane) for source in reader.sources()}
    return {
        (consumer, log_of(source)): max(0, head - reached.get(source, 0))
        for consumer, reached in positions.items()
        for source, head in heads.items()
    }


def lags_behind_each(
    readers: Iterable[LogReader], lane: str, positions: dict[str, dict[str, int]]
) -> Lags:
    """Do `lags_behind` for each producer; of one that is away nothing can be told."""
    lags: Lags = {}
    for reader in readers:
        with suppress(UnavailableError):
            lags |= lags_behind(reader, lane, positions)
    return lags


def head_gauge(logs: Iterable[Log]) -> Metric:
    """Return how long logs are, lane by lane. Raises UnavailableError."""
    heads = {(log.name, lane): log.head(lane) for log in logs for lane in LANES}
    text = "Sequence of the last event of a log's lane"
    return gauge("databank_log_head", text, ("log", "lane"), heads)


def relay_gauges(stored: Iterable[tuple[Log, Mapping[str, int]]]) -> Iterator[Metric]:
    """Yield how far the relays of logs are, by what is stored for each lane."""
    position: dict[tuple[str, ...], int] = {}
    lag: dict[tuple[str, ...], int] = {}
    for log, lanes in stored:
        for lane in LANES:
            position[log.name, lane] = lanes.get(lane, 0)
            lag[log.name, lane] = max(0, log.head(lane) - lanes.get(lane, 0))
    text = "Sequence up to which the broker has confirmed a log's lane"
    yield gauge("databank_relay_position", text, ("log", "lane"), position)
    text = "Sequence numbers that are stored and not yet published"
    yield gauge("databank_relay_lag_events", text, ("log", "lane"), lag)


class _AtScrape(Collector):
    """Readiness, and what is read at a scrape; a part that is away makes no failed scrape."""

    def __init__(self, ready: dict[str, str], measure: Measure) -> None:
        self._ready = ready
        self._measure = measure

    def collect(self) -> Iterator[Metric]:
        states = {(part,): int(state == "ok") for part, state in self._ready.items()}
        yield gauge("databank_ready", "1 where a part that this needs is there", ("part",), states)
        if not all(states.values()):
            return
        try:
            yield from list(self._measure())
        except DatabankError as error:
            logger().warning("scrape_incomplete", error=error.detail)
