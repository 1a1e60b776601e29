"""Connections to RabbitMQ that end: every wait for an answer has a limit."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingConnection
from pika.exceptions import AMQPError, AMQPHeartbeatTimeout

from shared.errors import UnavailableError

# A publish into a black hole returns after 2 * (heartbeat + 5) s.
HEARTBEAT_S = 10
BLOCKED_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 5
CLOSE_TIMEOUT_S = 2.0
# A healthy broker may still never answer for one queue (see `answer_within`).
ANSWER_TIMEOUT_S = 20.0

# pika raises more than its own errors when a connection dies at a bad moment.
BROKER_AWAY = (AMQPError, OSError, ValueError, AssertionError, KeyError, IndexError, AttributeError)


class NoAnswerError(UnavailableError):
    """The broker lives but gave no answer in time."""


def open_connection(url: str) -> BlockingConnection:
    """Connect to a broker. Raises UnavailableError; its text never holds the URL's password."""
    # It tells each failed attempt in ten lines; ours tell it in one.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    try:
        parameters = pika.URLParameters(url)
        parameters.heartbeat = HEARTBEAT_S
        parameters.blocked_connection_timeout = BLOCKED_TIMEOUT_S
        parameters.socket_timeout = CONNECT_TIMEOUT_S
        parameters.stack_timeout = CONNECT_TIMEOUT_S
        parameters.connection_attempts = 1
        return BlockingConnection(parameters)
    except BROKER_AWAY as error:
        raise UnavailableError(f"the broker is not reachable: {type(error).__name__}") from error


def close_quietly(connection: BlockingConnection | None) -> None:
    """Close a connection that may be broken, within 2 s."""
    if connection is None or not connection.is_open:
        return
    with suppress(*BROKER_AWAY, NoAnswerError), answer_within(connection, CLOSE_TIMEOUT_S):
        connection.close()


@contextmanager
def answer_within(connection: BlockingConnection, timeout_s: float) -> Iterator[None]:
    """Close the connection if the block takes longer. Raises NoAnswerError then.

    pika waits for a confirm, or for the answer to a declaration, as long as heartbeats come. But a
    quorum queue that was made less than a second before its broker was killed is there afterwards
    without a leader (seen with RabbitMQ 3.10.8): it takes messages and never confirms one.
    """
    late = False

    def give_up() -> None:
        nonlocal late
        late = True
        # As its heartbeat does; an orderly close would wait for the silent channel.
        inner._terminate_stream(AMQPHeartbeatTimeout("no answer in time"))  # noqa: SLF001

    # The blocking wait runs only the timers of the connection that it wraps.
    inner: Any = connection._impl  # type: ignore[attr-defined] # noqa: SLF001
    timer = inner.ioloop.call_later(timeout_s, give_up)
    try:
        yield
    except BROKER_AWAY as error:
        if late:
            raise NoAnswerError(f"the broker gave no answer within {timeout_s:g} s") from error
        raise
    finally:
        with suppress(*BROKER_AWAY):
            inner.ioloop.remove_timeout(timer)
