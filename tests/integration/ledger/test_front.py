"""Small commands are answered on the event loop, others by Flask: nobody can tell which it was."""

from concurrent.futures import ThreadPoolExecutor
from socket import create_connection
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.support.ledger import MIB, NOON, TOKENS, LedgerWeb, client, sandbox_clock

PADDING = b" " * (17 << 10)


@pytest.fixture(scope="module")
def web(server, tmp_path_factory):
    """A ledger with one subscriber."""
    folder = tmp_path_factory.mktemp("front")
    made = LedgerWeb(server.new_ledger(), folder, **sandbox_clock(folder, NOON))
    made.do({"type": "open_account", "key": "o", "account": "ann", "plan": "std-30mb"})
    yield made
    made.close()


def buy(key: str, amount: int = MIB) -> bytes:
    bought = {"type": "buy", "key": key, "account": "ann", "bytes": amount}
    return orjson.dumps({"commands": [bought]})


def post(web: LedgerWeb, body: bytes, **headers: str) -> Any:
    return web.client.post("/v1/commands", content=body, headers=headers)


def told(answer: Any) -> dict[str, Any]:
    """What an answer says, without the id that each request has of its own."""
    kept = {name: answer.headers.get(name) for name in ("content-type", "www-authenticate")}
    return {"status": answer.status_code, "body": answer.json(), **kept}


BODIES = [
    buy("alike"), buy("alike", 5), b"{", b"[]", b'{"commands": []}', b'{"commands": [{}]}',
    b'{"commands": [{"type": "buy", "key": "x", "account": "ann", "bytes": -1}]}',
    b'{"commands": [{"type": "buy", "key": "x", "account": "nobody", "bytes": 1}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_a_small_body_and_a_long_one_have_the_same_answer(web, body):
    post(web, buy("alike"))
    small = post(web, body, **{"X-Request-Id": "one"})
    long = post(web, body + PADDING, **{"X-Request-Id": "one"})

    assert told(small) == told(long)
    assert small.headers["X-Request-Id"] == long.headers["X-Request-Id"] == "one"


@pytest.mark.parametrize("padding", [b"", PADDING])
def test_who_may_not_write_is_refused_before_the_body_is_read(web, padding):
    with client(web.base, TOKENS["gateway"]) as reader, client(web.base, "wrong") as stranger:
        forbidden = reader.post("/v1/commands", content=b"{" + padding)
        unknown = stranger.post("/v1/commands", content=b"{" + padding)

    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    assert (unknown.status_code, unknown.json()["code"]) == (401, "unauthorized")


def test_a_request_id_that_is_none_is_refused(web):
    answer = post(web, buy("bad-id"), **{"X-Request-Id": "a b"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_reversal_which_must_read_the_log_first_is_answered_too(web):
    line = {"usage_id": "u-1", "account": "ann", "bytes": 100, "occurred_at": "2015-08-10T11:00"}
    assert web.client.post("/v1/usage", json={"lines": [line]}).status_code == 200
    reverse = {
        "type": "reverse", "key": "r", "account": "ann", "usage_id": "u-1", "reason": "twice",
    }  # fmt: skip

    (outcome,) = post(web, orjson.dumps({"commands": [reverse]})).json()["outcomes"]

    assert (outcome["status"], outcome["result"]["restored_bytes"]) == ("done", 100)


def test_many_at_once_are_each_done_once(web):
    bodies = [buy(f"many-{number % 100}", 7) for number in range(200)]
    before = web.account("ann")["earned"]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda body: post(web, body), bodies))

    outcomes = [answer.json()["outcomes"][0] for answer in answers]
    assert {outcome["status"] for outcome in outcomes} == {"done"}
    assert sum(bool(outcome.get("repeated")) for outcome in outcomes) == 100
    assert web.account("ann")["earned"] == before + 100 * 7


@pytest.mark.parametrize("asked", ["keep-alive", "close"])
def test_an_answer_is_sent_whole_at_once(web, asked):
    body = buy(f"whole-{asked}")
    head = (
        "POST /v1/commands HTTP/1.1\r\nHost: bank\r\n"
        f"Authorization: Bearer {TOKENS['operator']}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {asked}\r\n\r\n"
    )
    url = urlsplit(web.base)
    with create_connection((url.hostname, url.port), 5) as line:
        line.sendall(head.encode() + body)
        first = line.recv(1 << 16)
        told, _, answer = first.partition(b"\r\n\r\n")
        assert orjson.loads(answer)["outcomes"][0]["status"] == "done"
        assert f"content-length: {len(answer)}".encode() in told.lower()
        if asked == "close":
            assert line.recv(1) == b""


def test_requests_on_the_loop_are_counted_by_route(web):
    post(web, buy("counted"))

    assert 'route="/v1/commands"' in web.client.get("/metrics").text
