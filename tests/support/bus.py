"""Logs, readers and consumers in memory: our own ports, for tests of what lies between them."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from threading import Lock

import msgspec

from shared.bus.types import Page
from shared.contracts.envelope import Batch, Decode, Envelope, decode_batch, source_of
from shared.errors import NotFoundError, UnavailableError


class CrashError(BaseException):
    """The process died here; nothing may catch this but the test."""


class MemoryLog:
    """A log whose ids have holes, as a database's have; every third event or so is in `sagas`."""

    def __init__(self, bank_id: str = "bank", partition: int = 0, epoch: int = 1) -> None:
        self.name = f"ledger_{partition:02d}"
        self.source = source_of(bank_id, epoch, self.name)
        self._lanes: dict[str, list[tuple[int, str]]] = {"all": [], "sagas": []}

    def add(self, subject: str, *, sagas: bool = False, hole: int = 0) -> int:
        """Add an event about an account; return its sequence."""
        sequence = self.head("all") + 1 + hole
        for lane in ("all", "sagas") if sagas else ("all",):
            self._lanes[lane].append((sequence, subject))
        return sequence

    def fill(self, count: int, *, subjects: int = 10) -> None:
        """Add events about some accounts."""
        for number in range(count):
            self.add(f"account-{number % subjects}", sagas=number % 3 == 0, hole=number % 5 == 0)

    def lane(self, lane: str) -> list[tuple[int, str]]:
        """Return sequence and subject of each event of a lane."""
        return list(self._lanes[lane])

    def page(self, lane: str, after: int, limit: int) -> Page:
        """Read a page, as the ledger's log does."""
        chain = self._lanes[lane]
        start = bisect_right(chain, after, key=itemgetter(0))
        previous = chain[start - 1][0] if start else 0
        rows = chain[start : start + limit]
        last, events = previous, []
        for at, subject in rows:
            events.append(self._envelope(at, last, subject))
            last = at
        body = msgspec.json.encode(events)
        return Page(self.source, lane, previous, last, self.head(lane), len(events), body)

    def head(self, lane: str) -> int:
        """Return the lane's last sequence."""
        return self._lanes[lane][-1][0] if self._lanes[lane] else 0

    def batch(self, lane: str, after: int, limit: int) -> Batch:
        """Return a page as it arrives at a consumer."""
        page = self.page(lane, after, limit)
        return decode_batch(page.body, page.source, lane, page.head)

    def _envelope(self, at: int, previous: int, subject: str) -> Envelope:
        return Envelope(
            id=f"{self.source}/{at}",
            source=self.source,
            type="bank.ledger.data_spent.v1",
            subject=subject,
            time="2015-08-01T00:00:00.000+00:00",
            partitionkey=subject,
            sequence=str(at),
            previous=str(previous),
            data={"account": subject},
        )


class MemoryReader:
    """A LogReader of memory logs that can be made to fail and counts its reads."""

    def __init__(self, logs: Iterable[MemoryLog], *, limit: int = 500) -> None:
        self.decode: Decode = decode_batch
        self.logs = {log.source: log for log in logs}
        self.limit = limit
        self.away = False
        self.reads = 0

    def sources(self) -> list[str]:
        """Return the logs' sources."""
        return list(self.logs)

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read a page; waits like a long poll."""
        self._check(source)
        self.reads += 1
        deadline = time.monotonic() + wait_s
        while self.logs[source].head(lane) <= after and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.logs[source].batch(lane, after, self.limit)

    def head(self, source: str, lane: str) -> int:
        """Return a lane's head."""
        self._check(source)
        return self.logs[source].head(lane)

    def _check(self, source: str) -> None:
        if self.away:
            raise UnavailableError("the reader is away")
        if source not in self.logs:
            raise NotFoundError(f"there is no log {source} here")


@dataclass
class MemoryConsumer:
    """A consumer whose effect and position change together; it can fail, be away and crash."""

    name: str = "view"
    lane: str = "all"
    applied: list[tuple[str, int]] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    parked: list[tuple[str, int, str]] = field(default_factory=list)
    fails_on: Callable[[Envelope], bool] = lambda _: False
    away: bool = False
    crash: str = ""
    attempts: int = 0
    tries: list[int] = field(default_factory=list)
    overlaps: int = 0
    pause_s: float = 0.0
    inside: Lock = field(default_factory=Lock)

    def position(self, source: str) -> int:
        """Return the durable position."""
        if self.away:
            raise UnavailableError("the view's database is away")
        return self.positions.get(source, 0)

    def apply(self, batch: Batch) -> None:
        """Apply as a transaction does: all or nothing, crashing before or after the commit."""
        if self.inside.locked():
            self.overlaps += 1
        with self.inside:
            if self.pause_s:
                time.sleep(self.pause_s)
            self._apply(batch)

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Put an event aside and step over it."""
        event = batch.events[0]
        self.parked.append((event.subject, int(event.sequence), error))
        self.positions[batch.source] = batch.sequence
        self.attempts = attempts

    def of(self, source: str) -> list[int]:
        """Return the sequences applied of a source, in the order of their effect."""
        return [sequence for applied, sequence in self.applied if applied == source]

    def _apply(self, batch: Batch) -> None:
        at = self.position(batch.source)
        fresh = [event for event in batch.events if int(event.sequence) > at]
        waiting = {subject for subject, _, _ in self.parked}
        for event in fresh:
            if event.subject not in waiting and self.fails_on(event):
                if len(batch.events) == 1:
                    self.tries.append(int(event.sequence))
                raise ValueError(f"cannot handle {event.id}")
        if self.crash == "before":
            self.crash = ""
            raise CrashError
        for event in fresh:
            if event.subject in waiting:
                self.parked.append((event.subject, int(event.sequence), "behind"))
            else:
                self.applied.append((batch.source, int(event.sequence)))
        self.positions[batch.source] = batch.sequence
        if self.crash == "after":
            self.crash = ""
            raise CrashError


@dataclass
class MemoryBeginner(MemoryConsumer):
    """A consumer that has several batches under way at once, and notes how many."""

    under_way: int = 0
    most_under_way: int = 0

    def begin(self, batch: Batch) -> Callable[[], None]:
        """Begin; the effect comes when the end is waited for."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)

        def end() -> None:
            self.under_way -= 1
            self.apply(batch)

        return end


def sequences(log: MemoryLog, lane: str = "all") -> list[int]:
    """Return the sequences of a lane."""
    return [at for at, _ in log.lane(lane)]


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Wait until something is so; return whether it came."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
