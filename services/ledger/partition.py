"""One partition of the ledger: each batch is one transaction, taken in turns.

Order inside a batch: with one statement the partition's advisory lock, then the command keys, the
accounts' states and the log's last instant; the decision in memory; then events, states and keys
with one statement, and inbox positions. A key that is known is never applied again, so a batch
whose COMMIT was lost may simply be run once more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError
from psycopg import Connection, Cursor
from psycopg.rows import dict_row, tuple_row

from services.ledger import metrics
from services.ledger.batch import Batch, Loaded
from services.ledger.codec import decode_account, decode_event
from services.ledger.domain.account import STATE_FORMAT, Account
from services.ledger.domain.commands import Usage
from services.ledger.domain.context import Context
from services.ledger.domain.evolving import evolve
from services.ledger.domain.rules import RuleBook
from services.ledger.items import Item, KeyRow, accounts_of, keys_of, of_newer_version
from services.ledger.offers import StoredOffers
from services.ledger.outcomes import refused, repeat_command, repeat_usage
from services.ledger.publishing import StoredRules
from services.ledger.sponsors import Sponsors
from shared.bus.positions import UPSERT_POSITION, InboxPosition
from shared.bus.stored_log import decode_facts
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.contracts.ledger import EVENT_BY_TYPE, DataSpent, Event
from shared.errors import BusyError, UnavailableError
from shared.ids import log_name, stream_id
from shared.log_database import LogDatabase, NoConnectionError, turn_of
from shared.logs import logger
from shared.pgarrays import bytea, bytea16, int4s, int8s, texts, uuids
from shared.recorder import event_columns

ATTEMPTS_MAX = 4
# Functions of the partition's schema (infra/migrations/ledger/0008_batches.sql).
LOAD = "SELECT * FROM load_batch(%s, %s, %s, %s, %s, %b::bytea[], %b::uuid[])"
STORE = """
SELECT store_batch(%s, %b::uuid[], %b::int8[], %b::text[], %b::bytea[],
    %s, %b::uuid[], %b::text[], %b::int8[], %b::int8[], %b::bytea[],
    %b::bytea[], %b::bytea[], %b::uuid[], %b::int8[], %b::int4[])
