"""Gifting's log as a test writes it: the contract's events, in lanes, without gifting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, ClassVar

import msgspec
from flask import Flask, Response, request
from werkzeug.serving import make_server

from shared.contracts import gifting
from shared.contracts.envelope import LANES, Batch, Decode, Envelope, decode_batch, time_text
from shared.contracts.ledger import Event
from shared.errors import NotFoundError, UnavailableError

SOURCE = "/bank/1/gifting_00"


class GiftingLog:
    """A log of gifting in memory; it is also a LogReader of itself."""

    source: ClassVar = SOURCE
    saga_types: ClassVar = gifting.SAGA_TYPES

    def __init__(self) -> None:
        self.decode: Decode = decode_batch
        self.events: list[Event] = []
        self.away = False

    def add(self, *events: Event) -> None:
        """Record events."""
        self.events += events

    def sources(self) -> list[str]:
        """Return the one source."""
        return [self.source]

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read up to 500 events of a lane."""
        del wait_s
        self._answer()
        if source != self.source:
            raise NotFoundError(f"there is no log {source} here")
        numbers = [n for n in self._lane(lane) if n > after][:500]
        if not numbers:
            head = self.head(source, lane)
            return Batch(self.source, lane, head, head, [])
        before = max((n for n in self._lane(lane) if n <= after), default=0)
        found = []
        for number in numbers:
            found.append(self._envelope(number, before))
            before = number
        return Batch(self.source, lane, int(found[0].previous), numbers[-1], found)

    def head(self, source: str, lane: str) -> int:
        """Return the sequence of the lane's last event."""
        del source
        self._answer()
        return max(self._lane(lane), default=0)

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("its service is away")

    def _lane(self, lane: str) -> list[int]:
        numbered = enumerate(self.events, start=1)
        return [n for n, event in numbered if lane == "all" or event.TYPE in self.saga_types]

    def _envelope(self, number: int, before: int) -> Envelope:
        event = self.events[number - 1]
        return Envelope(
            id=f"{self.source}/{number}", source=self.source, type=event.TYPE,
            subject=event.account, time=time_text(event.recorded_at),
            partitionkey=event.account, sequence=str(number),
            previous=str(before), correlationid=event.correlation_id or None,
            data=msgspec.json.decode(msgspec.json.encode(event)),
        )  # fmt: skip


@contextmanager
def served(log: GiftingLog, port: int) -> Iterator[None]:
    """Serve a log over HTTP, as gifting's web process does, while the block runs."""
    app = Flask("gifting")

    @app.get("/v1/heads")
    def heads() -> Response:
        lanes = {lane: log.head(SOURCE, lane) for lane in LANES}
        return _json({"source_prefix": "/bank/1", "heads": {"gifting_00": lanes}})

    @app.get("/log/0")
    def page() -> Response:
        lane = request.args["lane"]
        batch = log.read(SOURCE, lane, int(request.args["after"]))
        if not batch.events:
            time.sleep(0.05)
        headers = {"Databank-Source": SOURCE, "Databank-Head": str(log.head(SOURCE, lane))}
        return Response(msgspec.json.encode(batch.events), headers=headers)

    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), content_type="application/json")
