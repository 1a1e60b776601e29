"""A partner's awards (天翼流量800) over RabbitMQ: register and first ride, attributed and signed.

What they earn is pending for three days, the default of what partners tell. Calls are replayed,
tampered, stale and parallel; a half-used award is clawed back.
"""

import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import orjson
import pytest

from infra.cli.client import Service, ledger_of, tasks_of
from services.tasks.domain.signature import sign
from tests.acceptance.steps import settled
from tests.support.bank import LocalBank, wait_until

MIB = 1 << 20
CLOCK = "2015-08-10T12:00:00+08:00"
# What partners tell is pending for three days.
CREDITED = "2015-08-13T12:30:00+08:00"
HAPPENED = "2015-08-10T12:00:00+08:00"
CROWD = 1_000
CLIENTS = 16
END_S = 90.0
RIDE, JOIN = 8 * MIB, 4 * MIB
TERMS = {
    "title": "Ride and get data",
    "starts_at": "2015-08-01",
    "ends_at": "2015-10-01",
    "tasks": [
        {"kind": "registration", "name": "join", "reward": {"bytes": JOIN, "kind": "award"}},
        {"kind": "first_order", "name": "first-ride", "reward": {"bytes": RIDE, "kind": "award"}},
    ],
}
HUNDRED = {
    "starts_at": "2015-08-01",
    "budget": {"total_bytes": 100 * MIB},
    "tasks": [{"kind": "survey", "name": "survey", "reward": {"bytes": MIB, "kind": "award"}}],
}

pytestmark = pytest.mark.slow


class PartnerSystem:
    """What runs at the partner: it holds a key of its app and signs its calls."""

    def __init__(self, bank: LocalBank, secret: bytes) -> None:
        self.secret = secret
        self.happened = HAPPENED
        self._http = httpx2.Client(base_url=bank.bank.tasks_url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def send(
        self, what: str, body: Any, request_id: str, *, at: int | None = None,
        tampered: bytes | None = None,
    ) -> httpx2.Response:  # fmt: skip
        """Send a signed call; `tampered` is put in after signing."""
        content, at = orjson.dumps(body), at or int(time.time())
        headers = {
            "webhook-id": request_id, "webhook-timestamp": str(at),
            "webhook-signature": sign(self.secret, request_id, at, content),
        }  # fmt: skip
        path = f"/v1/partners/didi/{what}"
        return self._http.post(path, content=tampered or content, headers=headers)

    def told(self, task: str, token: str, request_id: str, **more: Any) -> httpx2.Response:
        """Tell that who has the token did a task of the campaign."""
        body = {"campaign": "ride-800", "task": task, "token": token, "happened_at": self.happened}
        return self.send("completions", body, request_id, **more)

    def ask(self, request_id: str) -> dict[str, Any]:
        """Ask how a completion stands."""
        at = int(time.time())
        headers = {
            "webhook-id": request_id, "webhook-timestamp": str(at),
            "webhook-signature": sign(self.secret, request_id, at, b""),
        }  # fmt: skip
        path = f"/v1/partners/didi/completions/{request_id}"
        found: dict[str, Any] = self._http.get(path, headers=headers).json()
        return found

    def ends(self, request_id: str, *states: str) -> dict[str, Any]:
        """Return a completion once its first claim is in one of these states."""
        wait_until(
            lambda: self.ask(request_id)["claims"][0]["state"] in states, END_S, f"{request_id}"
        )
        return self.ask(request_id)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, amqp_url: str) -> Iterator[LocalBank]:
    """A bank over RabbitMQ with subscribers who have a plan of 30 MB."""
    made = LocalBank(tmp_path_factory.mktemp("bank") / "state", {"AMQP_URL": amqp_url})
    try:
        made.up("--clock", CLOCK)
        people = ["ann", "bob", "eve", *(f"p{number}" for number in range(CROWD))]
        commands = [
            {"type": "open_account", "key": "o", "account": one, "plan": "std-30mb"}
            for one in people
        ]
        with ledger_of(made.bank) as ledger:
            for start in range(0, len(commands), 500):
                ledger.post("/v1/commands", {"commands": commands[start : start + 500]})
        yield made
    finally:
        made.erase()


