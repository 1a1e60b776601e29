"""Gifts: how many a second arrive, and how soon one arrives when the bank is idle.

A gift is counted from its confirmation over HTTP to its completion: asked of the ledger, offered,
moved from one account to the other, and its end written in gifting's log.
"""

import re
import selectors
import time
from collections.abc import Sequence
from statistics import median

import httpx2
import orjson

from infra.cli.client import Service, ledger_of
from tests.benchmarks.bench import Bench
from tests.benchmarks.brokers import brokers
from tests.benchmarks.http_clients import Line
from tests.benchmarks.results import Row, Target, number
from tests.benchmarks.together import await_others, together
from tests.support.bank import LocalBank

GIFTS_PER_SECOND_MIN = 300
ARRIVAL_MS_MAX = 150
PROCESSES = 2
CLIENTS = 16
IDLE_GIFTS = 60
IDLE_PAUSE_S = 0.1
POLL_S = 0.1
DRAIN_S = 120.0
# Old enough to give, young enough to be given something without having used any data.
ACTIVE_FROM = "2015-08"
BYTES = 10 << 20
OPEN_GIFTS = re.compile(r"^databank_gifting_open_gifts\{[^}]*\} ([0-9.]+)", re.MULTILINE)
ARRIVED, ON_ITS_WAY = 201, 202
TAKEN = (ARRIVED, ON_ITS_WAY)

Pair = tuple[str, str]


def measure(bench: Bench) -> list[Row]:
    """Measure both over each transport that is at hand."""
    rows = []
    for transport, amqp_url in brokers(bench):
        environment = {"AMQP_URL": amqp_url} if amqp_url else {}
        with bench.running(**environment) as local:
            rows += _rows(bench, local, transport)
    return rows


def _rows(bench: Bench, local: LocalBank, transport: str) -> list[Row]:
    rates, arrivals = [], []
    gifts = 600 if bench.plan.quick else 6_000
    with ledger_of(local.bank) as ledger:
        for each in range(1, bench.plan.runs + 1):
            with bench.step(f"gifts over {transport}, run {each} of {bench.plan.runs}"):
                pairs = _people(ledger, f"{transport}-{each}", gifts + IDLE_GIFTS)
                arrivals.append(_idle(local, pairs[gifts:], f"idle-{each}"))
                rates.append(gifts / _busy(local, pairs[:gifts], f"busy-{each}"))
            bench.say(
                f"gifts over {transport}, run {each}: {number(rates[-1])} /s,"
                f" {number(arrivals[-1])} ms when idle"
            )
    return [
        Row(
            f"gifts-{transport}",
            f"gifts over {transport}, from confirmation to completion",
            "gifts/s", rates, Target(at_least=GIFTS_PER_SECOND_MIN),
            f"{gifts} gifts of {gifts} people, {PROCESSES * CLIENTS} clients",
        ),
        Row(
            f"gifts-arrival-{transport}",
            f"a gift's way over {transport} in an idle bank, median",
            "ms", arrivals, Target(at_most=ARRIVAL_MS_MAX), "one client, HTTP included",
        ),
    ]  # fmt: skip


def _people(ledger: Service, name: str, count: int) -> list[Pair]:
    """Open accounts; return who gives to whom: each person gives once and gets once at most."""
    pairs = [(f"{name}-from-{each}", f"{name}-to-{each}") for each in range(count)]
    people = [one for pair in pairs for one in pair]
    for start in range(0, len(people), 1_000):
        commands = [
            {"key": "open", "type": "open_account", "account": one, "plan": "std-1gb",
             "active_from": ACTIVE_FROM}
            for one in people[start : start + 1_000]
        ]  # fmt: skip
        ledger.post("/v1/commands", {"commands": commands})
    return pairs


def _idle(local: LocalBank, pairs: Sequence[Pair], key: str) -> float:
    """Return the median time (ms) of a gift that comes alone."""
    line = Line(local.bank.gifting_port, local.bank.operator_token)
    times = []
    for number_of, pair in enumerate(pairs):
        time.sleep(IDLE_PAUSE_S)
        sent = time.monotonic()
        give(line, pair, f"{key}-{number_of}", (ARRIVED,), Prefer="wait=5")
        times.append(time.monotonic() - sent)
    line.close()
    return median(times) * 1_000


def _busy(local: LocalBank, pairs: Sequence[Pair], key: str) -> float:
    """Return how long (s) it takes until the last one of many gifts is completed."""
    port, token = local.bank.gifting_port, local.bank.operator_token
    calls = [(port, token, pairs[each::PROCESSES], f"{key}-{each}") for each in range(PROCESSES)]
    began = min(together(_process, calls))
    deadline = time.monotonic() + DRAIN_S
    while _open(local):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the gifts did not all end within {DRAIN_S} s")
        time.sleep(POLL_S)
    return time.monotonic() - began


def _process(port: int, token: str, pairs: Sequence[Pair], key: str) -> float:
    """Have clients confirm gifts, one after the other each; return when they began.

    One thread serves them all: what they cost is not the bank's.
    """
    await_others()
    began = time.monotonic()
    left = list(enumerate(pairs))[::-1]
    with selectors.DefaultSelector() as selector:
        for _ in range(min(CLIENTS, len(left))):
            line = Line(port, token)
            selector.register(line, selectors.EVENT_READ, line)
            _send(line, left, key)
        while selector.get_map():
            for ready, _ in selector.select():
                line = ready.data
                status, answer = line.receive()
                _check(status, answer, TAKEN)
                if left:
                    _send(line, left, key)
                else:
                    selector.unregister(line)
                    line.close()
    return began


def _send(line: Line, left: list[tuple[int, Pair]], key: str) -> None:
    number_of, pair = left.pop()
    line.send("/v1/gifts", _terms(pair), Idempotency_Key=f"{key}-{number_of}")


def give(line: Line, pair: Pair, key: str, wanted: Sequence[int], **headers: str) -> None:
    """Confirm a gift. Raises AssertionError where the answer is another one."""
    status, answer = line.post("/v1/gifts", _terms(pair), Idempotency_Key=key, **headers)
    _check(status, answer, wanted)


def _terms(pair: Pair) -> bytes:
    terms = {"sender": pair[0], "receiver": pair[1], "bytes": BYTES, "confirmed": True}
    return orjson.dumps(terms)


def _check(status: int, answer: bytes, wanted: Sequence[int]) -> None:
    if status not in wanted:
        raise AssertionError(f"{status}: {answer!r}")


def _open(local: LocalBank) -> float:
    """Return how many gifts have not ended."""
    text = httpx2.get(f"{local.bank.gifting_url}/metrics", timeout=30).text
    return sum(map(float, OPEN_GIFTS.findall(text)))
