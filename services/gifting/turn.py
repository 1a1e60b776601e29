"""One transaction in which gifting decides: what it has read, what has changed, what is stored.

Writers take turns at the log's lock, so whatever is read in a turn is true until its commit: no
limit is passed by two at once, no stream has two versions of an event. A turn serves a whole batch:
every job first says what it needs, all of it is read in a few queries, then the jobs decide one
after the other, and each sees what those before it have done.
"""

from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from services.gifting.domain.aggregate import Aggregate, Meta, encode, event_of, rebuild
from services.gifting.domain.ask import Ask
from services.gifting.domain.gift import Gift
from services.gifting.domain.red_packet import RedPacket
from services.gifting.domain.rules import RuleBook, Rules
from services.gifting.history import GiftRow, History
from services.gifting.projections import Rows
from services.gifting.tallies import Tallies
from shared.bus import parking
from shared.bus.positions import UPSERT_POSITION, InboxPosition
from shared.calendar import Calendar
from shared.contracts.envelope import Envelope
from shared.errors import ConflictError
from shared.pgarrays import bytea16, uuids
from shared.recorder import EventRow, LogRecorder

T = TypeVar("T", bound=Aggregate)

SELECT_EVENTS = """
SELECT originator_id, originator_version, topic, state FROM stored_events
WHERE originator_id = ANY(%b::uuid[]) ORDER BY originator_id, originator_version
"""
SELECT_CLAIMS = "SELECT id, packet_id FROM claims WHERE id = ANY(%b::uuid[])"
SELECT_TOKENS = "SELECT token_hash, id FROM red_packets WHERE token_hash = ANY(%s::text[])"
SELECT_SEEDS = "SELECT id, seed FROM red_packets WHERE id = ANY(%b::uuid[])"
SELECT_PARKED = "SELECT DISTINCT account FROM parked WHERE consumer = ANY(%s::text[])"
SELECT_KEYS = "SELECT key, body, subject FROM request_keys WHERE key = ANY(%b::bytea[])"
INSERT_KEYS = """
INSERT INTO request_keys (key, body, subject)
SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::uuid[])
"""


