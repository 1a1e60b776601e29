"""What the ledger reads from its database when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from psycopg.rows import tuple_row

from services.ledger.bank import Bank
from services.ledger.partition import Partition
from shared.bus.inbox import Counts
from shared.bus.stored_log import LocalLogReader
from shared.bus.types import LogReader
from shared.contracts.envelope import LANES
from shared.metrics import gauge, inbox_metrics, lags_behind_each

SAGAS = "sagas"


def web_gauges(bank: Bank) -> Iterator[Metric]:
    """Yield how long the logs are and what is parked. Raises UnavailableError."""
    heads = {(log.name, lane): log.head(lane) for log in bank.logs for lane in LANES}
    yield gauge(
        "databank_log_head", "Sequence of the last event of a log's lane", ("log", "lane"), heads
    )
    parked = {(each.name,): _count_parked(each) for each in bank.ledger.partitions}
    yield gauge(
        "databank_parked_events", "Events put aside that wait for a retry", ("consumer",), parked
    )


def worker_gauges(
    bank: Bank, gifts: LogReader, counts: dict[str, Counts], *, relays: bool
) -> Iterator[Metric]:
    """Yield how far inboxes, and relays if there are any, are. Raises UnavailableError."""
    readers = [LocalLogReader(bank.logs), gifts]
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
        yield from _relay_gauges(bank)


def _relay_gauges(bank: Bank) -> Iterator[Metric]:
    position: dict[tuple[str, ...], int] = {}
    lag: dict[tuple[str, ...], int] = {}
    for partition, log in zip(bank.ledger.partitions, bank.logs, strict=True):
        stored = _relay_positions(partition)
        for lane in LANES:
            position[log.name, lane] = stored.get(lane, 0)
            lag[log.name, lane] = max(0, log.head(lane) - stored.get(lane, 0))
    text = "Sequence up to which the broker has confirmed a log's lane"
    yield gauge("databank_relay_position", text, ("log", "lane"), position)
    text = "Sequence numbers that are stored and not yet published"
    yield gauge("databank_relay_lag_events", text, ("log", "lane"), lag)


def _count_parked(partition: Partition) -> int:
    with partition.connection() as conn:
        row = conn.cursor(row_factory=tuple_row).execute("SELECT count(*) FROM parked").fetchone()
    return int(row[0]) if row else 0


def _relay_positions(partition: Partition) -> dict[str, int]:
    with partition.connection() as conn:
        return dict(
            conn.cursor(row_factory=tuple_row)
            .execute("SELECT lane, sequence FROM relay_positions")
            .fetchall()
        )
