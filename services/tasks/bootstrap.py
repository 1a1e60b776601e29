"""The only place that puts tasks' parts together."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

from flask import Flask
from prometheus_client.metrics_core import Metric

from services.tasks import (
    api,
    campaigns_api,
    completions_api,
    lists_api,
    partners_api,
    supply_api,
    tasks_api,
)
from services.tasks.application import Tasks
from services.tasks.bank import Bank
from services.tasks.domain.tasks.rules import TaskRules, built_in_rules, read_rules
from services.tasks.gauges import web_gauges, worker_gauges
from services.tasks.jobs import run_jobs
from services.tasks.offers import HttpLedger, Ledger
from services.tasks.questions import OtherServices
from services.tasks.store import Store
from shared import http
from shared.auth import Tokens
from shared.bus.doorbell import Doorbell
from shared.bus.http_reader import HttpLogReader
from shared.bus.inbox import Counts
from shared.bus.runner import Subscription, start_consumers, start_relays
from shared.bus.stored_log import StoredLog
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.collector import collect_rarely
from shared.config import Settings, load_settings
from shared.contracts.envelope import decode_raw_batch, source_of
from shared.contracts.ledger import (
    DataClawedBack,
    DataReceived,
    TransferRefused,
    TransferReturned,
)
from shared.contracts.tasks import SAGA_TYPES
from shared.errors import DatabankError, InvalidError
from shared.ids import TASKS_LOG, log_name
from shared.log_api import log_blueprint
from shared.logs import configure_logs
from shared.rulebook import Rulebook
from shared.sagas.inbox import LedgerConsumer
from shared.worker import serve_face

QUEUE = "tasks.00"
# What ends a claim, a funding, an issue or a clawback; departures, the most of all, end nothing.
HEARS = frozenset(
    kind.TYPE for kind in (DataReceived, TransferRefused, TransferReturned, DataClawedBack)
)


def make_bank(
    settings: Settings, clock: BankClock | None = None, ledger: Ledger | None = None
) -> Bank:
    """Put the parts together; nothing connects before it is used."""
    calendar = Calendar(settings.bank_timezone)
    clock = clock or BankClock(settings.clock_file)
    conninfo = settings.tasks_database_url
    store = Store(
        conninfo, clock=clock, calendar=calendar,
        rulebook=load_rules(settings.tasks_rules_file, calendar),
    )  # fmt: skip
    doorbell = Doorbell(conninfo)
    ledger = ledger or HttpLedger(settings.ledger_url, settings.service_token)
    others = OtherServices(settings.ledger_url, settings.gateway_url, settings.service_token)
    tasks = Tasks(store, ledger, doorbell, others, neutral=settings.bank_content_neutral)
    source = source_of(settings.bank_id, settings.bank_epoch, TASKS_LOG)
    return Bank(
        bank_id=settings.bank_id,
        epoch=settings.bank_epoch,
        calendar=calendar,
        clock=clock,
        tasks=tasks,
        log=StoredLog(TASKS_LOG, source, store.connection, SAGA_TYPES),
        consumer=LedgerConsumer(store, lambda: tasks.writer, HEARS),
        doorbell=doorbell,
    )


def load_rules(path: str, calendar: Calendar) -> Rulebook[TaskRules]:
    """Return the rules of a file, the built-in ones without. Raises InvalidError."""
    if not path:
        return built_in_rules()
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InvalidError(f"TASKS_RULES_FILE cannot be read: {error}") from error
    return read_rules(text, calendar)


def create_app() -> Flask:
    """Make the web process's app from the environment."""
    settings = load_settings()
    configure_logs("tasks-web", settings.log_level)
    bank = make_bank(settings)
    bank.doorbell.start()
    app = make_app(bank, Tokens(settings.accepted_tokens))
    collect_rarely()
    return app


def make_app(bank: Bank, tokens: Tokens) -> Flask:
    """Make the web process's app."""
    app = Flask("tasks")
    app.extensions["bank"] = bank
    http.install(app, "tasks", tokens, lambda: ready(bank), lambda: web_gauges(bank))
    for routes in (
        api, partners_api, supply_api, lists_api, campaigns_api, tasks_api, completions_api,
    ):  # fmt: skip
        app.register_blueprint(routes.blueprint)
    app.register_blueprint(log_blueprint(api.served))
    return app


def ready(bank: Bank) -> dict[str, str]:
    """Return the state of each part that tasks needs; without the ledger it still takes claims."""
    try:
        with bank.tasks.store.connection() as conn:
            conn.execute("SELECT 1 FROM campaigns LIMIT 1")
    except DatabankError as error:
        return {"database": error.detail}
    return {"database": "ok"}


def run_worker(stop: Event) -> None:
    """Run relay, inbox and jobs until `stop` is set."""
    settings = load_settings()
    configure_logs("tasks-worker", settings.log_level)
    bank = make_bank(settings)
    jobs = Thread(target=run_jobs, args=(bank, stop), name="jobs", daemon=True)
    jobs.start()
    bank.doorbell.start()
    conninfo = settings.tasks_database_url
    relays = start_relays(settings, [bank.log], conninfo, stop, bell=bank.doorbell)
    counts: dict[str, Counts] = {}
    reader = ledger_reader(settings)
    subscription = Subscription(QUEUE, ["ledger.*.sagas"], [bank.consumer])
    consumers = start_consumers(settings, [subscription], reader, stop, counts=counts)

    def parts() -> dict[str, str]:
        return ready(bank) | consumers.ready() | relays.ready()

    def gauges() -> Iterator[Metric]:
        return worker_gauges(bank, reader, counts, relays=bool(settings.amqp_url))

    collect_rarely()
    with serve_face("tasks", settings, settings.tasks_worker_port, parts, gauges):
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
