"""A log's schema: its recorder and connections, made at first use, and what their failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import InternalError, OperationalError
from psycopg import Connection
from psycopg_pool import PoolTimeout

from shared.db import AWAY, away_is_unavailable
from shared.errors import BusyError, UnavailableError
from shared.recorder import LogRecorder, make_application

TIMEOUTS = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)


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
        """Lend a connection of the schema's pool. Raises UnavailableError, BusyError."""
        with self.lend() as conn:
            conn.execute(f"SET search_path = {self.name}")
            yield conn

    @contextmanager
    def lend(self) -> Iterator[Connection[Any]]:
        """Lend a connection whose search path the caller sets itself."""
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
