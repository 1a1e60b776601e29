"""The RabbitMQ transport: a publisher with confirms, and a feed that hands messages to an inbox."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from threading import Event
from typing import Any

import msgspec
import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import NackError, UnroutableError

from shared.bus.amqp import (
    ANSWER_TIMEOUT_S,
    BROKER_AWAY,
    NoAnswerError,
    answer_within,
    close_quietly,
    open_connection,
)
from shared.bus.backoff import Backoff
from shared.bus.inbox import Inbox
from shared.bus.levelling import Leveller
from shared.bus.topology import Topology, routing_key
from shared.bus.types import Page
from shared.contracts.envelope import (
    BATCH_BYTES_MAX,
    BATCH_CONTENT_TYPE,
    BATCH_EVENTS_MAX,
    HEAD_CONTENT_TYPE,
    Batch,
    Decode,
    Head,
    decode_batch,
    log_of,
)
from shared.errors import UnavailableError
from shared.logs import logger

# A busy log's messages are small; what waits is applied together, so much of it as is one page.
PREFETCH = 50
TOGETHER_BYTES_MAX = BATCH_BYTES_MAX
PUMPS = 2
# What comes behind so many events that were taken together waits a moment: many logs' messages then
# cost one transaction. A few events are nobody's load, and somebody may wait for them.
BUSY_EVENTS = 10
PACE_S = 0.1
# A queue that was just made anew by another relay refuses what was under way, once.
REFUSALS_MAX = 3
# How soon a feed without messages sees that it is to stop.
LOOK_UP_S = 0.5


class RabbitPublisher:
    """Publishes pages and heads of logs, each confirmed by the broker before the call returns.

    For one thread. It connects at first use and again after any failure. A queue that does not
    answer, or refuses again and again, is removed and made anew (one that was made shortly before
    its broker was killed may be so); what it held is in the log, and its consumer pulls it.
    """

    def __init__(
        self, url: str, topology: Topology, *, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._url = url
        self._topology = topology
        self._answer_timeout_s = answer_timeout_s
        self._silent: set[str] = set()
        self._refusals = 0
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def publish(self, page: Page) -> None:
        """Publish a page of events. Raises UnavailableError when it may not be in every queue."""
        bounds = (page.previous, page.sequence)
        self._send(page.source, page.lane, bounds, page.body, BATCH_CONTENT_TYPE)

    def publish_head(self, head: Head) -> None:
        """Publish how far a lane is. Raises UnavailableError."""
        body = msgspec.json.encode({"head": str(head.sequence)})
        bounds = (head.sequence, head.sequence)
        self._send(head.source, head.lane, bounds, body, HEAD_CONTENT_TYPE)

    def close(self) -> None:
        """Close the connection."""
        close_quietly(self._connection)
        self._connection = self._channel = None

    def _send(
        self, source: str, lane: str, bounds: tuple[int, int], body: bytes, content_type: str
    ) -> None:
        previous, sequence = bounds
        properties = pika.BasicProperties(
            content_type=content_type,
            delivery_mode=pika.DeliveryMode.Persistent.value,
            headers={
                "source": source,
                "lane": lane,
                "previous": str(previous),
                "sequence": str(sequence),
            },
        )
        key = routing_key(log_of(source), lane)
        try:
            self._publish(key, body, properties)
        except NoAnswerError:
            self._silent.add(key)
            self.close()
            raise
        except NackError as error:
            self._refusals += 1
            if self._refusals >= REFUSALS_MAX:
                self._silent.add(key)
            self.close()
            raise UnavailableError("the broker did not accept a message") from error
        except BROKER_AWAY as error:
            self.close()
            raise UnavailableError(f"the broker is away: {type(error).__name__}") from error
        self._refusals = 0

    def _publish(self, key: str, body: bytes, properties: pika.BasicProperties) -> None:
        connection = self._open()
        channel, exchange = self._channel, self._topology.exchange
        assert channel is not None
        try:
            with answer_within(connection, self._answer_timeout_s):
                channel.basic_publish(exchange, key, body, properties, mandatory=True)
        except UnroutableError:
            # Somebody removed a queue or a binding: make them again, once.
            self._topology.declare(channel)
            try:
                with answer_within(connection, self._answer_timeout_s):
                    channel.basic_publish(exchange, key, body, properties, mandatory=True)
            except UnroutableError as error:
                raise UnavailableError(f"no queue wants {key}; nothing is published") from error

    def _open(self) -> BlockingConnection:
        if self._connection is not None and self._channel is not None and self._channel.is_open:
            return self._connection
        self.close()
        self._connection = open_connection(self._url)
        with (
            self._topology.mending,
            answer_within(self._connection, self._answer_timeout_s),
        ):
            channel = self._connection.channel()
            for key in self._silent:
                logger().error("queues_made_anew", key=key)
                self._topology.remove(channel, key)
            self._silent.clear()
            self._topology.declare(channel)
            channel.confirm_delivery()
        self._channel = channel
        return self._connection


class RabbitFeed:
    """Hands the messages of one queue to an inbox until the stop; it reconnects by itself.

    Each message is acknowledged after it was applied, dropped or found to lie beyond a gap (then
    the leveller is woken); nothing goes back to the queue on purpose. Messages that wait are taken
    together, and those that continue each other are applied as one.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        consumer: str,
        inbox: Inbox,
        leveller: Leveller,
        stop: Event,
    ) -> None:
        self._url = url
        self._topology = topology
        self._queue = topology.queue(consumer)
        self._inbox = inbox
        self._leveller = leveller
        self._stop = stop

    def run(self) -> None:
        """Consume until the stop."""
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                self._consume(backoff)
            except Exception as error:  # noqa: BLE001 Whatever breaks, connect again.
                if backoff.is_news():
                    logger().warning("feed_waits", queue=self._queue, error=_brief(error))
                backoff.wait()

    def _consume(self, backoff: Backoff) -> None:
        connection = open_connection(self._url)
        try:
            with self._topology.mending, answer_within(connection, ANSWER_TIMEOUT_S):
                channel = connection.channel()
                self._topology.declare(channel)
                channel.basic_qos(prefetch_count=PREFETCH)
            # The queue may have been lost with the broker's data.
            self._leveller.wake()
            with closing(channel.consume(self._queue, inactivity_timeout=LOOK_UP_S)) as messages:
                with answer_within(connection, ANSWER_TIMEOUT_S):
                    delivery = next(messages, None)
                logger().info("feed_connected", queue=self._queue)
                while delivery is not None and not self._stop.is_set():
                    if delivery[0] is not None:
                        tag, batches = self._gather(connection, channel, delivery, messages)
                        self._take(connection, joined(batches))
                        channel.basic_ack(tag, multiple=True)
                        backoff.reset()
                        if (
                            BUSY_EVENTS
                            <= sum(len(each.events) for each in batches)
                            < BATCH_EVENTS_MAX
                        ):
                            connection.sleep(PACE_S)
                    delivery = next(messages, None)
            if not self._stop.is_set():
                raise UnavailableError("the queue was removed")
        finally:
            close_quietly(connection)

    def _gather(
        self,
        connection: BlockingConnection,
        channel: BlockingChannel,
        delivery: Any,
        messages: Iterator[Any],
    ) -> tuple[int, list[Batch]]:
        """Read a delivery and what waits behind it; return the last one's tag and the batches."""
        batches: list[Batch] = []
        size = 0
        while True:
            method, properties, body = delivery
            size += len(body)
            batch = decode_message(properties, body, self._inbox.decode)
            if batch is not None:
                batches.append(batch)
            else:
                self._inbox.counts.malformed_messages += 1
                logger().error("malformed_message_dropped", queue=self._queue)
                self._leveller.wake()
            if size >= TOGETHER_BYTES_MAX or not has_more(connection, channel):
                return int(method.delivery_tag), batches
            delivery = next(messages)

    def _take(self, connection: BlockingConnection, batches: list[Batch]) -> None:
        """Give batches to the inbox, however long a part that it needs is away."""
        backoff = Backoff(self._stop)
        while True:
            try:
                for source in self._inbox.receive_all(batches):
                    self._leveller.wake(source)
            except UnavailableError as error:
                if self._stop.is_set():
                    raise
                if backoff.is_news():
                    logger().warning("feed_waits", queue=self._queue, error=error.detail)
                connection.sleep(backoff.next_s())
            else:
                return


