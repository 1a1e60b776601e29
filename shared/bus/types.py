"""What the two transports, the relay and the inbox agree on."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from shared.contracts.envelope import Batch, Decode


class Page(msgspec.Struct, frozen=True):
    """A stretch of one lane of one log, as bytes ready to be served or published.

    `body` is a CloudEvents batch (a JSON array of `count` events); `previous` and `sequence` bound
    it; `head` is the lane's last sequence when it was read. An empty page has `body` `[]`.
    """

    source: str
    lane: str
    previous: int
    sequence: int
    head: int
    count: int
    body: bytes


class Log(Protocol):
    """A producer's own log (one partition), read from its database."""

    name: str
    source: str

    def page(self, lane: str, after: int, limit: int) -> Page:
        """Read up to `limit` events of the lane after a sequence."""
        ...

    def head(self, lane: str) -> int:
        """Return the sequence of the lane's last event, 0 when there is none."""
        ...


class LogReader(Protocol):
    """A consumer's way to a producer's logs: over HTTP, or straight where it owns them.

    `decode` reads a page's body, whoever brought it.
    """

    @property
    def decode(self) -> Decode:
        """Return how this consumer's pages are read."""
        ...

    def sources(self) -> list[str]:
        """Return the sources of all logs that can be read."""
        ...

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read the next events of a lane, waiting up to `wait_s` for the first one."""
        ...

    def head(self, source: str, lane: str) -> int:
        """Return the sequence of the lane's last event."""
        ...


class Consumer(Protocol):
    """Something that follows lanes: a view, or a ledger partition."""

    name: str
    lane: str

    def position(self, source: str) -> int:
        """Return the durable position, 0 at the beginning."""
        ...

    def apply(self, batch: Batch) -> None:
        """Write the effect of the events and the position `batch.sequence` in one transaction.

        Events at or below the stored position are dropped. Events of an account that has a
        parked event are parked behind it. Raises UnavailableError when the database is away.
        """
        ...

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Store a batch of one event as parked and step over it, in one transaction."""
        ...


@runtime_checkable
class Beginner(Consumer, Protocol):
    """A consumer that can have several batches, each of another source, under way at once."""

    def begin(self, batch: Batch) -> Callable[[], None]:
        """Begin to do `apply`; what is returned waits for its end, and raises as that does.

        Until then nobody may ask for the position.
        """
        ...