def write(tasks: Service, path: str, body: Any, key: str) -> Any:
    return tasks.write(path, body, {"Idempotency-Key": key, "Prefer": "wait=10"}).body


@pytest.fixture(scope="module")
def partner(bank: LocalBank) -> Iterator[PartnerSystem]:
    """The partner with a contract, prepaid data and two running campaigns."""
    with tasks_of(bank.bank) as tasks:
        write(tasks, "/v1/partners", {"partner": "didi", "sponsor_id": "800"}, "p")
        write(tasks, "/v1/partners/didi/apps", {"asp_id": "app"}, "a")
        contract = {"starts_at": "2015-01-01", "ends_at": "2016-01-01", "terms_version": "1"}
        write(tasks, "/v1/partners/didi/contracts", contract, "c")
        write(tasks, "/v1/partners/didi/purchases", {"bytes": 1000 * MIB}, "b")
        key = write(tasks, "/v1/partners/didi/apps/app/keys", {"reason": "first"}, "k")
        for name, terms in (("ride-800", TERMS), ("hundred", HUNDRED)):
            draft = {"campaign": name, "partner": "didi", "asp_id": "app", "terms": terms}
            write(tasks, "/v1/campaigns", draft, f"d-{name}")
            write(tasks, f"/v1/campaigns/{name}/approve", {"reason": "signed"}, f"a-{name}")
            fund = {"bytes": 100 * MIB}
            write(tasks, f"/v1/campaigns/{name}/fundings", fund, f"f-{name}")
            write(tasks, f"/v1/campaigns/{name}/start", {"reason": "go"}, f"s-{name}")
    system = PartnerSystem(bank, b64decode(key["secret"].removeprefix("whsec_")))
    yield system
    system.close()


@pytest.fixture(scope="module")
def token(bank: LocalBank, partner: PartnerSystem) -> str:
    """The token of ann's entrance; whatever happens from now on comes of it."""
    return entered(bank, partner, "ann")


def entered(bank: LocalBank, partner: PartnerSystem, subscriber: str) -> str:
    token = str(bank.json("task", "enter", "ride-800", subscriber)["token"])
    with tasks_of(bank.bank) as tasks:
        partner.happened = tasks.get("/v1/clock")["now"]
    return token


def test_register_and_first_ride_are_paid_each_once(
    bank: LocalBank, partner: PartnerSystem, token: str
):
    for task, request_id in (("join", "join-1"), ("first-ride", "ride-1")):
        answer = partner.told(task, token, request_id)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending"), answer.text
        assert partner.ends(request_id, "paid")["status"] == "success"
    second = partner.told("first-ride", token, "ride-2").json()
    assert (second["status"], second["code"]) == ("refused", "already_claimed")
    balance = bank.json("balance", "ann")
    awards = {lot["remaining_bytes"]: lot for lot in balance["lots"] if lot["kind"] == "award"}
    assert sorted(awards) == [JOIN, RIDE]
    assert {lot["valid_from"][:10] for lot in awards.values()} == {"2015-08-13"}
    assert balance["upcoming_bytes"] == JOIN + RIDE, "pending for three days"
    claims = bank.json("task", "claims", "ann")["claims"]
    assert {claim["state"] for claim in claims} == {"paid"}


def test_without_our_entrance_a_first_ride_is_taken_in_and_earns_nothing(
    bank: LocalBank, partner: PartnerSystem
):
    body = {
        "campaign": "ride-800",
        "task": "first-ride",
        "subscriber": "eve",
        "happened_at": HAPPENED,
    }
    answer = partner.send("completions", body, "eve-1")
    assert (answer.status_code, answer.json()["code"]) == (200, "not_attributed")
    (claim,) = bank.json("task", "claims", "eve")["claims"]
    assert (claim["state"], claim["code"], claim["bytes"]) == ("noted", "not_attributed", 0)