"""
SELECT_EVENTS = """
SELECT uuid_send(e.originator_id), e.originator_version, e.topic, e.state
FROM stored_events e JOIN unnest(%b::uuid[], %b::int8[], %b::int4[]) AS k(stream, version, events)
ON e.originator_id = k.stream AND e.originator_version >= k.version
AND e.originator_version < k.version + k.events
"""


class Due(NamedTuple):
    """When (milliseconds) the clock has something to do with an account."""

    at: int
    account: str


FIRST_DUE = Due(0, "")


class Partition(LogDatabase):
    """Executes batches on one partition and reads its state. Threads may share it."""

    def __init__(
        self,
        number: int,
        conninfo: str,
        *,
        clock: BankClock,
        calendar: Calendar,
        rulebook: RuleBook,
    ) -> None:
        super().__init__(log_name(number), conninfo)
        self.number = number
        self.clock = clock
        self.calendar = calendar
        self.rules = StoredRules(rulebook)
        self.offers = StoredOffers()

    @property
    def rulebook(self) -> RuleBook:
        """Return the rules as the last batch had them."""
        return self.rules.book

    def execute(self, items: list[Item], positions: Sequence[InboxPosition] = ()) -> int:
        """Decide and store a batch; every item then has its outcome. Returns the log's position.

        Raises BusyError (another writer for 5 s), UnavailableError; then nothing is known to be
        stored, and a repeat is safe.
        """
        began = perf_counter()
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                at = self._try(items, positions)
            except (IntegrityError, UnavailableError) as error:
                # The commit may have happened: the keys tell, at the next try.
                last = isinstance(error, BusyError | NoConnectionError) or attempt == ATTEMPTS_MAX
                reason = getattr(error, "code", "integrity") if last else "retried"
                metrics.BATCH_FAILURES.labels(self.name, reason).inc()
                if last:
                    raise
                logger().warning("batch_retried", log=self.name, attempt=attempt, error=str(error))
                for item in items:
                    item.outcome = item.repeats = None
            else:
                metrics.observe_batch(self.name, items, perf_counter() - began)
                return at
        raise AssertionError

    def _try(self, items: list[Item], positions: Sequence[InboxPosition]) -> int:
        with (
            self.connection() as conn,
            conn.transaction(),
            conn.cursor(row_factory=tuple_row) as cursor,
        ):
            now, loaded, known, head = self._load(conn, items)
            batch = self._batch(conn, items, now, loaded, known)
            batch.run(items)
            position = self._store(conn, batch, positions) or head
            self._answer_repeats(cursor, items)
        return position

    def rehearse(self, items: list[Item]) -> None:
        """Decide a batch exactly as `execute` would now, in its turn, and store nothing.

        Raises BusyError, UnavailableError.
        """
        with (
            self.connection() as conn,
            conn.transaction(),
            conn.cursor(row_factory=tuple_row) as cursor,
        ):
            now, loaded, known, _ = self._load(conn, items)
            self._batch(conn, items, now, loaded, known).run(items)
            self._answer_repeats(cursor, items)

    def _batch(
        self, conn: Connection[Any], items: list[Item], now: int, loaded: Loaded,
        known: dict[bytes, KeyRow],
    ) -> Batch:  # fmt: skip
        book = self.offers.book
        context = Context(now, self.calendar, self.rulebook, book.offers)
        if not book.offers:
            return Batch(context, loaded, known)
        members = self.offers.members(conn, [item.what for item in items])
        return Batch(context, loaded, known, Sponsors(book, members, self.number))

    def _load(
        self, conn: Connection[Any], items: list[Item]
    ) -> tuple[int, Loaded, dict[bytes, KeyRow], int]:
        quotas = self.offers.book.quotas_of((item.what for item in items), self.number)
        ids = [stream_id(account) for account in (*accounts_of(items), *quotas)]
        cursor = conn.cursor(row_factory=tuple_row)
        turn = turn_of(cursor, self.name, self.number)
        cursor.execute(LOAD, (*turn, bytea16(keys_of(items)), uuids(ids)), binary=True)
        known: dict[bytes, KeyRow] = {}
        loaded: Loaded = {}
        now, head = self.clock.now(), 0
        for what, a, b, c, m, n, o, waited_s in cursor:
            if what == "key":
                known[a] = KeyRow(a, b, c, m, n)
            elif what == "state":
                account = self.load_state(conn, a, n, b)
                loaded[a] = None if account is None else (account, m)
            elif what == "last":
                head = m
                now = max(now, decode_facts(a).recorded_at)
                self.rules.follow(conn, n)
                self.offers.follow(conn, o)
            else:
                metrics.LOCK_WAIT_SECONDS.labels(self.name).observe(waited_s)
        return now, loaded, known, head

    @contextmanager
    def turn(self) -> Iterator[tuple[Connection[Any], int]]:
        """In turn with the writers, lend a transaction; gives bank time in it, too.

        The rulebook is then the stored one. Raises BusyError, UnavailableError.
        """
        with self.connection() as conn, conn.transaction():
            now, *_ = self._load(conn, [])
            yield conn, now

    def _store(
        self, conn: Connection[Any], batch: Batch, positions: Sequence[InboxPosition]
    ) -> int | None:
        cursor, position = conn.cursor(row_factory=tuple_row), None
        if batch.rows or batch.keys:
            columns = (
                self.recorder.channel_name, *event_columns(batch.rows),
                STATE_FORMAT, *_state_columns(batch), *_key_columns(batch.keys),
            )  # fmt: skip
            ((position,),) = cursor.execute(STORE, columns)
        for moved in positions:
            cursor.execute(UPSERT_POSITION, moved)
        return position

    def _answer_repeats(self, cursor: Cursor[Any], items: list[Item]) -> None:
        rows = {
            (item.repeats.stream, item.repeats.version): item.repeats
            for item in items
            if item.repeats
        }
        if not rows:
            return
        events = self._events_of(cursor, list(rows.values()))
        for item in items:
            if item.repeats is None:
                continue
            row = item.repeats
            places = [(row.stream, row.version + n) for n in range(row.events)]
            made = [events[place] for place in places if place in events]
            if len(made) < row.events:
                item.outcome = refused(item.what, of_newer_version(item.what.account), item.meta)
            elif isinstance(item.what, Usage):
                assert isinstance(made[0], DataSpent)
                item.outcome = repeat_usage(item.what, made[0])
            else:
                item.outcome = repeat_command(item.what, made, row.version, self.calendar)

    def _events_of(self, cursor: Cursor[Any], rows: list[KeyRow]) -> dict[tuple[bytes, int], Event]:
        """Return the events that keys are bound to; those of a newer version are missing."""
        cursor.execute(SELECT_EVENTS, _key_columns(rows)[2:], binary=True)
        return {
            (stream, version): decode_event(topic, state)
            for stream, version, topic, state in cursor
            if topic in EVENT_BY_TYPE
        }

    def load_state(
        self, conn: Connection[Any], stream: bytes, state_format: int, state: bytes
    ) -> Account | None:
        """Read a stored state; one of another format is folded anew from the log.

        None where a newer version, to which this one is the way back, has written events that this
        one does not know.
        """
        return decode_account(state_format, bytes(state)) or self.refold(conn, stream)

    def refold(self, conn: Connection[Any], stream: bytes) -> Account | None:
        """Fold an account's events anew; None where one of them is of a newer version."""
        cursor = conn.cursor(row_factory=tuple_row)
        cursor.execute(
            "SELECT topic, state FROM stored_events"
            " WHERE originator_id = %s ORDER BY originator_version",
            (UUID(bytes=stream),),
        )
        account: Account | None = None
        for topic, state in cursor:
            if topic not in EVENT_BY_TYPE:
                return None
            account = evolve(account, decode_event(topic, bytes(state)))
        assert account is not None
        return account

    def account(self, account_id: str) -> tuple[Account, int] | None:
        """Return an account's state and version, None if there is no such account.

        Raises RefusedError newer_version.
        """
        stream = stream_id(account_id)
        with self.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            cursor.execute(
                "SELECT version, format, state FROM account_state WHERE id = %s",
                (UUID(bytes=stream),),
            )
            row = cursor.fetchone()
            if row is None:
                return None
            state = self.load_state(conn, stream, row[1], row[2])
        if state is None:
            raise of_newer_version(account_id)
        return state, row[0]

    def events_by_key(self, key: bytes) -> list[Event]:
        """Return the events that a key made, none if it is not bound."""
        with self.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            cursor.execute(
                "SELECT key, body, uuid_send(stream), version, events FROM command_keys"
                " WHERE key = %s",
                (key,),
            )
            row = cursor.fetchone()
            if row is None:
                return []
            bound = KeyRow(*row)
            events = self._events_of(cursor, [bound])
        places = [(bound.stream, bound.version + n) for n in range(bound.events)]
        return [events[place] for place in places if place in events]

    def account_events(
        self, account_id: str, after: int, limit: int
    ) -> list[tuple[int, str, bytes]]:
        """Return an account's events after a version: version, type, stored JSON."""
        with self.connection() as conn:
            return conn.cursor(row_factory=tuple_row).execute(
                "SELECT originator_version, topic, state FROM stored_events"
                " WHERE originator_id = %s AND originator_version > %s"
                " ORDER BY originator_version LIMIT %s",
                (UUID(bytes=stream_id(account_id)), after, limit), binary=True,
            ).fetchall()  # fmt: skip

    def parked(self) -> list[dict[str, Any]]:
        """Return the events that this partition's inbox has put aside."""
        with self.connection() as conn:
            return conn.cursor(row_factory=dict_row).execute(
                "SELECT consumer, source, sequence, account, event->>'type' AS type, error,"
                " attempts, parked_at FROM parked ORDER BY source, sequence"
            ).fetchall()  # fmt: skip

    def accounts_due(self, now: int, limit: int, after: Due = FIRST_DUE) -> list[Due]:
        """Return accounts that the clock has something to do with by now, the earliest first.

        `after` the last one of the page before.
        """
        with self.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(
                "SELECT next_deadline, account FROM account_state WHERE next_deadline <= %s"
                " AND (next_deadline, account) > (%s, %s) ORDER BY next_deadline, account LIMIT %s",
                (now, *after, limit),
            ).fetchall()  # fmt: skip
        return [Due(*row) for row in rows]

    def barrier(self) -> int:
        """Wait until every batch that began before has ended; return bank time then."""
        self.wait_for_turns(self.number)
        return self.clock.now()


def _state_columns(batch: Batch) -> tuple[Any, ...]:
    ids, names, versions, deadlines, states = batch.states()
    return uuids(ids), texts(names), int8s(versions), int8s(deadlines), bytea(states)


def _key_columns(rows: list[KeyRow]) -> tuple[Any, ...]:
    return (
        bytea16([row.key for row in rows]),
        bytea16([row.body for row in rows]),
        uuids([row.stream for row in rows]),
        int8s([row.version for row in rows]),
        int4s([row.events for row in rows]),
    )
