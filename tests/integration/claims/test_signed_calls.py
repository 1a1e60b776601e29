"""Partners' calls over HTTP: a signature is the proof, and each request is answered once."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from services.tasks.domain.signature import sign
from tests.support.claims_world import MIB, ClaimsWorld
from tests.support.ledger import TOKENS

HAPPENED = "2015-08-10T12:00:00+08:00"


class Caller:
    """The partner's system: it signs with a key of its app."""

    def __init__(self, world: ClaimsWorld, secret: bytes) -> None:
        self.world, self.secret = world, secret

    def send(
        self, path: str, body: Any, request_id: str, *, method: str = "POST", at: int | None = None,
        **changed: Any,
    ) -> Any:  # fmt: skip
        """Send a signed call; `changed` headers or `content` are put in after signing."""
        content = b"" if body is None else orjson.dumps(body)
        at = at or int(time.time())
        headers = {
            "webhook-id": request_id, "webhook-timestamp": str(at),
            "webhook-signature": sign(self.secret, request_id, at, content),
        }  # fmt: skip
        content = changed.pop("content", content)
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        client = self.world.app.test_client()
        return client.open(
            f"/v1/partners/didi/{path}", method=method, data=content, headers=headers
        )

    def complete(self, token: str, request_id: str, **more: Any) -> Any:
        """Tell that the ride of who has a token was taken."""
        body = {"campaign": "august", "task": "ride", "token": token, "happened_at": HAPPENED}
        return self.send("completions", body | more.pop("body", {}), request_id, **more)

    def ask(self, request_id: str) -> dict[str, Any]:
        """Ask how a completion stands."""
        answer = self.send(f"completions/{request_id}", None, request_id, method="GET")
        assert answer.status_code in (200, 202), answer.json
        return answer.json  # type: ignore[no-any-return]


def operator(world: ClaimsWorld, path: str, body: Any, key: str) -> Any:
    headers = {"Authorization": f"Bearer {TOKENS['operator']}", "Idempotency-Key": key}
    return world.app.test_client().post(path, json=body, headers=headers)


@pytest.fixture
def caller(world: ClaimsWorld) -> Caller:
    world.open("ann")
    world.campaign("august")
    for path, body in (
        ("/v1/partners/didi/apps", {"asp_id": "app"}),
        ("/v1/partners/didi/contracts", {"starts_at": "2015-01-01", "ends_at": "2016-01-01",
                                         "terms_version": "1"}),
    ):  # fmt: skip
        answer = operator(world, path, body, path)
        assert answer.status_code in (200, 201), answer.json
    return Caller(world, key_of(world, "app"))


@pytest.fixture
def other(world: ClaimsWorld, caller: Caller) -> Caller:
    """Another app of the same partner."""
    answer = operator(world, "/v1/partners/didi/apps", {"asp_id": "other"}, "other")
    assert answer.status_code in (200, 201), answer.json
    return Caller(world, key_of(world, "other"))


def key_of(world: ClaimsWorld, app: str) -> bytes:
    """Return the secret of a new key of an app."""
    answer = operator(world, f"/v1/partners/didi/apps/{app}/keys", {}, f"key-{app}")
    assert answer.status_code in (200, 201), answer.json
    return base64.b64decode(answer.json["secret"].removeprefix("whsec_"))


def test_a_signed_call_is_taken_paid_and_can_be_asked_for(world: ClaimsWorld, caller: Caller):
    token, _ = world.enter("august", "ann")
    answer = caller.complete(token, "r1")
    assert (answer.status_code, answer.json["status"]) == (202, "pending"), answer.json
    assert answer.headers["Location"].endswith("/v1/partners/didi/completions/r1")
    world.settle()
    told = caller.ask("r1")
    assert (told["status"], told["claims"][0]["state"]) == ("success", "paid")
    assert sum(lot.remaining for lot in world.lots("ann", "award")) == MIB


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"content": b'{"campaign": "august"}'}, "signature_invalid"),
        ({"webhook_id": "r2"}, "signature_invalid"),
        ({"webhook_signature": "v1,AAAA"}, "signature_invalid"),
        ({"webhook_signature": "nothing"}, "signature_malformed"),
        ({"at": 1}, "timestamp_out_of_tolerance"),
        ({"at": 4_000_000_000}, "timestamp_out_of_tolerance"),
    ],
)
def test_what_is_tampered_or_stale_is_refused_and_does_nothing(
    world: ClaimsWorld, caller: Caller, changed: dict[str, Any], code: str
):
    token, _ = world.enter("august", "ann")
    answer = caller.complete(token, "r1", **changed)
    assert (answer.status_code, answer.json["code"]) == (401, code)
    world.settle()
    assert world.lots("ann", "award") == []
    assert world.claims.page(
        {"subscriber": None, "campaign": None, "task": None, "state": None, "after": None}, 9
    ) == ([], None)


