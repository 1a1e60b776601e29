"""The only place that puts the ledger's parts together."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread

from flask import Flask
from prometheus_client.metrics_core import Metric

from services.ledger import api, gifting_api, offers_api, rules_api
from services.ledger.application import Ledger
from services.ledger.bank import Bank
from services.ledger.gauges import web_gauges, worker_gauges
from services.ledger.integration import PartitionConsumer
from services.ledger.jobs import parse_close_at, run_jobs
from services.ledger.log import PartitionLog
from services.ledger.partition import Partition
from services.ledger.rules import BUILT_IN, load_rules
from shared import http
from shared.auth import Tokens
from shared.bus.doorbell import Doorbell
from shared.bus.http_reader import HttpLogReader
from shared.bus.inbox import Counts
from shared.bus.runner import Subscription, start_consumers, start_relays
from shared.bus.stored_log import LocalLogReader
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.collector import collect_rarely
from shared.config import Settings, load_settings
from shared.contracts.envelope import source_of
from shared.errors import DatabankError
from shared.front import Front
from shared.ids import GIFTING_LOG, TASKS_LOG
from shared.log_api import log_blueprint
from shared.logs import configure_logs
from shared.worker import serve_face

# What every partition follows: the other partitions' sagas, gifting's and tasks'.
SAGAS = ("ledger.*.sagas", "gifting.*.sagas", "tasks.*.sagas")


def make_bank(settings: Settings) -> Bank:
    """Put the parts together; nothing connects before it is used."""
    calendar = Calendar(settings.bank_timezone)
    clock = BankClock(settings.clock_file)
    rulebook = load_rules(Path(settings.ledger_rules_file or BUILT_IN), calendar)
    parse_close_at(settings.bank_close_at)  # Refused now, not in the night of the close.
    conninfo = settings.ledger_database_url
    partitions = [
        Partition(number, conninfo, clock=clock, calendar=calendar, rulebook=rulebook)
        for number in range(settings.ledger_partitions)
    ]
    ledger = Ledger(partitions)
    return Bank(
        bank_id=settings.bank_id,
        epoch=settings.bank_epoch,
        sandbox=settings.bank_sandbox,
        close_at=settings.bank_close_at,
        calendar=calendar,
        clock=clock,
        ledger=ledger,
        logs=[PartitionLog(p, settings.bank_id, settings.bank_epoch) for p in partitions],
        consumers=[PartitionConsumer(ledger, partition) for partition in partitions],
        doorbell=Doorbell(conninfo),
    )


def create_app() -> Front:
    """Make the web process's app from the environment."""
    settings = load_settings()
    configure_logs("ledger-web", settings.log_level)
    bank = make_bank(settings)
    tokens = Tokens(settings.accepted_tokens)
    bank.doorbell.start()
    app = Flask("ledger")
    app.extensions["bank"] = bank
    http.install(app, "ledger", tokens, lambda: ready(bank), lambda: web_gauges(bank))
    app.register_blueprint(api.blueprint)
    app.register_blueprint(rules_api.blueprint)
    app.register_blueprint(gifting_api.blueprint)
    app.register_blueprint(offers_api.blueprint)
    app.register_blueprint(log_blueprint(api.served))
    collect_rarely()
    commands = partial(api.answer_commands, bank.ledger, bank.epoch)
    return Front(app, tokens, {"/v1/commands": commands})


def ready(bank: Bank) -> dict[str, str]:
    """Return the state of each part that the ledger needs."""
    try:
        for partition in bank.ledger.partitions:
            with partition.connection() as conn:
                conn.execute("SELECT 1 FROM account_state LIMIT 1")
    except DatabankError as error:
        return {"database": error.detail}
    return {"database": "ok"}


def saga_readers(settings: Settings) -> list[HttpLogReader]:
    """Return readers of gifting's and tasks' logs, known also while nobody answers there."""
    return [
        HttpLogReader(
            url, settings.service_token,
            sources=[source_of(settings.bank_id, settings.bank_epoch, log)],
        )
        for url, log in ((settings.gifting_url, GIFTING_LOG), (settings.tasks_url, TASKS_LOG))
    ]  # fmt: skip


def run_worker(stop: Event) -> None:
    """Run relay, inbox and jobs until `stop` is set."""
    settings = load_settings()
    configure_logs("ledger-worker", settings.log_level)
    bank = make_bank(settings)
    jobs = Thread(target=run_jobs, args=(bank, stop), name="jobs", daemon=True)
    jobs.start()
    subscriptions = [
        Subscription(f"ledger.{consumer.name[-2:]}", SAGAS, [consumer])
        for consumer in bank.consumers
    ]
    bank.doorbell.start()
    relays = start_relays(
        settings, bank.logs, settings.ledger_database_url, stop, bell=bank.doorbell
    )
    reader = LocalLogReader(bank.logs)
    remote = saga_readers(settings)
    counts: dict[str, Counts] = {}
    consumers = start_consumers(
        settings, subscriptions, reader, stop, bell=bank.doorbell, counts=counts, remote=remote
    )

    def parts() -> dict[str, str]:
        return ready(bank) | consumers.ready() | relays.ready()

    def gauges() -> Iterator[Metric]:
        return worker_gauges(bank, remote, counts, relays=bool(settings.amqp_url))

    collect_rarely()
    with serve_face("ledger", settings, settings.ledger_worker_port, parts, gauges):
        stop.wait()
    consumers.join()
    relays.join()
    jobs.join(timeout=5)
