"""The worker of a service with turns: relay, inbox of the ledger's sagas, jobs, metrics."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol, TypeVar

from prometheus_client.metrics_core import Metric

from shared.bus.doorbell import Doorbell
from shared.bus.http_reader import HttpLogReader
from shared.bus.inbox import Counts
from shared.bus.runner import Subscription, start_consumers, start_relays
from shared.bus.stored_log import StoredLog
from shared.bus.types import LogReader
from shared.collector import collect_rarely
from shared.config import Settings
from shared.contracts.envelope import decode_raw_batch, source_of
from shared.errors import InvalidError
from shared.ids import log_name
from shared.metrics import gauge, inbox_metrics, lags_behind, relay_gauges
from shared.sagas.inbox import LedgerConsumer
from shared.sagas.store import SagaStore
from shared.worker import serve_face

SAGAS = "sagas"
B = TypeVar("B", bound="Served")
R = TypeVar("R")


class Served(Protocol):
    """The parts of a service that its worker runs."""

    @property
    def log(self) -> StoredLog:
        """Return the service's log."""
        ...

    @property
    def consumer(self) -> LedgerConsumer:
        """Return the inbox."""
        ...

    @property
    def store(self) -> SagaStore[Any]:
        """Return the database."""
        ...

    @property
    def doorbell(self) -> Doorbell:
        """Return what rings at each commit."""
        ...


def rules_in(path: str, variable: str, read: Callable[[bytes], R], built_in: R) -> R:
    """Return the rules of the file that a variable names, the built-in ones without.

    Raises InvalidError.
    """
    if not path:
        return built_in
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InvalidError(f"{variable} cannot be read: {error}") from error
    return read(text)


def serve(
    name: str, settings: Settings, bank: B, stop: Event, *,
    ready: Callable[[B], dict[str, str]], run_jobs: Callable[[B, Event], None],
) -> None:  # fmt: skip
    """Run relay, inbox and jobs of the service of this name until `stop` is set."""
    jobs = Thread(target=run_jobs, args=(bank, stop), name="jobs", daemon=True)
    jobs.start()
    bank.doorbell.start()
    conninfo = getattr(settings, f"{name}_database_url")
    relays = start_relays(settings, [bank.log], conninfo, stop, bell=bank.doorbell)
    counts: dict[str, Counts] = {}
    reader = ledger_reader(settings)
    subscription = Subscription(f"{name}.00", ["ledger.*.sagas"], [bank.consumer])
    consumers = start_consumers(settings, [subscription], reader, stop, counts=counts)

    def parts() -> dict[str, str]:
        return ready(bank) | consumers.ready() | relays.ready()

    def gauges() -> Iterator[Metric]:
        return worker_gauges(bank, reader, counts, relays=bool(settings.amqp_url))

    collect_rarely()
    with serve_face(name, settings, getattr(settings, f"{name}_worker_port"), parts, gauges):
        stop.wait()
    consumers.join()
    relays.join()
    jobs.join(timeout=5)


def ledger_reader(settings: Settings) -> HttpLogReader:
    """Return a reader of the ledger's logs, whose names are known though it be away."""
    sources = [
        source_of(settings.bank_id, settings.bank_epoch, log_name(partition))
        for partition in range(settings.ledger_partitions)
    ]
    return HttpLogReader(
        settings.ledger_url, settings.service_token, decode=decode_raw_batch, sources=sources
    )


def worker_gauges(
    bank: Served, reader: LogReader, counts: dict[str, Counts], *, relays: bool
) -> Iterator[Metric]:
    """Yield how far the inbox, and the relay if there is one, are. Raises UnavailableError."""
    yield inbox_metrics(counts)
    positions = {source: bank.consumer.position(source) for source in reader.sources()}
    yield gauge(
        "databank_inbox_lag_events", "Sequence numbers that a consumer is behind a log",
        ("consumer", "log"), lags_behind(reader, SAGAS, {bank.consumer.name: positions}),
    )  # fmt: skip
    if relays:
        stored = dict(bank.store.rows("SELECT lane, sequence FROM relay_positions"))
        yield from relay_gauges([(bank.log, stored)])


def parked_gauge(bank: Served) -> Metric:
    """Return how many events are put aside. Raises UnavailableError."""
    [(parked,)] = bank.store.rows("SELECT count(*) FROM parked")
    return gauge(
        "databank_parked_events", "Events put aside that wait for a retry", ("consumer",),
        {(bank.consumer.name,): parked},
    )  # fmt: skip
