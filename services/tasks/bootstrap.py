"""The only place that puts tasks' parts together."""

from threading import Event

from flask import Flask

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
from services.tasks.domain.tasks.rules import built_in_rules, read_rules
from services.tasks.gauges import web_gauges
from services.tasks.jobs import run_jobs
from services.tasks.offers import HttpLedger, Ledger
from services.tasks.questions import OtherServices
from services.tasks.sealing import Sealer
from services.tasks.store import Store
from shared import http
from shared.auth import Tokens
from shared.bus.doorbell import Doorbell
from shared.bus.stored_log import StoredLog
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.collector import collect_rarely
from shared.config import Settings, load_settings
from shared.contracts.envelope import source_of
from shared.contracts.ledger import (
    DataClawedBack,
    DataReceived,
    TransferRefused,
    TransferReturned,
)
from shared.contracts.tasks import SAGA_TYPES
from shared.errors import DatabankError
from shared.ids import TASKS_LOG
from shared.log_api import log_blueprint
from shared.logs import configure_logs
from shared.sagas.inbox import LedgerConsumer
from shared.sagas.serving import rules_in, serve

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
    rules = rules_in(
        settings.tasks_rules_file, "TASKS_RULES_FILE",
        lambda text: read_rules(text, calendar), built_in_rules(),
    )  # fmt: skip
    store = Store(
        conninfo, clock=clock, calendar=calendar,
        rulebook=rules,
    )  # fmt: skip
    doorbell = Doorbell(conninfo)
    ledger = ledger or HttpLedger(settings.ledger_url, settings.service_token)
    others = OtherServices(settings.ledger_url, settings.gateway_url, settings.service_token)
    sealer = Sealer([key for key in settings.tasks_sealing_keys.split(",") if key])
    tasks = Tasks(store, ledger, doorbell, others, sealer, neutral=settings.bank_content_neutral)
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
    app.register_blueprint(api.operating)
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
    serve("tasks", settings, bank, stop, ready=ready, run_jobs=run_jobs)
