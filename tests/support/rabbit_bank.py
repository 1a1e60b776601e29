"""A bank's bus on a real broker: memory logs with their relays, and consumers on their queues."""

from collections.abc import Iterable
from threading import Event, Thread

import pika

from shared.bus.inbox import Inbox
from shared.bus.levelling import Leveller
from shared.bus.rabbit import RabbitFeed, RabbitPublisher
from shared.bus.relay import Relay
from shared.bus.topology import Topology, bank_topology
from tests.support.bus import MemoryConsumer, MemoryLog, MemoryReader, sequences


class MemoryState:
    """A relay's positions in memory; they outlive the relay, as a database would."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}

    def hold(self) -> bool:
        """Nobody else runs."""
        return True

    def get(self, lane: str) -> int:
        """Return the stored position."""
        return self.positions.get(lane, 0)

    def set(self, lane: str, sequence: int) -> None:
        """Store the position."""
        self.positions[lane] = sequence

    def close(self) -> None:
        """Nothing to let go."""


class Follower:
    """One queue's consumers as the runner starts them; it can be stopped and started again."""

    def __init__(
        self, url: str, topology: Topology, queue: str, consumers: list[MemoryConsumer],
        reader: MemoryReader,
    ) -> None:  # fmt: skip
        self.stop = Event()
        self.inbox = Inbox(consumers, reader, stop=self.stop, pause_s=0)
        leveller = Leveller(self.inbox, reader, self.stop)
        feed = RabbitFeed(url, topology, queue, self.inbox, leveller, self.stop)
        targets = (leveller.run, feed.run)
        self.threads = [Thread(target=target, daemon=True) for target in targets]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        """Stop it and wait."""
        self.stop.set()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


class RabbitBank:
    """Two logs, a view of lane `all` on queue `gateway`, a saga on queue `ledger.00`."""

    def __init__(self, url: str, bank_id: str, topology: Topology | None = None) -> None:
        self.url = url
        self.topology = topology or bank_topology(bank_id, 1)
        self.logs = [MemoryLog(bank_id, partition) for partition in range(2)]
        self.states = [MemoryState() for _ in self.logs]
        self.reader = MemoryReader(self.logs)
        self.view = MemoryConsumer()
        self.saga = MemoryConsumer(name="saga", lane="sagas")
        self.followers: list[Follower] = []
        self.relays: list[Thread] = []
        self.stop_relays = Event()

    def follow(self) -> list[Follower]:
        """Start the consumers of both queues."""
        self.followers = [
            Follower(self.url, self.topology, "gateway", [self.view], self.reader),
            Follower(self.url, self.topology, "ledger.00", [self.saga], self.reader),
        ]
        return self.followers

    def relay(self) -> None:
        """Start the logs' relays."""
        self.stop_relays = Event()
        self.relays = []
        for log, state in zip(self.logs, self.states, strict=True):
            publisher = RabbitPublisher(self.url, self.topology)
            relay = Relay(log, state, publisher, self.stop_relays)
            self.relays.append(Thread(target=relay.run, daemon=True))
            self.relays[-1].start()

    def end_followers(self) -> None:
        """Stop the consumers."""
        for follower in self.followers:
            follower.end()
        self.followers = []

    def end_relays(self) -> None:
        """Stop the relays."""
        self.stop_relays.set()
        for thread in self.relays:
            thread.join(40)
            assert not thread.is_alive()
        self.relays = []

    def end(self) -> None:
        """Stop everything and remove the bank from the broker."""
        self.end_followers()
        self.end_relays()
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            for queue in self.topology.queues:
                channel.queue_delete(self.topology.queue(queue))
            channel.exchange_delete(self.topology.exchange)

    def fill(self, count: int) -> None:
        """Add events to each log."""
        for log in self.logs:
            log.fill(count)

    def is_published(self) -> bool:
        """Tell whether the relays have published everything."""
        return all(
            state.get(lane) == log.head(lane)
            for log, state in zip(self.logs, self.states, strict=True)
            for lane in ("all", "sagas")
        )

    def is_level(self) -> bool:
        """Tell whether each event has taken effect exactly once and in order."""
        pairs = [(consumer, log) for consumer in (self.view, self.saga) for log in self.logs]
        return all(
            consumer.positions.get(log.source, 0) == log.head(consumer.lane)
            for consumer, log in pairs
        ) and all(
            consumer.of(log.source) == sequences(log, consumer.lane) for consumer, log in pairs
        )

    def waiting(self, queue: str) -> int:
        """Return how many messages lie in a queue."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            name = self.topology.queue(queue)
            found = connection.channel().queue_declare(name, passive=True)
            return int(found.method.message_count)

    def publish(self, key: str, body: bytes, content_type: str, headers: dict[str, str]) -> None:
        """Put any message on the exchange, as somebody else would."""
        properties = pika.BasicProperties(content_type=content_type, headers=headers)
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            self.topology.declare(channel)
            channel.confirm_delivery()
            channel.basic_publish(self.topology.exchange, key, body, properties, mandatory=True)


def total(followers: Iterable[Follower], what: str) -> int:
    """Add up a count of inboxes."""
    return sum(getattr(follower.inbox.counts, what) for follower in followers)
