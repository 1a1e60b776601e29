"""4. How far the views are behind the ledger while 2,000 events a second are written.

The commit of a request lies between its sending and its answer; the lag that counts is from the
sending until every view has every event of the request, so it is never too small.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles
from threading import Event, Thread

from infra.cli.client import Service, gateway_of, ledger_of
from shared.positions import Positions, parse_token
from tests.benchmarks.bench import Bench
from tests.benchmarks.brokers import brokers
from tests.benchmarks.results import Row, Target, number
from tests.support.bank import LocalBank

EVENTS_PER_SECOND = 2_000
REQUEST_COMMANDS = 100
ACCOUNTS = 4_000
SENDERS = 8
POLL_S = 0.01
DRAIN_S = 30.0
LAG_S_MAX = 1.0
RATE_SHARE_MIN = 0.97


@dataclass(frozen=True)
class Sent:
    """A request: when it was sent and answered (seconds), and where it stands in the logs."""

    sent: float
    answered: float
    positions: Positions


def measure(bench: Bench) -> list[Row]:
    """Measure the lag over each transport that is at hand."""
    rows = []
    for transport, amqp_url in brokers(bench):
        environment = {"AMQP_URL": amqp_url} if amqp_url else {}
        with bench.running(**environment) as local:
            rows.append(_row(bench, local, transport))
    return rows


def _row(bench: Bench, local: LocalBank, transport: str) -> Row:
    values, rates = [], []
    with ledger_of(local.bank) as ledger, gateway_of(local.bank) as gateway:
        _open_accounts(ledger)
        for each in range(1, bench.plan.runs + 1):
            with bench.step(f"lag over {transport}, run {each} of {bench.plan.runs}"):
                p99, rate = _run(ledger, gateway, local.bank.epoch, each, bench.plan.lag_s)
            bench.say(
                f"lag over {transport}, run {each}: p99 {p99:.3f} s at {number(rate)} events/s"
            )
            values.append(p99)
            rates.append(rate)
    reached = min(rates) >= EVENTS_PER_SECOND * RATE_SHARE_MIN
    note = f"at {number(min(rates))} events/s" + ("" if reached else ": the rate was not reached")
    what = f"views' lag over {transport}, p99 from sending to visible in all views"
    return Row(f"lag-{transport}", what, "s", values, Target(at_most=LAG_S_MAX), note)


def _run(
    ledger: Service, gateway: Service, epoch: int, number_of_run: int, seconds: int
) -> tuple[float, float]:
    """Return the 99th percentile of the lag and the rate that was reached."""
    seen: list[tuple[float, Positions]] = []
    with _watching(gateway, epoch, seen):
        began = time.monotonic()
        requests = _send(ledger, epoch, number_of_run, seconds)
        rate = len(requests) * REQUEST_COMMANDS / (time.monotonic() - began)
        _await(seen, requests)
    lags = [_visible(seen, request) - request.sent for request in requests]
    return quantiles(lags, n=100)[-1], rate


def _send(ledger: Service, epoch: int, number_of_run: int, seconds: int) -> list[Sent]:
    """Send requests at a steady rate, several at once where answers take long."""
    pause = REQUEST_COMMANDS / EVENTS_PER_SECOND
    began = time.monotonic()

    def send(request: int) -> Sent:
        time.sleep(max(0.0, began + request * pause - time.monotonic()))
        first = request * REQUEST_COMMANDS
        commands = [
            {"key": f"lag-{number_of_run}-{each}", "type": "buy", "bytes": 1 << 20,
             "account": _account(each % ACCOUNTS)}
            for each in range(first, first + REQUEST_COMMANDS)
        ]  # fmt: skip
        sent = time.monotonic()
        answer = ledger.post("/v1/commands", {"commands": commands})
        return Sent(sent, time.monotonic(), parse_token(answer.body["position"], epoch))

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(send, range(round(seconds / pause))))


@contextmanager
def _watching(gateway: Service, epoch: int, seen: list[tuple[float, Positions]]) -> Iterator[None]:
    """Note, again and again, how far the slowest view is."""
    stop = Event()

    def watch() -> None:
        while not stop.wait(POLL_S):
            views = gateway.get("/v1/positions")["positions"].values()
            now = time.monotonic()
            seen.append((now, _least([parse_token(view, epoch) for view in views])))

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _least(views: list[Positions]) -> Positions:
    """Return how far the slowest view of each log is; not every view follows every log."""
    logs = {log for view in views for log in view}
    return {log: min(view[log] for view in views if log in view) for log in logs}


def _has(reached: Positions, wanted: Positions) -> bool:
    return all(reached.get(log, 0) >= at for log, at in wanted.items())


def _await(seen: list[tuple[float, Positions]], requests: list[Sent]) -> None:
    deadline = time.monotonic() + DRAIN_S
    while not (seen and all(_has(seen[-1][1], request.positions) for request in requests)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the views did not come level within {DRAIN_S} s")
        time.sleep(POLL_S)


def _visible(seen: list[tuple[float, Positions]], request: Sent) -> float:
    return next(at for at, reached in seen if _has(reached, request.positions))


def _account(index: int) -> str:
    return f"lag-{index:05d}"


def _open_accounts(ledger: Service) -> None:
    for start in range(0, ACCOUNTS, 1_000):
        commands = [
            {"key": "open", "type": "open_account", "account": _account(each), "plan": "std-30mb"}
            for each in range(start, start + 1_000)
        ]
        ledger.post("/v1/commands", {"commands": commands})
