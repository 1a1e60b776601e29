"""Bad input gets a clear problem that names the place, and nothing is stored."""

from typing import Any

import pytest

from tests.support.gifting_world import MIB, World

GIFT = {"sender": "ann", "receiver": "bob", "bytes": 10 * MIB, "confirmed": True}
PACKET = {"sender": "ann", "bytes": 20 * MIB, "shares": 4}
ASK = {"asker": "ann", "giver": "bob", "bytes": 10 * MIB}
SOMEBODY = {"account": "ann"}
ID = "0" * 32


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v1/gifts", GIFT | {"bytes": 0}, "$.bytes"),
        ("/v1/gifts", GIFT | {"bytes": 1.5}, "$.bytes"),
        ("/v1/gifts", GIFT | {"bytes": "10"}, "$.bytes"),
        ("/v1/gifts", GIFT | {"bytes": 1 << 53}, "$.bytes"),
        ("/v1/gifts", GIFT | {"sender": "partner:didi"}, "$.sender"),
        ("/v1/gifts", GIFT | {"sender": "ann\n"}, "$.sender"),
        ("/v1/gifts", GIFT | {"receiver": ""}, "$.receiver"),
        ("/v1/gifts", GIFT | {"message": "x" * 201}, "$.message"),
        ("/v1/gifts", GIFT | {"message": "a\x00b"}, "$.message"),
        ("/v1/gifts", GIFT | {"colour": "red"}, "$"),
        ("/v1/gifts", {"sender": "ann"}, "$"),
        ("/v1/gifts", [], "$"),
        ("/v1/red-packets", PACKET | {"shares": 0}, "$.shares"),
        ("/v1/red-packets", PACKET | {"split": "unfair"}, "$.split"),
        ("/v1/asks", ASK | {"bytes": -1}, "$.bytes"),
        (f"/v1/gifts/{ID}/accept", {"account": ""}, "$.account"),
        (f"/v1/gifts/{ID}/release", {"reason": ""}, "$.reason"),
    ],
)
def test_a_malformed_body_is_refused_with_its_place(
    shared_world: World, path: str, body: Any, place: str
) -> None:
    answer = shared_world.post(path, body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.body["pointer"] == place
    assert shared_world.bank.log.head("all") == 0


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/gifts/xyz", 422, "invalid_request"),
        (f"/v1/gifts/{ID}", 404, "gift_not_found"),
        (f"/v1/asks/{ID}", 404, "ask_not_found"),
        (f"/v1/red-packets/{ID}", 404, "packet_not_found"),
        ("/v1/red-packets/nobody-has-this", 404, "packet_not_found"),
        ("/v1/gifts?limit=0", 422, "invalid_request"),
        ("/v1/gifts?state=lost", 422, "invalid_request"),
        ("/v1/gifts?colour=red", 422, "invalid_request"),
        ("/v1/asks?after=x", 422, "invalid_request"),
        ("/v1/nothing", 404, "not_found"),
    ],
)
def test_what_is_not_there_or_no_question_has_its_code(
    shared_world: World, path: str, status: int, code: str
) -> None:
    answer = shared_world.get(path)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("verb", ["accept", "decline", "cancel"])
def test_an_unknown_gift_has_no_verbs(shared_world: World, verb: str) -> None:
    assert shared_world.post(f"/v1/gifts/{ID}/{verb}", SOMEBODY).code == "gift_not_found"


def test_no_json_and_no_token_are_told(shared_world: World) -> None:
    client = shared_world.app.test_client()
    headers = {"Authorization": "Bearer operator-token", "Idempotency-Key": "k"}
    answer = client.post("/v1/gifts", data=b"{", headers=headers)
    assert (answer.status_code, answer.get_json(force=True)["code"]) == (422, "invalid_request")
    assert client.post("/v1/gifts", json=GIFT).status_code == 401
    assert client.get("/v1/gifts").status_code == 401