def has_more(connection: BlockingConnection, channel: BlockingChannel) -> bool:
    """Tell whether a message waits, here or still in the socket.

    pika reads 100 KB at a time, and not at every call: the first one may only end what was begun.
    """
    for _ in range(PUMPS):
        if channel.get_waiting_message_count():
            return True
        connection.process_data_events(0)
    return bool(channel.get_waiting_message_count())


def joined(batches: Iterable[Batch]) -> list[Batch]:
    """Return the batches, those as one that continue each other; each lane's order stays."""
    lanes: dict[tuple[str, str], list[Batch]] = {}
    for batch in batches:
        lane = lanes.setdefault((batch.source, batch.lane), [])
        if lane and batch.previous == lane[-1].sequence:
            last = lane[-1]
            events = [*last.events, *batch.events]
            lane[-1] = Batch(batch.source, batch.lane, last.previous, batch.sequence, events)
        else:
            lane.append(batch)
    return [batch for lane in lanes.values() for batch in lane]


def decode_message(
    properties: pika.BasicProperties, body: bytes, decode: Decode = decode_batch
) -> Batch | None:
    """Read a message; None if it is not what a relay publishes."""
    headers = properties.headers or {}
    try:
        source, lane = str(headers["source"]), str(headers["lane"])
        previous, sequence = int(str(headers["previous"])), int(str(headers["sequence"]))
        if properties.content_type == HEAD_CONTENT_TYPE:
            return Batch(source, lane, sequence, sequence, [])
        batch = decode(body, source, lane, sequence)
    except (KeyError, ValueError, TypeError, msgspec.MsgspecError):
        return None
    return batch if (batch.previous, batch.sequence) == (previous, sequence) else None


def _brief(error: Exception) -> str:
    if isinstance(error, UnavailableError):
        return error.detail
    return f"{type(error).__name__}: {error}"
