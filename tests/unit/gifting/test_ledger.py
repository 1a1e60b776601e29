"""Questions to the ledger go in one request; one that it cannot read keeps nobody waiting."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from services.gifting.domain.checks import Facts, Party
from services.gifting.ledger import Check, HttpLedger
from shared.errors import UnavailableError


class Peer:
    """A ledger that knows everybody and cannot read the name `bad`; asked for `down` it fails."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                names = self._names()
                peer.sizes.append(len(names))
                status = 503 if "down" in names else 422 if "bad" in names else 200
                checks = [{"sender": {"account": name}, "receiver": None} for name in names]
                body = json.dumps({"checks": checks}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _names(self) -> list[str]:
                length = int(self.headers["Content-Length"])
                gifts: list[dict[str, Any]] = json.loads(self.rfile.read(length))["gifts"]
                return [gift["account"] for gift in gifts]

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def ledger(peer: Peer) -> Iterator[HttpLedger]:
    made = HttpLedger(f"http://127.0.0.1:{peer.server.server_address[1]}", "token")
    yield made
    made.close()


def ask(ledger: HttpLedger, *names: str) -> list[Facts]:
    return ledger.check([Check(account=name, bytes=1) for name in names])


def known(name: str) -> Facts:
    return Facts(sender=Party(account=name), receiver=None)


def test_many_gifts_are_one_question(ledger: HttpLedger, peer: Peer) -> None:
    assert ask(ledger, "a", "b", "c") == [known("a"), known("b"), known("c")]
    assert peer.sizes == [3]


def test_one_that_cannot_be_read_is_told_apart(ledger: HttpLedger, peer: Peer) -> None:
    found = ask(ledger, "a", "bad", "b", "c")
    assert found == [known("a"), Facts(sender=None, receiver=None), known("b"), known("c")]
    assert peer.sizes == [4, 2, 1, 1, 2]


def test_a_ledger_that_fails_or_is_not_there_is_away(ledger: HttpLedger) -> None:
    with pytest.raises(UnavailableError):
        ask(ledger, "down")
    with pytest.raises(UnavailableError):
        ask(HttpLedger("http://127.0.0.1:9", "token"), "a")