def test_replayed_tampered_and_stale_calls(partner: PartnerSystem, token: str):
    first = partner.told("join", token, "again-1")
    assert first.json()["code"] == "already_claimed"
    replayed = partner.told("join", token, "again-1")
    assert replayed.content == first.content
    assert replayed.headers["Idempotency-Hit"] == "true"
    other = partner.told("first-ride", token, "again-1")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    tampered = partner.told("join", token, "t-1", tampered=b'{"task": "first-ride"}')
    assert (tampered.status_code, tampered.json()["code"]) == (401, "signature_invalid")
    stale = partner.told("join", token, "t-2", at=int(time.time()) - 301)
    assert (stale.status_code, stale.json()["code"]) == (401, "timestamp_out_of_tolerance")
    assert partner.ask("t-1")["code"] == "completion_not_found"


def test_a_thousand_in_parallel_against_a_budget_for_a_hundred(
    bank: LocalBank, partner: PartnerSystem
):
    def told(number: int) -> str:
        body = {
            "campaign": "hundred", "task": "survey", "subscriber": f"p{number}",
            "happened_at": HAPPENED,
        }  # fmt: skip
        answer: dict[str, Any] = partner.send("completions", body, f"s-{number}").json()
        return str(answer.get("code", answer["status"]))

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = Counter(pool.map(told, range(CROWD)))
    assert answers == {"pending": 100, "campaign_budget": 900}
    with tasks_of(bank.bank) as tasks:
        wait_until(
            lambda: not tasks.get("/v1/claims", campaign="hundred", state="accepted")["claims"],
            END_S, "all are paid",
        )  # fmt: skip
    balance = bank.json("balance", "campaign:hundred")
    assert balance["available_bytes"] == 0


def test_the_same_id_ten_times_at_once_is_one_grant(bank: LocalBank, partner: PartnerSystem):
    entrance = entered(bank, partner, "bob")
    with ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(partner.told, "first-ride", entrance, "bob-1") for _ in range(10)]
        answers = {call.result().content for call in calls}
    assert len(answers) == 1
    partner.ends("bob-1", "paid")
    lots = [lot for lot in bank.json("balance", "bob")["lots"] if lot["kind"] == "award"]
    assert [lot["remaining_bytes"] for lot in lots] == [RIDE]


def test_after_three_days_the_pending_awards_are_credited(bank: LocalBank, partner: PartnerSystem):
    before = bank.json("balance", "ann")
    bank.done("clock", "set", CREDITED)
    after = bank.json("balance", "ann")
    assert (before["upcoming_bytes"], after["upcoming_bytes"]) == (JOIN + RIDE, 0)
    assert after["available_bytes"] == before["available_bytes"], "what is to come is counted"


def test_a_half_used_award_is_clawed_back_in_part_and_the_books_are_right(
    bank: LocalBank, partner: PartnerSystem
):
    before = bank.json("balance", "campaign:ride-800")["available_bytes"]
    with tasks_of(bank.bank) as tasks:
        now = tasks.get("/v1/clock")["now"]
    line = {
        "usage_id": "u-1",
        "account": "bob",
        "bytes": 30 * MIB + RIDE // 2,
        "occurred_at": now,
    }
    with ledger_of(bank.bank) as ledger:
        (used,) = ledger.post("/v1/usage", {"lines": [line]}).body["outcomes"]
    assert used["unfunded_bytes"] == 0
    left = sum(
        lot["remaining_bytes"]
        for lot in bank.json("balance", "bob")["lots"]
        if lot["kind"] == "award"
    )
    answer = partner.send("clawbacks", {"request_id": "bob-1", "reason": "refunded"}, "claw-1")
    assert answer.status_code == 202, answer.text
    claim = partner.ends("bob-1", "clawed_back")["claims"][0]
    assert 0 < left < RIDE
    assert (claim["taken_bytes"], claim["shortfall_bytes"]) == (left, RIDE - left)
    settled(bank)
    assert bank.json("balance", "campaign:ride-800")["available_bytes"] == before + left
    assert bank.json("verify")["ok"]
