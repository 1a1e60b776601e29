"""The client repeats what is safe to repeat, with the same id and body, and fails clearly."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.cli.client import Service
from infra.cli.output import CliError

BUSY = (503, b'{"code": "busy", "detail": "another writer"}')
DONE = (200, b'{"outcomes": []}')
DROP = (0, b"")


@dataclass
class Seen:
    """A request as it arrived."""

    path: str
    request_id: str
    token: str
    body: bytes


class Peer:
    """A service on a real socket that gives prepared answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.seen: list[Seen] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = self.headers
                peer.seen.append(
                    Seen(self.path, headers["X-Request-Id"], headers["Authorization"], body)
                )
                answers = peer.answers
                status, content = answers.pop(0) if len(answers) > 1 else answers[0]
                if status:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(content)
                else:
                    self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST  # noqa: N815 The name that http.server looks for.

            def log_message(self, *arguments: object) -> None:
                """Stay quiet."""

        return Handler


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def service(peer: Peer, note: Callable[[str], None] | None = None) -> Service:
    return Service("ledger", peer.url, "secret", patience_s=5.0, note=note)


def test_a_busy_or_lost_request_is_repeated_with_the_same_id_and_body(peer: Peer) -> None:
    peer.answers = [BUSY, DROP, DONE]
    notes: list[str] = []
    with service(peer, notes.append) as ledger:
        answer = ledger.post("/v1/usage", {"lines": [1]})
    assert answer.body == {"outcomes": []}
    assert len(peer.seen) == 3
    assert {seen.request_id for seen in peer.seen} == {answer.request_id}
    assert {seen.body for seen in peer.seen} == {b'{"lines":[1]}'}
    assert peer.seen[0].token == "Bearer secret"
    assert len(notes) == 1


def test_two_requests_have_two_ids(peer: Peer) -> None:
    peer.answers = [DONE]
    with service(peer) as ledger:
        assert ledger.post("/", {}).request_id != ledger.post("/", {}).request_id


def test_a_refusal_is_not_repeated_and_keeps_its_code_and_detail(peer: Peer) -> None:
    peer.answers = [(422, b'{"code": "month_running", "detail": "not over", "month": "2015-09"}')]
    with service(peer) as ledger, pytest.raises(CliError) as refusal:
        ledger.post("/", {})
    assert (refusal.value.code, refusal.value.detail) == ("month_running", "not over")
    assert refusal.value.extra == {"month": "2015-09"}
    assert len(peer.seen) == 1


@pytest.mark.parametrize("answer", [(500, b"<html>"), (200, b"<html>"), (502, b'["?"]')])
def test_an_answer_that_makes_no_sense_is_a_clear_error(
    peer: Peer, answer: tuple[int, bytes]
) -> None:
    peer.answers = [answer]
    with service(peer) as ledger, pytest.raises(CliError) as refusal:
        ledger.get("/v1/heads")
    assert refusal.value.code == "bad_answer"


def test_nobody_there_is_a_clear_error_after_some_time() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        with Service("ledger", url, "x", patience_s=0.5) as ledger, pytest.raises(CliError) as gone:
            ledger.post("/", {})
    assert gone.value.code == "unavailable"
    assert "databank status" in gone.value.detail


def test_a_service_that_stays_busy_says_so_in_the_end(peer: Peer) -> None:
    peer.answers = [BUSY]
    ledger = Service("ledger", peer.url, "x", patience_s=0.5)
    with ledger, pytest.raises(CliError) as refusal:
        ledger.post("/", {})
    assert refusal.value.code == "busy"
    assert len(peer.seen) > 1


def test_a_long_job_reports_its_progress_and_ends_with_its_result(peer: Peer) -> None:
    peer.answers = [
        BUSY,
        (200, b'{"done": 1, "of": 2}\n{"done": 2, "of": 2}\n{"result": {"n": 7}}\n'),
    ]
    reports: list[tuple[int, int | None]] = []
    with service(peer) as ledger:
        result = ledger.stream("/v1/verify", lambda done, of: reports.append((done, of)))
    assert result == {"n": 7}
    assert reports == [(1, 2), (2, 2)]


def test_a_long_job_that_fails_in_the_middle_says_why(peer: Peer) -> None:
    peer.answers = [
        (200, b'{"done": 1, "of": 2}\n{"problem": {"code": "busy", "detail": "later"}}')
    ]
    with service(peer) as ledger, pytest.raises(CliError) as refusal:
        ledger.stream("/v1/verify", lambda _done, _of: None)
    assert refusal.value.code == "busy"
    assert len(peer.seen) == 1


def test_a_long_job_that_breaks_off_is_not_taken_for_done(peer: Peer) -> None:
    peer.answers = [(200, b'{"done": 1, "of": 2}\n')]
    with service(peer) as ledger, pytest.raises(CliError, match="repeat the command") as refusal:
        ledger.stream("/v1/verify", lambda _done, _of: None)
    assert refusal.value.code == "interrupted"


def test_a_list_is_read_page_by_page_to_its_end(peer: Peer) -> None:
    peer.answers = [
        (200, b'{"things": [1, 2], "next_after": "b"}'),
        (200, b'{"things": [3], "next_after": "c"}'),
        (200, b'{"things": [], "next_after": null}'),
    ]
    with Service("ledger", peer.url, "token") as service:
        assert service.get_all("/v1/things", "things", kind="x") == [1, 2, 3]
    assert [each.path for each in peer.seen] == [
        "/v1/things?kind=x", "/v1/things?after=b&kind=x", "/v1/things?after=c&kind=x",
    ]  # fmt: skip
