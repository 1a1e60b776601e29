"""One partition of the ledger: each batch is one transaction, taken in turns.

Order inside a batch: the partition's advisory lock; then in one round trip the command keys, the
accounts' states and the log's last instant; the decision in memory; then keys, events, states and
inbox positions together. A key that is known is never applied again, so a batch whose COMMIT was
lost may simply be run once more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, InternalError, OperationalError
from psycopg import Connection, Cursor
from psycopg.rows import dict_row, tuple_row
from psycopg_pool import PoolTimeout

from services.ledger import metrics
from services.ledger.batch import (
    Batch,
    Item,
    KeyRow,
    Loaded,
    accounts_of,
    keys_of,
    of_newer_version,
)
from services.ledger.codec import decode_account, decode_event, decode_facts
from services.ledger.domain.account import STATE_FORMAT, Account, evolve
from services.ledger.domain.commands import Usage
from services.ledger.domain.context import Context
from services.ledger.domain.rules import RuleBook
from services.ledger.outcomes import refused, repeat_command, repeat_usage
from services.ledger.publishing import StoredRules
from services.ledger.recorder import LOCK_TIMEOUT_S, PartitionRecorder, make_application
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.contracts.ledger import EVENT_BY_TYPE, DataSpent, Event
from shared.db import AWAY, away_is_unavailable
from shared.errors import BusyError, UnavailableError
from shared.ids import log_name, stream_id
from shared.logs import logger
from shared.pgarrays import bytea, bytea16, int4s, int8s, texts, uuids

# The writers' advisory locks; the relay's have a space of their own.
WRITER_LOCK_SPACE = 0x6C656467
ATTEMPTS_MAX = 4
# A writer that stops in the middle lets go of its lock. `idle_in_transaction_session_timeout` does
# not see to that: a pipeline ends with a Flush, which disarms it for as long as the client is mute.
HOLD_S = 10
HOLD_TIMEOUT_FROM = 170000

# One statement is less work than four; PostgreSQL evaluates its terms from left to right. The last
# one tells how long the lock took: in a pipeline nobody else knows.
TAKE_TURN = f"""
SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_S}s', true), set_config('search_path', %s, true),
pg_advisory_xact_lock(%s, %s),
extract(epoch FROM clock_timestamp() - statement_timestamp())::float8
"""
HOLD = f", set_config('transaction_timeout', '{HOLD_S}s', true)"
INSERT_KEYS = """
INSERT INTO command_keys (key, body, stream, version, events)
SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::uuid[], %b::int8[], %b::int4[])
"""
UPSERT_STATES = """
INSERT INTO account_state AS s (id, account, version, format, next_deadline, state)
SELECT id, account, version, %s, nullif(next_deadline, 0), state
FROM unnest(%b::uuid[], %b::text[], %b::int8[], %b::int8[], %b::bytea[])
AS u(id, account, version, next_deadline, state)
ON CONFLICT (id) DO UPDATE
SET version = excluded.version, format = excluded.format,
    next_deadline = CASE excluded.next_deadline WHEN -1 THEN s.next_deadline
        ELSE excluded.next_deadline END,
    state = excluded.state
