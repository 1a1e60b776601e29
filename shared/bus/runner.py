"""Starts the consumers and relays of a process on the transport that the settings name.

With AMQP_URL that is RabbitMQ, without it consumers pull the logs and relays have nothing to do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

from shared.bus.doorbell import Bell
from shared.bus.inbox import Counts, Inbox
from shared.bus.levelling import Leveller
from shared.bus.log_feed import LogFeed
from shared.bus.rabbit import RabbitFeed, RabbitPublisher
from shared.bus.readers import Readers
from shared.bus.relay import Relay, SqlRelayState
from shared.bus.topology import bank_topology
from shared.bus.types import Consumer, Log, LogReader
from shared.config import Settings

JOIN_S = 2.0


@dataclass(frozen=True)
class Subscription:
    """Consumers that share a queue and what that queue is bound to (`ledger.*.all`)."""

    queue: str
    bindings: Sequence[str]
    consumers: Sequence[Consumer] = field(default_factory=list)


class Threads:
    """Background threads of one process that end after the stop."""

    def __init__(self) -> None:
        self._threads: list[Thread] = []

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Start a thread."""
        thread = Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def ready(self) -> dict[str, str]:
        """Return the state of each thread by name; none of them ends before the stop."""
        return {thread.name: "ok" if thread.is_alive() else "has ended" for thread in self._threads}

    def join(self) -> None:
        """Wait up to 2 s for each thread; one that hangs in a call dies with the process."""
        for thread in self._threads:
            thread.join(JOIN_S)


def start_consumers(  # noqa: PLR0913 What is followed, how it is woken, where it is counted.
    settings: Settings, subscriptions: Sequence[Subscription], reader: LogReader, stop: Event, *,
    bell: Bell | None = None, counts: dict[str, Counts] | None = None,
    remote: Sequence[LogReader] = (),
) -> Threads:  # fmt: skip
    """Start following; return the threads, and in `counts`, by queue, what each inbox counts.

    `bell` wakes consumers of a local reader, which cannot wait by itself. Each of `remote` reads
    the logs of one more producer, which is followed too.
    """
    threads = Threads()
    counts = {} if counts is None else counts
    own, reader = reader, Readers(reader, *remote) if remote else reader
    if not settings.amqp_url:
        # One inbox for all, so that a page is read once for all its consumers.
        everyone = [consumer for each in subscriptions for consumer in each.consumers]
        inbox = Inbox(everyone, reader, stop=stop)
        counts.update((each.queue, inbox.counts) for each in subscriptions)
        threads.start("log", LogFeed(inbox, own, stop, bell=bell).run)
        for number, each in enumerate(remote):
            threads.start(f"remote-log-{number}", LogFeed(inbox, each, stop).run)
        return threads
    for subscription in subscriptions:
        inbox = Inbox(subscription.consumers, reader, stop=stop)
        counts[subscription.queue] = inbox.counts
        _start_rabbit(threads, settings, subscription, inbox, reader, stop)
    return threads


def start_relays(
    settings: Settings, logs: Sequence[Log], conninfo: str, stop: Event, *, bell: Bell | None = None
) -> Threads:
    """Start a relay for each log; without a broker there is nothing to do.

    A log's name is the schema with its table `relay_positions`.
    """
    threads = Threads()
    if settings.amqp_url:
        topology = bank_topology(settings.bank_id, settings.ledger_partitions)
        for log in logs:
            publisher = RabbitPublisher(str(settings.amqp_url), topology)
            relay = Relay(log, SqlRelayState(conninfo, log.name), publisher, stop, bell=bell)
            threads.start(f"relay-{log.name}", relay.run)
    return threads


def _start_rabbit(
    threads: Threads, settings: Settings, subscription: Subscription, inbox: Inbox,
    reader: LogReader, stop: Event,
) -> None:  # fmt: skip
    topology = bank_topology(settings.bank_id, settings.ledger_partitions)
    topology = topology.with_queue(subscription.queue, subscription.bindings)
    leveller = Leveller(inbox, reader, stop)
    feed = RabbitFeed(str(settings.amqp_url), topology, subscription.queue, inbox, leveller, stop)
    threads.start(f"level-{subscription.queue}", leveller.run)
    threads.start(f"rabbit-{subscription.queue}", feed.run)