class Needs:
    """What the jobs of a turn want to read."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.streams: set[UUID] = set()
        # Whose gifts are counted: senders with receivers.
        self.pairs: set[tuple[str, str]] = set()
        # Whose packets, shares and asks are counted.
        self.packet_senders: set[str] = set()
        self.share_receivers: set[str] = set()
        self.askers: set[str] = set()
        # Packets by the hash of their token, and by the claims in them.
        self.tokens: set[str] = set()
        self.claims: set[UUID] = set()
        # Whose parked events are looked up: consumers.
        self.consumers: set[str] = set()


class Turn:
    """What one transaction knows and changes; `now` is bank time in it."""

    def __init__(
        self, conn: Connection[Any], recorder: LogRecorder, now: int, calendar: Calendar,
        rulebook: RuleBook,
    ) -> None:  # fmt: skip
        self.now = now
        self.calendar = calendar
        self.rules: Rules = rulebook.at(now)
        self.needs = Needs()
        self.history = History(now, calendar, self.rules)
        self.tallies = Tallies(now, calendar)
        self.packet_of_token: dict[str, UUID] = {}
        self.packet_of_claim: dict[UUID, UUID] = {}
        # The secret seeds of the packets that were read, or begin in this turn.
        self.seeds: dict[UUID, bytes] = {}
        # When senders' accounts began, by gift, where the ledger has told it.
        self._opened_at: dict[UUID, int | None] = {}
        self._conn = conn
        self._recorder = recorder
        self._keys: dict[bytes, tuple[bytes, UUID]] = {}
        self._new_keys: dict[bytes, tuple[bytes, UUID]] = {}
        self._aggregates: dict[UUID, Aggregate] = {}
        self._positions: list[InboxPosition] = []
        # In whose name events wait, of the consumers that were asked for.
        self.parked: set[str] = set()

    def read(self) -> None:
        """Read what the jobs need."""
        needs = self.needs
        if needs.keys:
            for key, body, subject in self._rows(SELECT_KEYS, bytea16(list(needs.keys))):
                self._keys[bytes(key)] = (bytes(body), subject)
        if needs.tokens:
            self.packet_of_token = dict(self._rows(SELECT_TOKENS, list(needs.tokens)))
        if needs.claims:
            self.packet_of_claim = dict(self._rows(SELECT_CLAIMS, _ids(needs.claims)))
        packets = {*self.packet_of_token.values(), *self.packet_of_claim.values()}
        if streams := needs.streams | packets:
            self._read_streams(streams)
        if needs.consumers:
            found = self._rows(SELECT_PARKED, list(needs.consumers))
            self.parked = {account for (account,) in found}
        self._read_counts()

    def _read_counts(self) -> None:
        needs = self.needs
        if needs.pairs:
            self.history.read(self._conn, needs.pairs)
        if needs.packet_senders:
            self.tallies.read_packets(self._conn, needs.packet_senders)
        if needs.share_receivers:
            self.tallies.read_shares(self._conn, needs.share_receivers)
        if needs.askers:
            self.tallies.read_asks(self._conn, needs.askers)

    def _read_streams(self, streams: set[UUID]) -> None:
        of: dict[UUID, list[Aggregate.Event]] = {}
        for stream, version, topic, state in self._rows(SELECT_EVENTS, _ids(streams)):
            of.setdefault(stream, []).append(event_of(stream, version, topic, state))
        self._aggregates |= {stream: rebuild(events) for stream, events in of.items()}
        packets = [each for each in of if isinstance(self._aggregates[each], RedPacket)]
        if packets:
            seeds = self._rows(SELECT_SEEDS, _ids(packets))
            self.seeds |= {packet: bytes(seed) for packet, seed in seeds}

    def _rows(self, statement: str, value: Any) -> list[Any]:
        cursor = self._conn.cursor(row_factory=tuple_row)
        return cursor.execute(statement, (value,), binary=True).fetchall()

    def found(self, kind: type[T], stream: UUID) -> T | None:
        """Return what was read of a stream, None if it is no such thing."""
        aggregate = self._aggregates.get(stream)
        return aggregate if isinstance(aggregate, kind) else None

    def get(self, stream: UUID) -> Aggregate:
        """Return what was read of a stream, or has begun in this turn; there is something."""
        return self._aggregates[stream]

    def add(self, aggregate: Aggregate) -> None:
        """Take in an aggregate that begins in this turn."""
        self._aggregates[aggregate.id] = aggregate

    def count(self, gift: Gift, sender_opened_at: int | None) -> None:
        """Let a gift that begins in this turn count for those that follow in it."""
        self._opened_at[gift.id] = sender_opened_at
        self.history.add(
            GiftRow(
                id=gift.id, sender=gift.sender, receiver=gift.receiver, bytes=gift.bytes,
                counts=True, asked_at=self.now, sender_opened_at=sender_opened_at,
            )
        )  # fmt: skip

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
        cursor = self._conn.cursor()
        parking.park(cursor, consumer, event, error, attempts, at=self.now, account=account)

    def meta(self, actor: str, *, causation_id: str = "", reason: str | None = None) -> Meta:
        """Return who does something in this turn, by the rules in force."""
        return Meta(
            now=self.now, actor=actor, causation_id=causation_id, reason=reason,
            rule_version=self.rules.version,
        )  # fmt: skip

    def store(self) -> None:
        """Store events, rows, keys and positions."""
        rows = Rows()
        events = self._collect(rows)
        with self._conn.pipeline():
            if events:
                self._recorder.append(self._conn.cursor(row_factory=tuple_row), events)
                rows.write(self._conn)
            if self._new_keys:
                bodies, subjects = zip(*self._new_keys.values(), strict=True)
                columns = bytea16(list(self._new_keys)), bytea16(bodies), _ids(subjects)
                self._conn.execute(INSERT_KEYS, columns)
            for position in self._positions:
                self._conn.execute(UPSERT_POSITION, position)

    def _collect(self, rows: Rows) -> list[EventRow]:
        events: list[EventRow] = []
        for aggregate in self._aggregates.values():
            made: list[Any] = list(aggregate.collect_events())
            if made:
                stream = aggregate.id.bytes
                events += [
                    (stream, each.originator_version, each.TOPIC, encode(each.data))
                    for each in made
                ]
                self._take_rows(rows, aggregate, [each.data for each in made])
        return events

    def _take_rows(self, rows: Rows, aggregate: Aggregate, facts: list[Any]) -> None:
        if isinstance(aggregate, Gift):
            rows.take_gift(aggregate, self.now, self._opened_at.get(aggregate.id))
        elif isinstance(aggregate, RedPacket):
            rows.take_packet(aggregate, self.now, self.seeds[aggregate.id], facts)
        elif isinstance(aggregate, Ask):
            rows.take_ask(aggregate, self.now)


def _ids(streams: Iterable[UUID]) -> Any:
    return uuids([stream.bytes for stream in streams])
