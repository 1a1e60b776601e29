"""The gate in front of the consumers: each event once, in order, whatever a transport delivers.

Consumers are only ever handed what continues their durable position. What came before is dropped;
what lies beyond makes the inbox say that it is behind, and somebody pulls the log (`catch_up`).
So a lost, doubled, reordered or invented message costs a pull at most.
"""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Lock

import msgspec

from shared.bus.backoff import Backoff
from shared.bus.types import Beginner, Consumer, LogReader
from shared.contracts.envelope import Batch
from shared.errors import DatabankError, UnavailableError
from shared.logs import logger

ATTEMPTS_MAX = 5
ATTEMPT_FIRST_S = 0.02


class Counts(msgspec.Struct):
    """What an inbox has seen since its process began, in events unless it says otherwise."""

    applied: int = 0
    dropped: int = 0
    parked: int = 0
    gaps: int = 0
    foreign_messages: int = 0
    malformed_messages: int = 0


class Inbox:
    """Hands the events of lanes to consumers, each once and in order. Threads may share it.

    Only one thread at a time applies for a consumer. An event that its consumer fails 5 times is
    parked and stepped over; a part that is away (UnavailableError) never counts as a failure.
    """

    def __init__(
        self,
        consumers: Sequence[Consumer],
        reader: LogReader,
        *,
        stop: Event | None = None,
        pause_s: float = ATTEMPT_FIRST_S,
    ) -> None:
        self.counts = Counts()
        self.decode = reader.decode
        self.lanes = sorted({consumer.lane for consumer in consumers})
        self._consumers = list(consumers)
        self._locks = {consumer.name: Lock() for consumer in consumers}
        self._reader = reader
        self._stop = stop or Event()
        self._pause_s = pause_s

    def receive(self, batch: Batch) -> bool:
        """Apply a batch as it came; return False if a consumer now lacks something before it.

        A batch without events tells the head only. One of a stranger's source is counted and
        dropped. Raises UnavailableError: then receive it again later.
        """
        return not self.receive_all([batch])

    def receive_all(self, batches: Sequence[Batch]) -> set[str]:
        """Apply batches as they came; return the sources of which a consumer lacks something.

        A consumer that can has those of several sources under way at once, so that they cost one
        transaction. Raises UnavailableError: then receive them all again later.
        """
        lacking: set[str] = set()
        good = [batch for batch in batches if self._is_sound(batch, lacking)]
        for lane in {batch.lane for batch in good}:
            share = [batch for batch in good if batch.lane == lane]

            def offer(consumer: Consumer, share: list[Batch] = share) -> bool:
                found = self._offer_all(consumer, share)
                lacking.update(found)
                return not found

            self._for_each(lane, offer)
        return lacking

    def _is_sound(self, batch: Batch, lacking: set[str]) -> bool:
        """Say whether a batch is to be applied; one that is malformed lacks its events."""
        if batch.source not in self._reader.sources():
            self.counts.foreign_messages += 1
            logger().warning("foreign_message_dropped", source=batch.source)
            return False
        if not is_chain(batch):
            self.counts.malformed_messages += 1
            logger().error("malformed_message_dropped", source=batch.source, lane=batch.lane)
            lacking.add(batch.source)
            return False
        return True

    def catch_up(self, source: str) -> None:
        """Pull from a source's log until every consumer is level with its heads.

        One consumer's failure does not hold up the others; it is raised when they are done.
        Raises UnavailableError, NotFoundError for a source that is gone.
        """
        for lane in self.lanes:
            head = self._reader.head(source, lane)
            self._for_each(lane, partial(self._pull, source=source, head=head))

    def level(self) -> None:
        """Do `catch_up` for every source, whatever fails for one. Raises UnavailableError."""
        failed: Exception | None = None
        for source in self._reader.sources():
            try:
                self.catch_up(source)
            except Exception as error:  # noqa: BLE001 The other sources go on; raised below.
                failed = failed or error
        if failed is not None:
            raise failed

    def position(self, source: str, lane: str) -> int:
        """Return the least position of the lane's consumers. Raises UnavailableError."""
        return min(c.position(source) for c in self._consumers if c.lane == lane)

    def _for_each(self, lane: str, action: Callable[[Consumer], bool]) -> bool:
        """Do something for each of the lane's consumers; the first failure is raised at the end."""
        failure: Exception | None = None
        good = True
        for consumer in self._consumers:
            if consumer.lane != lane:
                continue
            try:
                good = action(consumer) and good
            except Exception as error:  # noqa: BLE001 The other consumers go on; raised below.
                failure = failure or error
        if failure is not None:
            raise failure
        return good

    def _pull(self, consumer: Consumer, source: str, head: int) -> bool:
        position = consumer.position(source)
        if position < head:
            self.counts.gaps += 1
            logger().info(
                "inbox_pulls", consumer=consumer.name, source=source, after=position, head=head
            )
        while position < head and not self._stop.is_set():
            batch = self._reader.read(source, consumer.lane, position)
            if not batch.events:
                break
            self._offer(consumer, batch)
            before, position = position, consumer.position(source)
            if position == before:
                raise DatabankError(f"{consumer.name} does not get past {before} of {source}")
        return position >= head

    def _offer(self, consumer: Consumer, batch: Batch) -> bool:
        return not self._offer_all(consumer, [batch])

    def _offer_all(self, consumer: Consumer, batches: Sequence[Batch]) -> set[str]:
        """Apply what continues the consumer's positions; return the sources that it lacks of."""
        lacking: set[str] = set()
        fresh: dict[str, Batch] = {}
        with self._locks[consumer.name]:
            for batch in batches:
                position = consumer.position(batch.source)
                if batch.sequence <= position:
                    self.counts.dropped += len(batch.events)
                elif batch.previous > position or not batch.events or batch.source in fresh:
                    lacking.add(batch.source)
                else:
                    fresh[batch.source] = rest_of(batch, position)
                    self.counts.dropped += len(batch.events) - len(fresh[batch.source].events)
            if len(fresh) > 1 and isinstance(consumer, Beginner):
                self._apply_together(consumer, list(fresh.values()))
            else:
                for batch in fresh.values():
                    self._apply(consumer, batch)
        return lacking

    def _apply_together(self, consumer: Beginner, batches: list[Batch]) -> None:
        """Have all batches under way at once; one that fails is applied alone, as others are."""
        ends = [(batch, self._begun(consumer, batch)) for batch in batches]
        away: UnavailableError | None = None
        for batch, end in ends:
            try:
                end()
            except UnavailableError as error:
                away = error
            except Exception:  # noqa: BLE001 Which event it is, and what then, is found out here.
                self._apply(consumer, batch)
            else:
                self.counts.applied += len(batch.events)
        if away is not None:
            raise away

    def _begun(self, consumer: Beginner, batch: Batch) -> Callable[[], None]:
        try:
            return consumer.begin(batch)
        except Exception as error:  # noqa: BLE001 Raised again when its end is waited for.
            failure = error

        def end() -> None:
            raise failure

        return end

    def _apply(self, consumer: Consumer, batch: Batch) -> None:
        """Apply a batch; halve one that fails until the event that fails stands alone."""
        try:
            consumer.apply(batch)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 Whatever a handler does wrong, others go on.
            if len(batch.events) == 1:
                self._insist(consumer, batch, error)
                return
            middle = len(batch.events) // 2
            self._apply(consumer, part(batch, 0, middle))
            self._apply(consumer, part(batch, middle, len(batch.events)))
        else:
            self.counts.applied += len(batch.events)

    def _insist(self, consumer: Consumer, batch: Batch, error: Exception) -> None:
        """Try one failed event again, up to 5 times in all, then park it."""
        pauses = Backoff(self._stop, first_s=self._pause_s)
        for _ in range(ATTEMPTS_MAX - 1):
            pauses.wait()
            if self._stop.is_set():
                raise UnavailableError("the process is stopping")
            try:
                consumer.apply(batch)
            except UnavailableError:
                raise
            except Exception as again:  # noqa: BLE001
                error = again
            else:
                self.counts.applied += 1
                return
        parked = batch.events[0].id
        logger().error("event_parked", consumer=consumer.name, id=parked, exc_info=error)
        consumer.park(batch, f"{type(error).__name__}: {error}", ATTEMPTS_MAX)
        self.counts.parked += 1


def rest_of(batch: Batch, position: int) -> Batch:
    """Return what of a batch lies after a position."""
    if batch.previous >= position:
        return batch
    events = [event for event in batch.events if int(event.sequence) > position]
    return msgspec.structs.replace(batch, previous=position, events=events)


def part(batch: Batch, start: int, end: int) -> Batch:
    """Return the events from `start` to `end` (indexes, half-open) as a batch of their own."""
    events = batch.events[start:end]
    return Batch(
        batch.source, batch.lane, int(events[0].previous), int(events[-1].sequence), events
    )


def is_chain(batch: Batch) -> bool:
    """Tell whether a batch is what it says: one source's events, each naming the one before."""
    last = batch.previous
    for event in batch.events:
        if event.source != batch.source or event.previous != str(last):
            return False
        last = int(event.sequence)
    return last == batch.sequence
