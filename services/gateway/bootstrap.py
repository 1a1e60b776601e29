"""The only place that puts the gateway's parts together."""

from threading import Event

from flask import Flask

from services.gateway import api
from services.gateway.application import Gateway
from services.gateway.consumers import Store, ViewConsumer
from services.gateway.views import BalancesView, PartnerSpendView, TrialBalanceView
from shared import http
from shared.auth import Tokens
from shared.bus.http_reader import HttpLogReader
from shared.bus.runner import Subscription, run_consumers
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.config import Settings, load_settings
from shared.db import make_pool
from shared.logs import configure_logs

POOL_OVERFLOW = 8


def make_gateway(settings: Settings, reader: HttpLogReader) -> Gateway:
    """Put the parts together; nothing connects before it is used."""
    calendar = Calendar(settings.bank_timezone)
    clock = BankClock(settings.clock_file)
    pool = make_pool(settings.gateway_database_url, schema="gateway", overflow=POOL_OVERFLOW)
    store = Store(pool)
    views = (BalancesView(), PartnerSpendView(calendar), TrialBalanceView())
    return Gateway(
        bank_id=settings.bank_id,
        epoch=settings.bank_epoch,
        store=store,
        reader=reader,
        consumers=[ViewConsumer(view, store, clock) for view in views],
        calendar=calendar,
        clock=clock,
    )


def create_app() -> Flask:
    """Make the web process's app from the environment."""
    settings = load_settings()
    configure_logs("gateway-web", settings.log_level)
    gateway = make_gateway(settings, HttpLogReader(settings.ledger_url, settings.service_token))
    app = Flask("gateway")
    app.extensions["gateway"] = gateway
    http.install(app, "gateway", Tokens(settings.accepted_tokens), gateway.ready)
    app.register_blueprint(api.blueprint)
    return app


def run_worker(stop: Event) -> None:
    """Let the views follow the logs until `stop` is set."""
    settings = load_settings()
    configure_logs("gateway-worker", settings.log_level)
    reader = HttpLogReader(settings.ledger_url, settings.service_token)
    consumers = list(make_gateway(settings, reader).consumers.values())
    subscription = Subscription(queue="gateway", bindings=["ledger.*.all"], consumers=consumers)
    run_consumers(settings, [subscription], reader, stop)
