"""One transaction in which a service decides: what it has read, has changed, and stores.

Writers take turns at the log's lock, so whatever is read in a turn is true until its commit: no
limit is passed by two at once, no stream has two versions of an event. A turn serves a whole batch:
every job first says what it needs, all of it is read in a few queries, then the jobs decide one
after the other, and each sees what those before it have done.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from shared.bus import parking
from shared.bus.parking import Parked
from shared.bus.positions import UPSERT_POSITION, InboxPosition
from shared.calendar import Calendar
from shared.contracts.envelope import Envelope
from shared.contracts.ledger import Event
from shared.errors import ConflictError
from shared.pgarrays import bytea16, uuids
from shared.recorder import EventRow, LogRecorder
from shared.sagas.aggregate import Aggregate, Meta, encode, event_of, rebuild

T = TypeVar("T", bound=Aggregate)

SELECT_EVENTS = """
SELECT originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ANY(%b::uuid[]) ORDER BY originator_id, originator_version
"""
SELECT_PARKED = "SELECT DISTINCT account FROM parked WHERE consumer = ANY(%s::text[])"
SELECT_KEYS = "SELECT key, body, subject FROM request_keys WHERE key = ANY(%b::bytea[])"
INSERT_KEYS = """
INSERT INTO request_keys (key, body, subject)
SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::uuid[])
"""


class SagaNeeds:
    """What the jobs of a turn want to read; a service adds its own."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.streams: set[UUID] = set()
        # Whose parked events are looked up: consumers.
        self.consumers: set[str] = set()

    def about(self, sagas: set[UUID]) -> None:
        """Read what the ledger may speak of by these correlation ids."""
        self.streams |= sagas


class SagaTurn:
    """What one transaction knows and changes; `now` is bank time in it."""

    needs: SagaNeeds

    def __init__(
        self, conn: Connection[Any], recorder: LogRecorder, now: int, calendar: Calendar,
        rule_version: int,
    ) -> None:  # fmt: skip
        self.now = now
        self.calendar = calendar
        self.conn = conn
        self._recorder = recorder
        self._rule_version = rule_version
        self._keys: dict[bytes, tuple[bytes, UUID]] = {}
        self._new_keys: dict[bytes, tuple[bytes, UUID]] = {}
        self._aggregates: dict[UUID, Aggregate] = {}
        self._positions: list[InboxPosition] = []
        # In whose name events wait, of the consumers that were asked for.
        self.parked: set[str] = set()

    # What a service adds.

    def find_streams(self) -> set[UUID]:
        """Return the streams that are needed besides those that were named."""
        return set()

    def read_more(self) -> None:
        """Read what else the jobs need, once the streams are there."""

    def take(self, aggregate: Any, facts: list[Any]) -> None:
        """Take in what an aggregate has become, by the facts that are new."""
        raise NotImplementedError

    def write_rows(self) -> None:
        """Write the rows beside the log; in a pipeline."""
        raise NotImplementedError

    def listener(self, saga: UUID) -> Callable[[Event, Meta], Any] | None:
        """Return who hears what the ledger says with this correlation id, None if nobody does."""
        return getattr(self._aggregates.get(saga), "on", None)

    # Reading.

    def read(self) -> None:
        """Read what the jobs need."""
        needs = self.needs
        if needs.keys:
            for key, body, subject in self.rows(SELECT_KEYS, bytea16(list(needs.keys))):
                self._keys[bytes(key)] = (bytes(body), subject)
        if streams := needs.streams | self.find_streams():
            self._read_streams(streams)
        if needs.consumers:
            found = self.rows(SELECT_PARKED, list(needs.consumers))
            self.parked = {account for (account,) in found}
        self.read_more()

    def _read_streams(self, streams: set[UUID]) -> None:
        of: dict[UUID, list[Aggregate.Event]] = {}
        for stream, version, topic, state in self.rows(SELECT_EVENTS, ids(streams)):
            of.setdefault(stream, []).append(event_of(stream, version, topic, state))
        self._aggregates |= {stream: rebuild(events) for stream, events in of.items()}

    def fetch(self, stream: UUID) -> None:
        """Read a stream that only this turn has led to, unless it is there."""
        if stream not in self._aggregates:
            self._read_streams({stream})

    def rows(self, statement: str, value: Any) -> list[Any]:
        """Return the rows of a query with one parameter."""
        cursor = self.conn.cursor(row_factory=tuple_row)
        return cursor.execute(statement, (value,), binary=True).fetchall()

    def found(self, kind: type[T], stream: UUID) -> T | None:
        """Return what was read of a stream, None if it is no such thing."""
        aggregate = self._aggregates.get(stream)
        return aggregate if isinstance(aggregate, kind) else None

    def all_found(self, kind: type[T]) -> list[T]:
        """Return all things of a kind that were read, or have begun in this turn."""
        return [each for each in self._aggregates.values() if isinstance(each, kind)]

    def get(self, stream: UUID) -> Aggregate:
        """Return what was read of a stream, or has begun in this turn; there is something."""
        return self._aggregates[stream]

    # Changing.

    def add(self, aggregate: Aggregate) -> None:
        """Take in an aggregate that begins in this turn."""
        self._aggregates[aggregate.id] = aggregate

    def bound(self, key: bytes, body: bytes) -> UUID | None:
        """Return what a key is bound to, None where it is free. Raises ConflictError."""
        found = self._keys.get(key)
        if found is None:
            return None
        if found[0] != body:
            raise ConflictError
        return found[1]

    def bind(self, key: bytes, body: bytes, subject: UUID) -> None:
        """Bind a key to what it began or changed."""
        self._keys[key] = self._new_keys[key] = (body, subject)

    def reach(self, position: InboxPosition) -> None:
        """Note how far an inbox is once this turn is committed."""
        self._positions.append(position)

    def park(self, consumer: str, event: Envelope, account: str, error: str, attempts: int) -> None:
        """Put an event aside, in a saga's name."""
        cursor = self.conn.cursor()
        parking.park(cursor, consumer, event, error, attempts, at=self.now, account=account)

    def unpark(self, parked: Parked) -> None:
        """Forget an event that was put aside: this turn takes it in."""
        parking.unpark(self.conn.cursor(), [parked])

    def meta(self, actor: str, *, causation_id: str = "", reason: str | None = None) -> Meta:
        """Return who does something in this turn, by the rules in force."""
        return Meta(
            now=self.now, actor=actor, causation_id=causation_id, reason=reason,
            rule_version=self._rule_version,
        )  # fmt: skip

    def store(self) -> None:
        """Store events, rows, keys and positions."""
        events = self._collect()
        with self.conn.pipeline():
            if events:
                self._recorder.append(self.conn.cursor(row_factory=tuple_row), events)
            self.write_rows()
            if self._new_keys:
                bodies, subjects = zip(*self._new_keys.values(), strict=True)
                columns = bytea16(list(self._new_keys)), bytea16(bodies), ids(subjects)
                self.conn.execute(INSERT_KEYS, columns)
            for position in self._positions:
                self.conn.execute(UPSERT_POSITION, position)

    def _collect(self) -> list[EventRow]:
        events: list[EventRow] = []
        for aggregate in self._aggregates.values():
            made: list[Any] = list(aggregate.collect_events())
            if made:
                stream = aggregate.id.bytes
                events += [
                    (stream, each.originator_version, each.TOPIC, encode(each.data))
                    for each in made
                ]
                self.take(aggregate, [each.data for each in made])
        return events


def ids(streams: Iterable[UUID]) -> Any:
    """Return streams as a `uuid[]`."""
    return uuids([stream.bytes for stream in streams])
