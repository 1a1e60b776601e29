"""Connections to PostgreSQL and what their failures mean."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout

from shared.errors import UnavailableError

CONNECT_TIMEOUT_S = 5

# A writer that stops in the middle (SIGSTOP, a stuck host) lets go after this time.
IDLE_IN_TRANSACTION_MS = 10_000

AWAY = (
    psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OperationalError, InterfaceError,
)  # fmt: skip


def connect(conninfo: str, *, schema: str | None = None, **kwargs: Any) -> Connection[Any]:
    """Open a connection in autocommit mode. Raises UnavailableError."""
    try:
        return psycopg.connect(conninfo, autocommit=True, **_arguments(schema), **kwargs)
    except AWAY as error:
        raise UnavailableError(f"the database is not reachable: {error}") from error


def make_pool(
    conninfo: str = "", *, schema: str | None = None, size: int = 1, overflow: int = 2,
    **kwargs: Any,
) -> ConnectionPool:  # fmt: skip
    """Return a small pool that opens at first use."""
    return ConnectionPool(
        conninfo,
        min_size=size,
        max_size=size + overflow,
        open=False,
        timeout=CONNECT_TIMEOUT_S,
        check=check_alive,
        kwargs={"autocommit": True, **_arguments(schema), **kwargs},
    )


def check_alive(conn: Connection[Any]) -> None:
    """Raise OperationalError where a connection died while it lay in the pool.

    A server that hangs up says so: only where something has come is it worth a question, which
    would cost a round trip each time.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if poll.poll(0):
        ConnectionPool.check_connection(conn)


def _arguments(schema: str | None) -> dict[str, Any]:
    options = f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
    if schema is not None:
        options += f" -c search_path={schema}"
    return {"connect_timeout": CONNECT_TIMEOUT_S, "options": options}


@contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Turn a lost or missing database into UnavailableError."""
    try:
        yield
    except AWAY as error:
        raise UnavailableError(f"the database is not reachable: {error}") from error