def test_a_replayed_call_has_the_identical_answer_and_another_body_is_a_conflict(
    world: ClaimsWorld, caller: Caller
):
    token, _ = world.enter("august", "ann")
    with ThreadPoolExecutor(10) as pool:
        told = [pool.submit(caller.complete, token, "r1") for _ in range(10)]
        answers = [each.result() for each in told]
    assert len({answer.data for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {202}
    world.settle()
    assert len(world.lots("ann", "award")) == 1
    again = caller.complete(token, "r1")
    assert again.data == answers[0].data
    assert again.headers["Idempotency-Hit"] == "true"
    other = caller.complete(token, "r1", body={"device": "a" * 16})
    assert (other.status_code, other.json["code"]) == (409, "conflict")


def test_a_batch_is_answered_one_by_one(world: ClaimsWorld, caller: Caller):
    world.open("bob")
    items = [
        {"request_id": f"b{n}", "campaign": "august", "task": "ride", "happened_at": HAPPENED,
         "token": world.enter("august", who)[0]}
        for n, who in enumerate(("ann", "bob", "ann"))
    ]  # fmt: skip
    items.append(items[0] | {"request_id": "b3", "token": "x" * 22})
    answer = caller.send("completions", {"completions": items}, "call-1")
    assert answer.status_code == 200, answer.json
    told = [
        (each["request_id"], each.get("code", each["status"])) for each in answer.json["answers"]
    ]
    assert told == [
        ("b0", "pending"), ("b1", "pending"), ("b2", "already_claimed"), ("b3", "token_unknown"),
    ]  # fmt: skip
    assert caller.send("completions", {"completions": items}, "call-2").data == answer.data
    twice = caller.send("completions", {"completions": [items[0], items[0]]}, "call-3")
    assert (twice.status_code, twice.json["code"]) == (422, "invalid_request")


def test_a_query_is_signed_for_its_own_request_and_no_token_opens_it(
    world: ClaimsWorld, caller: Caller
):
    answer = caller.send("completions/r1", None, "r2", method="GET")
    assert (answer.status_code, answer.json["code"]) == (401, "request_id_differs")
    answer = caller.send("completions/r1", None, "r1", method="GET")
    assert (answer.status_code, answer.json["code"]) == (404, "completion_not_found")
    headers = {"Authorization": f"Bearer {TOKENS['operator']}"}
    answer = world.app.test_client().get("/v1/partners/didi/completions/r1", headers=headers)
    told = answer.get_json(force=True)
    assert (answer.status_code, told["code"]) == (401, "request_id_malformed")


def test_an_old_key_is_good_until_its_end_and_the_new_one_at_once(
    world: ClaimsWorld, caller: Caller
):
    answer = operator(world, "/v1/partners/didi/apps/app/keys:rotate", {"overlap_hours": 1}, "k2")
    assert answer.status_code in (200, 201), answer.json
    new = Caller(world, base64.b64decode(answer.json["secret"].removeprefix("whsec_")))
    token, _ = world.enter("august", "ann")
    assert caller.complete(token, "r1").status_code == 202
    assert new.complete(token, "r1").data == caller.complete(token, "r1").data


@pytest.mark.parametrize("named_by", ["token", "subscriber"])
def test_whole_seconds_do_not_lose_the_entrance_of_that_second(
    world: ClaimsWorld, caller: Caller, named_by: str
):
    world.ledger.at("2015-08-10T12:00:00.900+08:00")

    def told(subscriber: str, happened_at: str) -> str:
        token, _ = world.enter("august", subscriber)
        who = {"token": token} if named_by == "token" else {"subscriber": subscriber}
        body = {"campaign": "august", "task": "ride", "happened_at": happened_at} | who
        answer = caller.send("completions", body, f"r-{subscriber}").json
        return str(answer.get("code", answer["status"]))

    assert told("ann", HAPPENED) == "pending"
    assert told("bob", "2015-08-10T11:59:59.999+08:00") == "not_attributed"


def test_a_suspended_partner_or_one_without_a_contract_is_refused(
    world: ClaimsWorld, caller: Caller
):
    token, _ = world.enter("august", "ann")
    operator(world, "/v1/partners/didi/suspend", {"reason": "unpaid"}, "s1")
    answer = caller.complete(token, "r1")
    assert (answer.status_code, answer.json["code"]) == (403, "partner_suspended")
    operator(world, "/v1/partners/didi/resume", {"reason": "paid"}, "s2")
    world.ledger.at("2016-01-11T00:00:00+08:00")
    answer = caller.complete(token, "r1")
    assert (answer.status_code, answer.json["code"]) == (403, "contract_not_in_force")


def test_after_a_contract_what_happened_under_it_is_told_asked_for_and_taken_back(
    world: ClaimsWorld, caller: Caller
):
    world.ledger.at("2015-12-31T23:00:00+08:00")
    tokens = [world.enter("august", "ann")[0], world.enter("august", "bob")[0]]
    world.ledger.at("2016-01-03T22:00:00+08:00")
    before, after = (
        {"happened_at": f"{day}:00+08:00"} for day in ("2015-12-31T23:30", "2016-01-01T00:00")
    )
    late = caller.complete(tokens[1], "r1", body=after)
    assert (late.json["status"], late.json["code"]) == ("refused", "contract_not_in_force")
    assert caller.complete(tokens[0], "r2", body=before).status_code == 202
    world.settle()
    world.ledger.at("2016-01-10T21:00:00+08:00")
    assert caller.ask("r2")["claims"][0]["state"] == "paid"
    answer = caller.send("clawbacks", {"request_id": "r2", "reason": "refunded"}, "c1")
    assert (answer.status_code, answer.json["claims"][0]["state"]) == (202, "clawing_back")
    operator(world, "/v1/partners/didi/suspend", {"reason": "unpaid"}, "s1")
    refused = caller.send("completions/r2", None, "r2", method="GET")
    assert (refused.status_code, refused.json["code"]) == (403, "partner_suspended")


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json.get("code", "")


def test_what_an_app_told_is_unknown_to_the_partners_other_apps(
    world: ClaimsWorld, caller: Caller, other: Caller
):
    token, _ = world.enter("august", "ann")
    first = caller.complete(token, "r1")
    world.settle()
    clawback = {"request_id": "r1", "reason": "not mine"}
    unknown = (404, "completion_not_found")
    assert code_of(other.send("completions/r1", None, "r1", method="GET")) == unknown
    assert code_of(other.send("clawbacks", clawback, "c1")) == unknown
    assert caller.ask("r1")["claims"][0]["state"] == "paid"

    own = other.complete(token, "r1")
    assert (code_of(own), own.headers.get("Idempotency-Hit")) == ((200, "campaign_not_found"), None)
    assert other.complete(token, "r1").data == own.data != first.data
    assert other.ask("r1")["code"] == "campaign_not_found"
    assert code_of(other.send("clawbacks", clawback, "c1")) == (422, "nothing_to_claw_back")
    assert caller.complete(token, "r1").data == first.data
    assert caller.ask("r1")["claims"][0]["state"] == "paid"


def test_what_was_told_before_apps_were_told_apart_is_known_to_each_of_them(
    world: ClaimsWorld, caller: Caller, other: Caller
):
    token, _ = world.enter("august", "ann")
    first = caller.complete(token, "r1")
    world.settle()
    with world.store.connection() as conn:
        conn.execute("UPDATE answers SET asp_id = ''")
    for each in (caller, other):
        assert each.ask("r1")["claims"][0]["state"] == "paid"
        again = each.complete(token, "r1")
        assert (again.data, again.headers["Idempotency-Hit"]) == (first.data, "true")


def test_a_partner_claws_back_what_is_left(world: ClaimsWorld, caller: Caller):
    token, _ = world.enter("august", "ann")
    caller.complete(token, "r1")
    body = {"request_id": "r1", "reason": "refunded"}
    early = caller.send("clawbacks", body, "c0")
    assert (early.status_code, early.json["code"]) == (409, "claim_not_paid")
    world.settle()
    answer = caller.send("clawbacks", body, "c1")
    assert (answer.status_code, answer.json["claims"][0]["state"]) == (202, "clawing_back")
    world.settle()
    claim = caller.ask("r1")["claims"][0]
    assert (claim["state"], claim["taken_bytes"]) == ("clawed_back", MIB)
    assert world.escrow("august") == 100 * MIB
