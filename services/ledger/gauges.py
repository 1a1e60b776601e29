"""What the ledger reads from its database when Prometheus asks."""

from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric
from psycopg.rows import tuple_row

from services.ledger.bank import Bank
from services.ledger.partition import Partition
from shared.bus import parking
from shared.bus.inbox import Counts
from shared.bus.stored_log import LocalLogReader
from shared.bus.types import LogReader
from shared.metrics import gauge, head_gauge, inbox_metrics, lags_behind_each, relay_gauges

SAGAS = "sagas"


def web_gauges(bank: Bank) -> Iterator[Metric]:
    """Yield how long the logs are and what is parked. Raises UnavailableError."""
    yield head_gauge(bank.logs)
    parked = {(each.name,): _count_parked(each) for each in bank.ledger.partitions}
    yield gauge(
        "databank_parked_events", "Events put aside that wait for a retry", ("consumer",), parked
    )


def worker_gauges(
    bank: Bank, remote: Sequence[LogReader], counts: dict[str, Counts], *, relays: bool
) -> Iterator[Metric]:
    """Yield how far inboxes, and relays if there are any, are. Raises UnavailableError."""
    readers = [LocalLogReader(bank.logs), *remote]
    sources = [source for reader in readers for source in reader.sources()]
    positions = {
        each.name: {source: each.position(source) for source in sources} for each in bank.consumers
    }
    yield gauge(
        "databank_inbox_lag_events", "Sequence numbers that a consumer is behind a log",
        ("consumer", "log"), lags_behind_each(readers, SAGAS, positions),
    )  # fmt: skip
    yield inbox_metrics(counts)
    if relays:
        stored = map(_relay_positions, bank.ledger.partitions)
        yield from relay_gauges(zip(bank.logs, stored, strict=True))


def _count_parked(partition: Partition) -> int:
    with partition.connection() as conn:
        return parking.count_parked(conn.cursor())


def _relay_positions(partition: Partition) -> dict[str, int]:
    with partition.connection() as conn:
        return dict(
            conn.cursor(row_factory=tuple_row)
            .execute("SELECT lane, sequence FROM relay_positions")
            .fetchall()
        )
