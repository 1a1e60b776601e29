"""The only place that puts the gateway's parts together."""

from collections.abc import Iterator, Mapping
from threading import Event

from flask import Flask
from prometheus_client.metrics_core import Metric

from services.gateway import api, audiences_api, metrics, spending_api
from services.gateway.application import Gateway
from services.gateway.catalogue import SERVICES, VIEWS
from services.gateway.store import Store
from shared import http
from shared.auth import Tokens
from shared.bus.http_reader import HttpLogReader
from shared.bus.inbox import Counts
from shared.bus.runner import Subscription, Threads, start_consumers
from shared.bus.types import LogReader
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.collector import collect_rarely
from shared.config import Settings, load_settings
from shared.contracts.envelope import decode_raw_batch, source_of
from shared.errors import DatabankError, UnavailableError
from shared.ids import GIFTING_LOG, TASKS_LOG
from shared.logs import configure_logs, logger
from shared.worker import serve_face

CLEAN_UP_EVERY_S = 1.0
# A queue for each service that is followed, so that one's events cost the others' views nothing.
QUEUES = {"ledger": "gateway", "gifting": "gateway.gifts", "tasks": "gateway.tasks"}


def make_gateway(settings: Settings, readers: Mapping[str, LogReader] | None = None) -> Gateway:
    """Put the parts together; nothing connects before it is used."""
    return Gateway(
        Store(settings.gateway_database_url, overflow=5),
        readers or make_readers(settings),
        BankClock(settings.clock_file),
        Calendar(settings.bank_timezone),
        bank_id=settings.bank_id,
        epoch=settings.bank_epoch,
    )


def make_readers(settings: Settings) -> dict[str, LogReader]:
    """Return a reader of each service's logs; a log of one's own is known while that is away."""
    token, bank, epoch = settings.service_token, settings.bank_id, settings.bank_epoch
    alone = {
        "gifting": (settings.gifting_url, GIFTING_LOG), "tasks": (settings.tasks_url, TASKS_LOG),
    }  # fmt: skip
    readers: dict[str, LogReader] = {
        "ledger": HttpLogReader(settings.ledger_url, token, decode=decode_raw_batch)
    }
    for service, (url, log) in alone.items():
        known = [source_of(bank, epoch, log)]
        readers[service] = HttpLogReader(url, token, decode=decode_raw_batch, sources=known)
    return readers


def create_app() -> Flask:
    """Make the web process's app from the environment."""
    settings = load_settings()
    configure_logs("gateway-web", settings.log_level)
    app = make_app(make_gateway(settings), Tokens(settings.accepted_tokens))
    collect_rarely()
    return app


def make_app(gateway: Gateway, tokens: Tokens) -> Flask:
    """Make the web process's app."""
    app = Flask("gateway")
    app.extensions["gateway"] = gateway
    http.install(app, "gateway", tokens, lambda: ready(gateway), lambda: web_gauges(gateway))
    app.register_blueprint(api.blueprint)
    app.register_blueprint(audiences_api.blueprint)
    app.register_blueprint(spending_api.blueprint)
    return app


def web_gauges(gateway: Gateway) -> Iterator[Metric]:
    """Return what the web process reads when Prometheus asks."""
    return metrics.web_gauges(gateway.store, gateway.readers, gateway.clock)


def ready(gateway: Gateway) -> dict[str, str]:
    """Return the state of each part that the gateway needs."""
    try:
        return gateway.ready()
    except DatabankError as error:
        return {"database": error.detail}


def run_worker(stop: Event) -> None:
    """Follow the services' logs until `stop` is set."""
    settings = load_settings()
    configure_logs("gateway-worker", settings.log_level)
    gateway = make_gateway(settings)
    counts: dict[str, Counts] = {}
    following: dict[str, Threads] = {}

    def parts() -> dict[str, str]:
        states = ready(gateway)
        for service in SERVICES:
            threads = following.get(service)
            followed = {"consumers": "not started"} if threads is None else threads.ready()
            prefix = "" if service == "ledger" else f"{service}-"
            states |= {f"{prefix}{name}": state for name, state in followed.items()}
        return states

    def gauges() -> Iterator[Metric]:
        return metrics.worker_gauges(gateway.store, gateway.readers, counts)

    collect_rarely()
    with serve_face("gateway", settings, settings.gateway_worker_port, parts, gauges):
        clean_up(gateway, stop)
        for service, queue in QUEUES.items():
            own = [each for each in gateway.consumers if each.view.service == service]
            views = Subscription(queue, [f"{service}.*.all"], own)
            following[service] = start_consumers(
                settings, [views], gateway.readers[service], stop, counts=counts
            )
        stop.wait()
    for threads in following.values():
        threads.join()


def clean_up(gateway: Gateway, stop: Event) -> None:
    """Remove what killed rebuilds have left, as soon as the database is there."""
    while not stop.is_set():
        try:
            for name in VIEWS:
                gateway.make_rebuild(name).clean_up()
        except UnavailableError as error:
            logger().warning("gateway_waits", error=str(error))
            stop.wait(CLEAN_UP_EVERY_S)
        else:
            return
