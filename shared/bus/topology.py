"""Exchange, queues and keys of one bank on a RabbitMQ, declared alike by both sides.

So a broker that lost its data is whole again as soon as either side is back. Messages are doorbells
that carry the goods: a queue that is full drops its oldest, and the consumer pulls what it lacks.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Lock

from pika.adapters.blocking_connection import BlockingChannel
from pika.exchange_type import ExchangeType

# A consumer that is away for long must not fill the broker's disk.
QUEUE_BYTES_MAX = 256 << 20
# RabbitMQ 4's default, said aloud for 3.x: a delivery that kills its consumer again and again ends.
DELIVERIES_MAX = 20
# Several relays find the same queue silent at about the same time; it is made anew once.
REMOVED_AGAIN_S = 60.0


@dataclass(frozen=True)
class Topology:
    """One bank's exchange, and the queues of its consumers with the keys that they want."""

    bank_id: str
    queues: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queue_bytes_max: int = QUEUE_BYTES_MAX
    # A broker that is told to remove and to make a queue at once may keep neither.
    mending: Lock = field(default_factory=Lock, compare=False, repr=False)
    removed: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    @property
    def exchange(self) -> str:
        """Return the exchange's name."""
        return f"databank.{self.bank_id}"

    def queue(self, consumer: str) -> str:
        """Return the name of a consumer's queue."""
        return f"databank.{self.bank_id}.{consumer}"

    def with_queue(self, consumer: str, keys: Sequence[str]) -> "Topology":
        """Return the same with a consumer's queue bound to these keys."""
        return replace(self, queues={**self.queues, consumer: keys})

    def declare(self, channel: BlockingChannel) -> None:
        """Make what is missing. Raises a pika error."""
        channel.exchange_declare(self.exchange, ExchangeType.topic, durable=True)
        arguments = {
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERIES_MAX,
            "x-max-length-bytes": self.queue_bytes_max,
            "x-overflow": "drop-head",
        }
        for consumer, keys in self.queues.items():
            channel.queue_declare(self.queue(consumer), durable=True, arguments=arguments)
            for key in keys:
                channel.queue_bind(self.queue(consumer), self.exchange, key)

    def erase(self, channel: BlockingChannel) -> None:
        """Remove every queue and the exchange, if they are there. Raises a pika error."""
        for consumer in self.queues:
            channel.queue_delete(self.queue(consumer))
        channel.exchange_delete(self.exchange)

    def remove(self, channel: BlockingChannel, key: str) -> None:
        """Remove the queues that want a key and were not removed just now. Raises a pika error.

        The caller has `mending`.
        """
        for consumer, patterns in self.queues.items():
            old = time.monotonic() - self.removed.get(consumer, -REMOVED_AGAIN_S)
            if old >= REMOVED_AGAIN_S and any(matches(pattern, key) for pattern in patterns):
                channel.queue_delete(self.queue(consumer))
                self.removed[consumer] = time.monotonic()


def matches(pattern: str, key: str) -> bool:
    """Tell whether a binding's pattern (words and `*`) fits a key."""
    words, wanted = key.split("."), pattern.split(".")
    return len(words) == len(wanted) and all(
        want in ("*", word) for word, want in zip(words, wanted, strict=True)
    )


@cache
def bank_topology(bank_id: str, ledger_partitions: int) -> Topology:
    """Return the exchange of a bank with the queues of all its consumers; one in a process."""
    queues: dict[str, Sequence[str]] = {
        "gateway": ("ledger.*.all",),
        "gateway.gifts": ("gifting.*.all",),
        "gifting.00": ("ledger.*.sagas",),
        "tasks.00": ("ledger.*.sagas",),
    }
    for partition in range(ledger_partitions):
        queues[f"ledger.{partition:02d}"] = (
            "ledger.*.sagas", "gifting.*.sagas", "tasks.*.sagas",
        )  # fmt: skip
    return Topology(bank_id, queues)


def routing_key(log: str, lane: str) -> str:
    """Return the key of a log's lane: `ledger.02.sagas` for `ledger_02`."""
    service, _, partition = log.rpartition("_")
    return f"{service}.{partition}.{lane}"