"""
UPSERT_POSITION = """
INSERT INTO inbox_positions AS p (consumer, source, lane, sequence) VALUES (%s, %s, %s, %s)
ON CONFLICT (consumer, source, lane)
DO UPDATE SET sequence = greatest(p.sequence, excluded.sequence)
"""
SELECT_EVENTS = """
SELECT uuid_send(e.originator_id), e.originator_version, e.topic, e.state
FROM stored_events e JOIN unnest(%b::uuid[], %b::int8[], %b::int4[]) AS k(stream, version, events)
ON e.originator_id = k.stream AND e.originator_version >= k.version
AND e.originator_version < k.version + k.events
"""


TIMEOUTS = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)


class NoConnectionError(UnavailableError):
    """No connection was to be had for 5 s; nothing was sent."""


class InboxPosition(NamedTuple):
    """How far a consumer is in a lane of a source."""

    consumer: str
    source: str
    lane: str
    sequence: int


class Partition:
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
        self.number = number
        self.name = log_name(number)
        self.clock = clock
        self.calendar = calendar
        self.rules = StoredRules(rulebook)
        self._conninfo = conninfo
        self._application: Application[UUID] | None = None
        self._connecting = Lock()

    @property
    def rulebook(self) -> RuleBook:
        """Return the rules as the last batch had them."""
        return self.rules.book

    @property
    def recorder(self) -> PartitionRecorder:
        """Return the recorder, connecting at first use. Raises UnavailableError."""
        with self._connecting:
            if self._application is None:
                with away_is_unavailable():
                    self._application = make_application(self.number, self._conninfo)
            recorder = self._application.recorder
        assert isinstance(recorder, PartitionRecorder)
        return recorder

    def close(self) -> None:
        """Give the connections back."""
        if self._application is not None:
            self._application.close()

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """Lend a connection of the partition's pool. Raises UnavailableError, BusyError."""
        with self._lend() as conn:
            conn.execute(f"SET search_path = {self.name}")
            yield conn

    @contextmanager
    def _lend(self) -> Iterator[Connection[Any]]:
        recorder = self.recorder
        try:
            with recorder.datastore.get_connection() as conn:
                yield conn
        except OperationalError as error:
            cause = error.__cause__
            if isinstance(cause, psycopg.errors.LockNotAvailable):
                raise BusyError(f"partition {self.name} is busy, try again") from error
            if isinstance(cause, PoolTimeout):
                raise NoConnectionError("the database does not answer, try again") from error
            raise UnavailableError(f"the database is not reachable: {error}") from error
        except InternalError as error:
            if isinstance(error.__cause__, TIMEOUTS):
                raise UnavailableError(f"the database ended the transaction: {error}") from error
            raise
        except AWAY as error:
            raise UnavailableError(f"the database is not reachable: {error}") from error

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
        with self._lend() as conn, conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            now, loaded, known, head = self._load(conn, items)
            batch = Batch(Context(now, self.calendar, self.rulebook), loaded, known)
            batch.run(items)
            position = self._store(conn, batch, positions) or head
            self._answer_repeats(cursor, items)
        return position

    def rehearse(self, items: list[Item]) -> None:
        """Decide a batch exactly as `execute` would now, in its turn, and store nothing.

        Raises BusyError, UnavailableError.
        """
        with self._lend() as conn, conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            now, loaded, known, _ = self._load(conn, items)
            Batch(Context(now, self.calendar, self.rulebook), loaded, known).run(items)
            self._answer_repeats(cursor, items)

    def _load(
        self, conn: Connection[Any], items: list[Item]
    ) -> tuple[int, Loaded, dict[bytes, KeyRow], int]:
        ids = [stream_id(account) for account in accounts_of(items)]
        keys, states, last, lock = (conn.cursor(row_factory=tuple_row) for _ in range(4))
        with conn.pipeline():
            held = conn.info.server_version >= HOLD_TIMEOUT_FROM
            turn = (self.name, WRITER_LOCK_SPACE, self.number)
            lock.execute(TAKE_TURN + (HOLD if held else ""), turn, binary=True)
            keys.execute(
                "SELECT key, body, uuid_send(stream), version, events FROM command_keys"
                " WHERE key = ANY(%b::bytea[])",
                (bytea16(keys_of(items)),), binary=True,
            )  # fmt: skip
            states.execute(
                "SELECT uuid_send(id), version, format, state FROM account_state"
                " WHERE id = ANY(%b::uuid[])",
                (uuids(ids),), binary=True,
            )  # fmt: skip
            last.execute(
                "SELECT notification_id, state, (SELECT coalesce(max(version), 0) FROM rules)"
                " FROM stored_events ORDER BY notification_id DESC LIMIT 1",
                binary=True,
            )
        for _, _, _, waited_s, *_ in lock:
            metrics.LOCK_WAIT_SECONDS.labels(self.name).observe(waited_s)
        known = {row[0]: KeyRow(*row) for row in keys}
        loaded: Loaded = {}
        for stream, version, state_format, state in states:
            account = self.load_state(conn, stream, state_format, state)
            loaded[stream] = None if account is None else (account, version)
        now, head = self.clock.now(), 0
        for sequence, state, rules in last:
            head = sequence
            now = max(now, decode_facts(state).recorded_at)
            self.rules.follow(conn, rules)
        return now, loaded, known, head

    @contextmanager
    def turn(self) -> Iterator[tuple[Connection[Any], int]]:
        """In turn with the writers, lend a transaction; gives bank time in it, too.

        The rulebook is then the stored one. Raises BusyError, UnavailableError.
        """
        with self._lend() as conn, conn.transaction():
            now, *_ = self._load(conn, [])
            yield conn, now

    def _store(
        self, conn: Connection[Any], batch: Batch, positions: Sequence[InboxPosition]
    ) -> int | None:
        inserted = conn.cursor(row_factory=tuple_row)
        with conn.pipeline(), conn.cursor() as cursor:
            if batch.rows:
                self.recorder.append(inserted, batch.rows)
                ids, names, versions, deadlines, states = batch.states()
                columns = uuids(ids), texts(names), int8s(versions), int8s(deadlines), bytea(states)
                cursor.execute(UPSERT_STATES, (STATE_FORMAT, *columns))
            if batch.keys:
                cursor.execute(INSERT_KEYS, _key_columns(batch.keys))
            for position in positions:
                cursor.execute(UPSERT_POSITION, position)
        return max(row[0] for row in inserted) if batch.rows else None

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
                item.outcome = repeat_command(item.what, made, row.version)

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

    def accounts_due(self, now: int, limit: int) -> list[str]:
        """Return accounts that the clock has something to do with by now, the earliest first."""
        with self.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(
                "SELECT account FROM account_state WHERE next_deadline <= %s"
                " ORDER BY next_deadline LIMIT %s",
                (now, limit),
            ).fetchall()  # fmt: skip
        return [row[0] for row in rows]

    def barrier(self) -> int:
        """Wait until every batch that began before has ended; return bank time then."""
        with self.connection() as conn, conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
            conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (WRITER_LOCK_SPACE, self.number))
        return self.clock.now()


def _key_columns(rows: list[KeyRow]) -> tuple[Any, ...]:
    return (
        bytea16([row.key for row in rows]),
        bytea16([row.body for row in rows]),
        uuids([row.stream for row in rows]),
        int8s([row.version for row in rows]),
        int4s([row.events for row in rows]),
    )
