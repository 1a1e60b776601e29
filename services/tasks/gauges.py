"""What tasks reads from its database when Prometheus asks."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics_core import Metric
from psycopg.rows import tuple_row

from services.tasks.bank import Bank
from shared.bus.inbox import Counts
from shared.bus.types import LogReader
from shared.metrics import gauge, head_gauge, inbox_metrics, lags_behind, relay_gauges

SAGAS = "sagas"
CAMPAIGNS = "SELECT state, count(*) FROM campaigns WHERE state <> 'ended' GROUP BY state"
OFFERS = "SELECT count(*) FROM campaigns WHERE offer_known < offer_version"


def web_gauges(bank: Bank) -> Iterator[Metric]:
    """Yield how long the log is, what campaigns there are, what is parked.

    Raises UnavailableError.
    """
    yield head_gauge([bank.log])
    yield gauge(
        "databank_tasks_campaigns", "Campaigns that have not ended, by state", ("state",),
        {(state,): count for state, count in _rows(bank, CAMPAIGNS)},
    )  # fmt: skip
    [(waiting,)] = _rows(bank, OFFERS)
    yield gauge(
        "databank_tasks_offers_unknown", "Offers that the ledger does not know yet", (),
        {(): waiting},
    )  # fmt: skip
    [(parked,)] = _rows(bank, "SELECT count(*) FROM parked")
    yield gauge(
        "databank_parked_events", "Events put aside that wait for a retry", ("consumer",),
        {(bank.consumer.name,): parked},
    )  # fmt: skip


def worker_gauges(
    bank: Bank, reader: LogReader, counts: dict[str, Counts], *, relays: bool
) -> Iterator[Metric]:
    """Yield how far the inbox, and the relay if there is one, are. Raises UnavailableError."""
    yield inbox_metrics(counts)
    positions = {source: bank.consumer.position(source) for source in reader.sources()}
    yield gauge(
        "databank_inbox_lag_events", "Sequence numbers that a consumer is behind a log",
        ("consumer", "log"), lags_behind(reader, SAGAS, {bank.consumer.name: positions}),
    )  # fmt: skip
    if relays:
        stored = dict(_rows(bank, "SELECT lane, sequence FROM relay_positions"))
        yield from relay_gauges([(bank.log, stored)])


def _rows(bank: Bank, statement: str) -> list[Any]:
    with bank.tasks.store.connection() as conn:
        return conn.cursor(row_factory=tuple_row).execute(statement).fetchall()
