"""Group commit: one writer thread per partition turns whatever is waiting into one batch."""

import contextlib
import queue
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread

from services.ledger.items import Item
from services.ledger.partition import Partition
from shared.bus.positions import InboxPosition
from shared.errors import UnavailableError

# Above this a batch's transaction gets long for the others that wait for their turn.
ITEMS_PER_BATCH_MAX = 2_000
QUEUE_MAX = 256
PUT_TIMEOUT_S = 5


class Submission:
    """Items of one caller that are committed together, and the positions they move."""

    __slots__ = ("future", "items", "positions")

    def __init__(self, items: list[Item], positions: Sequence[InboxPosition]) -> None:
        self.items = items
        self.positions = positions
        self.future: Future[int] = Future()


class Writer:
    """Runs submissions of one partition in order; several that wait share a transaction."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self._queue: queue.Queue[Submission | None] = queue.Queue(QUEUE_MAX)
        self._thread = Thread(target=self._run, name=f"writer-{partition.name}", daemon=True)
        self._thread.start()

    def submit(
        self, items: list[Item], positions: Sequence[InboxPosition] = (), *, wait: bool = True
    ) -> Future[int]:
        """Queue items; the future gives the log's position once they are durable.

        Raises UnavailableError when too many wait already, at once without `wait`.
        """
        submission = Submission(items, positions)
        try:
            self._queue.put(submission, block=wait, timeout=PUT_TIMEOUT_S)
        except queue.Full:
            raise UnavailableError("too many requests wait for this partition, try again") from None
        return submission.future

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        waiting: Submission | None = None
        while True:
            first = waiting or self._queue.get()
            waiting = None
            if first is None:
                return
            group, size = [first], len(first.items)
            with contextlib.suppress(queue.Empty):
                while size < ITEMS_PER_BATCH_MAX:
                    more = self._queue.get_nowait()
                    if more is None:
                        self._queue.put(None)
                        break
                    if size + len(more.items) > ITEMS_PER_BATCH_MAX:
                        waiting = more
                        break
                    group.append(more)
                    size += len(more.items)
            self._commit(group)

    def _commit(self, group: list[Submission]) -> None:
        items = [item for submission in group for item in submission.items]
        positions = [position for submission in group for position in submission.positions]
        try:
            at = self.partition.execute(items, positions)
        except UnavailableError as error:
            for submission in group:
                submission.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 Whatever it is, somebody waits for an answer.
            self._commit_apart(group, error)
        else:
            for submission in group:
                submission.future.set_result(at)

    def _commit_apart(self, group: list[Submission], error: Exception) -> None:
        """One submission broke the batch: run each alone, so that only that one fails."""
        if len(group) == 1:
            group[0].future.set_exception(error)
            return
        for submission in group:
            self._commit([submission])
