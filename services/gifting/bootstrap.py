"""The only place that puts gifting's parts together."""

from threading import Event

from flask import Flask

from services.gifting import api, asks_api, packets_api
from services.gifting.application import Gifting
from services.gifting.bank import Bank
from services.gifting.domain.rules import built_in_rules, read_rules
from services.gifting.gauges import web_gauges
from services.gifting.jobs import run_jobs
from services.gifting.ledger import HttpLedger, Ledger
from services.gifting.store import Store
from shared import http
from shared.auth import Tokens
from shared.bus.doorbell import Doorbell
from shared.bus.stored_log import StoredLog
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.collector import collect_rarely
from shared.config import Settings, load_settings
from shared.contracts.envelope import source_of
from shared.contracts.gifting import SAGA_TYPES
from shared.errors import DatabankError
from shared.ids import GIFTING_LOG
from shared.log_api import log_blueprint
from shared.logs import configure_logs
from shared.sagas.inbox import LedgerConsumer
from shared.sagas.serving import rules_in, serve


def make_bank(
    settings: Settings, clock: BankClock | None = None, ledger: Ledger | None = None
) -> Bank:
    """Put the parts together; nothing connects before it is used."""
    calendar = Calendar(settings.bank_timezone)
    clock = clock or BankClock(settings.clock_file)
    conninfo = settings.gifting_database_url
    rules = rules_in(
        settings.gifting_rules_file, "GIFTING_RULES_FILE",
        lambda text: read_rules(text, calendar), built_in_rules(),
    )  # fmt: skip
    store = Store(
        conninfo, clock=clock, calendar=calendar,
        rulebook=rules,
    )  # fmt: skip
    doorbell = Doorbell(conninfo)
    ledger = ledger or HttpLedger(settings.ledger_url, settings.service_token)
    gifting = Gifting(store, ledger, doorbell)
    source = source_of(settings.bank_id, settings.bank_epoch, GIFTING_LOG)
    return Bank(
        bank_id=settings.bank_id,
        epoch=settings.bank_epoch,
        calendar=calendar,
        clock=clock,
        gifting=gifting,
        log=StoredLog(GIFTING_LOG, source, store.connection, SAGA_TYPES),
        consumer=LedgerConsumer(store, lambda: gifting.writer),
        doorbell=doorbell,
    )


def create_app() -> Flask:
    """Make the web process's app from the environment."""
    settings = load_settings()
    configure_logs("gifting-web", settings.log_level)
    bank = make_bank(settings)
    bank.doorbell.start()
    app = make_app(bank, Tokens(settings.accepted_tokens))
    collect_rarely()
    return app


def make_app(bank: Bank, tokens: Tokens) -> Flask:
    """Make the web process's app."""
    app = Flask("gifting")
    app.extensions["bank"] = bank
    http.install(app, "gifting", tokens, lambda: ready(bank), lambda: web_gauges(bank))
    for routes in (api, packets_api, asks_api):
        app.register_blueprint(routes.blueprint)
    app.register_blueprint(api.operating)
    app.register_blueprint(log_blueprint(api.served))
    return app


def ready(bank: Bank) -> dict[str, str]:
    """Return the state of each part that gifting needs; without the ledger it still takes gifts."""
    try:
        with bank.gifting.store.connection() as conn:
            conn.execute("SELECT 1 FROM gifts LIMIT 1")
    except DatabankError as error:
        return {"database": error.detail}
    return {"database": "ok"}


def run_worker(stop: Event) -> None:
    """Run relay, inbox and jobs until `stop` is set."""
    settings = load_settings()
    configure_logs("gifting-worker", settings.log_level)
    bank = make_bank(settings)
    serve("gifting", settings, bank, stop, ready=ready, run_jobs=run_jobs)
