"""Reading logs over a real HTTP connection, from a server that may answer badly."""

import json
from collections.abc import Iterator
from threading import Event, Thread
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from shared.bus.http_reader import HttpLogReader
from shared.bus.inbox import Inbox
from shared.bus.log_feed import LogFeed
from shared.errors import NotFoundError, UnavailableError
from tests.support.bus import MemoryConsumer, MemoryLog, sequences, wait_for
from tests.support.rabbit import free_ports

TOKEN = "token-of-the-gateway"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_) -> None:
        pass


class Producer:
    """Serves memory logs as the ledger serves its own; `broken` says how it misbehaves."""

    def __init__(self) -> None:
        self.logs = [MemoryLog(partition=number) for number in range(3)]
        self.broken = ""
        self.port = free_ports(1)[0]
        self.server = make_server("127.0.0.1", self.port, self.answer, handler_class=Quiet)
        self.thread = Thread(target=self.server.serve_forever, args=[0.05])
        self.thread.start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, environ, start_response):
        if environ.get("HTTP_AUTHORIZATION") != f"Bearer {TOKEN}":
            start_response("401 Unauthorized", [])
            return [b"{}"]
        if self.broken == "503":
            start_response("503 Service Unavailable", [])
            return [b"{}"]
        path = environ["PATH_INFO"]
        if path == "/v1/heads":
            start_response("200 OK", [])
            lanes = ("all", "sagas")
            heads = {log.name: {lane: log.head(lane) for lane in lanes} for log in self.logs}
            body = {"source_prefix": "/bank/1", "heads": heads, "position": "1/"}
            return [json.dumps(body).encode()]
        number = int(path.removeprefix("/log/"))
        if number >= len(self.logs):
            start_response("404 Not Found", [])
            return [b"{}"]
        asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        page = self.logs[number].page(asked["lane"], int(asked["after"]), int(asked["limit"]))
        headers = [("Databank-Source", page.source), ("Databank-Head", str(page.head))]
        start_response("200 OK", headers)
        return [page.body[: len(page.body) // 2] if self.broken == "cut" else page.body]


@pytest.fixture
def producer() -> Iterator[Producer]:
    made = Producer()
    yield made
    made.end()


@pytest.fixture
def reader(producer: Producer) -> Iterator[HttpLogReader]:
    made = HttpLogReader(f"http://127.0.0.1:{producer.port}", TOKEN)
    yield made
    made.close()


def test_a_reader_knows_sources_and_heads_and_reads_pages(producer, reader):
    log = producer.logs[1]
    log.fill(20)

    assert reader.sources() == [log.source for log in producer.logs]
    assert reader.head(log.source, "sagas") == log.head("sagas")
    assert reader.read(log.source, "sagas", 3) == log.batch("sagas", 3, 500)
    level = reader.read(log.source, "all", log.head("all"))
    assert (level.events, level.sequence) == ([], log.head("all"))


def test_another_epochs_source_is_not_found(producer, reader):
    with pytest.raises(NotFoundError):
        reader.read("/bank/2/ledger_00", "all", 0)
    with pytest.raises(NotFoundError):
        reader.head("/bank/2/ledger_00", "all")
    with pytest.raises(NotFoundError):
        reader.read("/bank/1/ledger_07", "all", 0)
    with pytest.raises(NotFoundError):
        reader.read("/bank/1/nonsense", "all", 0)


@pytest.mark.parametrize("broken", ["503", "cut"])
def test_a_producer_that_answers_badly_is_unavailable(producer, reader, broken):
    producer.logs[0].fill(5)
    sources = reader.sources()
    producer.broken = broken

    with pytest.raises(UnavailableError):
        reader.read(sources[0], "all", 0)
    assert reader.sources() == sources


def test_a_producer_that_is_not_there_is_unavailable():
    reader = HttpLogReader(f"http://127.0.0.1:{free_ports(1)[0]}", TOKEN)

    with pytest.raises(UnavailableError):
        reader.sources()
    reader.close()


def test_a_wrong_token_is_unavailable_and_its_error_does_not_tell_it(producer):
    reader = HttpLogReader(f"http://127.0.0.1:{producer.port}", "wrong-secret")

    with pytest.raises(UnavailableError) as failure:
        reader.sources()
    assert "wrong-secret" not in str(failure.value)
    reader.close()


def test_a_feed_follows_over_http_through_trouble(producer, reader):
    view, stop = MemoryConsumer(), Event()
    thread = Thread(target=LogFeed(Inbox([view], reader), reader, stop).run)
    thread.start()
    for broken in ("", "503", "cut", ""):
        producer.broken = broken
        for log in producer.logs:
            log.fill(300)
        if broken:
            assert not wait_for(lambda: len(view.applied) > 900, 0.5)

    logs = producer.logs
    assert wait_for(lambda: all(view.of(log.source) == sequences(log) for log in logs))
    stop.set()
    thread.join(3)
    assert not thread.is_alive()
