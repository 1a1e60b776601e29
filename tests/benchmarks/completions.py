"""Completions: how many a second go from a partner's signed batch to credited data.

A completion is counted from its call over HTTP to its claim's payment: signature and limits
checked, accepted in tasks' log, moved from the campaign's escrow to the subscriber, and the arrival
written in tasks' log. All of them are paid by one campaign, whose account lies in one partition.
"""

import time
from base64 import b64decode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from infra.cli.client import Service, ledger_of, tasks_of
from infra.cli.signed import signed_headers
from tests.benchmarks.bench import Bench
from tests.benchmarks.brokers import brokers
from tests.benchmarks.http_clients import Line
from tests.benchmarks.results import Row, Target, number
from tests.benchmarks.together import await_others, together
from tests.support.bank import LocalBank

COMPLETIONS_PER_SECOND_MIN = 500
PARTNER = "bench"
CLIENTS = 2
BATCH = 100
SETUP_THREADS = 8
BYTES = 1 << 20
POLL_S = 0.1
DRAIN_S = 180.0
OK, CREATED = 200, 201

People = Sequence[tuple[str, str]]


def measure(bench: Bench) -> list[Row]:
    """Measure it over each transport that is at hand."""
    rows = []
    for transport, amqp_url in brokers(bench):
        environment = {"AMQP_URL": amqp_url} if amqp_url else {}
        with bench.running(**environment) as local:
            rows.append(_row(bench, local, transport))
    return rows


def _row(bench: Bench, local: LocalBank, transport: str) -> Row:
    rates = []
    count = 1_000 if bench.plan.quick else 10_000
    with tasks_of(local.bank) as tasks, ledger_of(local.bank) as ledger:
        secret = _partner(tasks)
        for each in range(1, bench.plan.runs + 1):
            name = f"{transport}-{each}"
            with bench.step(f"completions over {transport}, run {each} of {bench.plan.runs}"):
                _campaign(tasks, name, count)
                people = _people(local, ledger, name, count)
                rates.append(count / _busy(local, tasks, name, people, secret))
            bench.say(f"completions over {transport}, run {each}: {number(rates[-1])} /s")
    return Row(
        f"completions-{transport}",
        f"completions over {transport}, from signed batches to credited data",
        "completions/s", rates, Target(at_least=COMPLETIONS_PER_SECOND_MIN),
        f"{count} subscribers, batches of {BATCH}, {CLIENTS} clients",
    )  # fmt: skip


def _post(tasks: Service, path: str, body: Any, key: str) -> Any:
    return tasks.write(path, body, {"Idempotency-Key": key, "Prefer": "wait=10"}).body


def _partner(tasks: Service) -> bytes:
    """Register a partner that has bought data; return the secret of its key."""
    path = f"/v1/partners/{PARTNER}"
    _post(tasks, "/v1/partners", {"partner": PARTNER, "sponsor_id": "1069"}, "register")
    _post(tasks, f"{path}/apps", {"asp_id": "app"}, "app")
    contract = {"starts_at": "2015-01-01", "ends_at": "2100-01-01", "terms_version": "1"}
    _post(tasks, f"{path}/contracts", contract, "contract")
    _post(tasks, f"{path}/purchases", {"bytes": 1 << 45}, "buy")
    made = _post(tasks, f"{path}/apps/app/keys", {"reason": "bench"}, "key")
    return b64decode(made["secret"].removeprefix("whsec_"))


def _campaign(tasks: Service, name: str, count: int) -> None:
    terms = {
        "starts_at": "2015-01-01",
        "budget": {"per_subscriber_bytes": 10 * BYTES},
        "tasks": [{"kind": "first_order", "name": "ride",
                   "reward": {"bytes": BYTES, "kind": "award", "pending_days": 0}}],
    }  # fmt: skip
    draft = {"campaign": name, "partner": PARTNER, "asp_id": "app", "terms": terms}
    _post(tasks, "/v1/campaigns", draft, f"draft-{name}")
    path = f"/v1/campaigns/{name}"
    _post(tasks, f"{path}/approve", {"reason": "bench"}, f"approve-{name}")
    _post(tasks, f"{path}/fundings", {"bytes": count * BYTES}, f"fund-{name}")
    _post(tasks, f"{path}/start", {"reason": "bench"}, f"start-{name}")


def _people(local: LocalBank, ledger: Service, name: str, count: int) -> People:
    """Open accounts whose subscribers come by the entrance; return them with their tokens."""
    people = [f"{name}-{each}" for each in range(count)]
    for start in range(0, count, 1_000):
        commands = [
            {"key": "open", "type": "open_account", "account": one, "plan": "std-30mb"}
            for one in people[start : start + 1_000]
        ]
        ledger.post("/v1/commands", {"commands": commands})
    with ThreadPoolExecutor(SETUP_THREADS) as pool:
        calls = [
            pool.submit(_enter, local, name, people[each::SETUP_THREADS])
            for each in range(SETUP_THREADS)
        ]
        return [pair for call in calls for pair in call.result()]


def _enter(local: LocalBank, campaign: str, people: Sequence[str]) -> list[tuple[str, str]]:
    line = Line(local.bank.tasks_port, local.bank.operator_token)
    found = []
    for one in people:
        body = orjson.dumps({"subscriber": one})
        path = f"/v1/campaigns/{campaign}/entrances"
        status, answer = line.post(path, body, Idempotency_Key=one)
        assert status == CREATED, answer
        found.append((one, orjson.loads(answer)["token"]))
    line.close()
    return found


def _busy(local: LocalBank, tasks: Service, campaign: str, people: People, secret: bytes) -> float:
    """Return how long (s) it takes until the last one of many completions is paid."""
    now = tasks.get("/v1/clock")["now"]
    calls = [
        (local.bank.tasks_port, campaign, people[each::CLIENTS], secret, now)
        for each in range(CLIENTS)
    ]
    began = min(together(_process, calls))
    deadline = time.monotonic() + DRAIN_S
    while tasks.get("/v1/claims", campaign=campaign, state="accepted", limit="1")["claims"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the completions were not all paid within {DRAIN_S} s")
        time.sleep(POLL_S)
    spent = time.monotonic() - began
    refused = tasks.get("/v1/claims", campaign=campaign, state="refused", limit="1")["claims"]
    assert not refused, refused
    return spent


def _process(port: int, campaign: str, people: People, secret: bytes, now: str) -> float:
    """Send signed batches, one after the other; return when that began."""
    await_others()
    began = time.monotonic()
    line = Line(port, "")
    for start in range(0, len(people), BATCH):
        items = [
            {"request_id": one, "campaign": campaign, "task": "ride", "happened_at": now,
             "token": token}
            for one, token in people[start : start + BATCH]
        ]  # fmt: skip
        content = orjson.dumps({"completions": items})
        headers = signed_headers(secret, items[0]["request_id"] + "-batch", content)
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        status, answer = line.post(f"/v1/partners/{PARTNER}/completions", content, **named)
        told = orjson.loads(answer)
        assert status == OK, told
        assert all(each["status"] == "pending" for each in told["answers"]), told["answers"][:3]
    line.close()
    return began
