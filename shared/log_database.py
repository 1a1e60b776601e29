"""A log's schema: its recorder and connections, made at first use, and what their failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import InternalError, OperationalError
from psycopg import Connection, Cursor
from psycopg_pool import PoolTimeout

from shared.db import AWAY, away_is_unavailable
from shared.errors import BusyError, UnavailableError
from shared.recorder import LOCK_TIMEOUT_S, LogRecorder, make_application

# The writers' advisory locks; the relay's have a space of their own.
WRITER_LOCK_SPACE = 0x6C656467
# A writer that stops in the middle lets go of its lock. `idle_in_transaction_session_timeout` does
# not see to that: a pipeline ends with a Flush, which disarms it for as long as the client is mute.
HOLD_S = 10
HOLD_TIMEOUT_FROM = 170000

# One statement is less work than four; PostgreSQL evaluates its terms from left to right. The
# fourth tells how long the lock took: in a pipeline nobody else knows.
TAKE_TURN = """
SELECT set_config('search_path', %s, true), set_config('lock_timeout', %s, true),
pg_advisory_xact_lock(%s, %s),
extract(epoch FROM clock_timestamp() - statement_timestamp())::float8
"""
HOLD = ", set_config('transaction_timeout', %s, true)"

TIMEOUTS = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)


def turn_of(cursor: Cursor[Any], name: str, number: int) -> tuple[str, str, str, int, int]:
    """Return what a function of the database needs to do what `take_turn` does.

    These are the schema, how long it may wait for its turn and then hold it ('': not limited by
    this server), and the lock.
    """
    held = cursor.connection.info.server_version >= HOLD_TIMEOUT_FROM
    hold = f"{HOLD_S}s" if held else ""
    return name, f"{LOCK_TIMEOUT_S}s", hold, WRITER_LOCK_SPACE, number


def take_turn(cursor: Cursor[Any], name: str, number: int) -> None:
    """Wait for this log's turn to write, at most 5 s, and look at its schema until the commit.

    The row's fourth column tells how long it took, in seconds.
    """
    schema, lock_for, hold_for, *lock = turn_of(cursor, name, number)
    statement, values = TAKE_TURN, (schema, lock_for, *lock)
    if hold_for:
        statement, values = TAKE_TURN + HOLD, (*values, hold_for)
    cursor.execute(statement, values, binary=True)


class NoConnectionError(UnavailableError):
    """No connection was to be had for 5 s; nothing was sent."""


class LogDatabase:
    """The schema of one log. Threads may share it."""

    def __init__(self, name: str, conninfo: str) -> None:
        self.name = name
        self._conninfo = conninfo
        self._application: Application[UUID] | None = None
        self._connecting = Lock()

    @property
    def recorder(self) -> LogRecorder:
        """Return the recorder, connecting at first use. Raises UnavailableError."""
        with self._connecting:
            if self._application is None:
                with away_is_unavailable():
                    self._application = make_application(self.name, self._conninfo)
            recorder = self._application.recorder
        assert isinstance(recorder, LogRecorder)
        return recorder

    def close(self) -> None:
        """Give the connections back."""
        if self._application is not None:
            self._application.close()

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """Lend a connection that looks at the schema. Raises UnavailableError, BusyError."""
        recorder = self.recorder
        try:
            with recorder.datastore.get_connection() as conn:
                yield conn
        except OperationalError as error:
            cause = error.__cause__
            if isinstance(cause, psycopg.errors.LockNotAvailable):
                raise BusyError(f"{self.name} is busy, try again") from error
            if isinstance(cause, PoolTimeout):
                raise NoConnectionError("the database does not answer, try again") from error
            raise UnavailableError(f"the database is not reachable: {error}") from error
        except InternalError as error:
            if isinstance(error.__cause__, TIMEOUTS):
                raise UnavailableError(f"the database ended the transaction: {error}") from error
            raise
        except AWAY as error:
            raise UnavailableError(f"the database is not reachable: {error}") from error

    def wait_for_turns(self, number: int) -> None:
        """Wait until every writer's turn that began before has ended. Raises BusyError."""
        with self.connection() as conn, conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
            conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (WRITER_LOCK_SPACE, number))
