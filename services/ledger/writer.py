"""Group commit: one writer thread per partition turns whatever is waiting into one batch."""

import asyncio
import contextlib
import queue
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from time import monotonic, sleep

from services.ledger.items import Item
from services.ledger.partition import Partition
from shared.bus.positions import InboxPosition
from shared.errors import UnavailableError

# Above this a batch's transaction gets long for the others that wait for their turn.
ITEMS_PER_BATCH_MAX = 2_000
QUEUE_MAX = 256
PUT_TIMEOUT_S = 5
LOOK_AGAIN_S = 0.005


class Submission:
    """Items of one caller that are committed together, and the positions they move."""

    __slots__ = ("future", "items", "positions")

    def __init__(
        self,
        items: list[Item],
        positions: Sequence[InboxPosition],
        future: "Future[int] | asyncio.Future[int]",
    ) -> None:
        self.items = items
        self.positions = positions
        self.future = future


class Writer:
    """Runs submissions of one partition in order; several that wait share a transaction."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        # Half the cost of a Queue for who submits; how much may wait is looked after in `_put`.
        self._queue: queue.SimpleQueue[Submission | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._run, name=f"writer-{partition.name}", daemon=True)
        self._thread.start()

    def submit(self, items: list[Item], positions: Sequence[InboxPosition] = ()) -> Future[int]:
        """Queue items; the future gives the log's position once they are durable.

        Raises UnavailableError when too many wait already for 5 s.
        """
        future: Future[int] = Future()
        self._put(Submission(items, positions, future), wait=True)
        return future

    def submit_soon(self, items: list[Item]) -> "asyncio.Future[int]":
        """Do `submit` for a caller on an event loop, at once. Raises UnavailableError."""
        future = asyncio.get_running_loop().create_future()
        self._put(Submission(items, (), future), wait=False)
        return future

    def _put(self, submission: Submission, *, wait: bool) -> None:
        until = monotonic() + PUT_TIMEOUT_S if wait else 0.0
        while self._queue.qsize() >= QUEUE_MAX:
            if monotonic() >= until:
                raise UnavailableError("too many requests wait for this partition, try again")
            sleep(LOOK_AGAIN_S)
        self._queue.put(submission)

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
            _answer(group, error)
        except Exception as error:  # noqa: BLE001 Whatever it is, somebody waits for an answer.
            self._commit_apart(group, error)
        else:
            _answer(group, at)

    def _commit_apart(self, group: list[Submission], error: Exception) -> None:
        """One submission broke the batch: run each alone, so that only that one fails."""
        if len(group) == 1:
            _answer(group, error)
            return
        for submission in group:
            self._commit([submission])


def _answer(group: list[Submission], answer: int | Exception) -> None:
    """Tell everybody who waits; a loop is woken once for all that wait on it."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[int]]] = {}
    for submission in group:
        if isinstance(submission.future, asyncio.Future):
            loops.setdefault(submission.future.get_loop(), []).append(submission.future)
        else:
            _settle([submission.future], answer)
    for loop, waiting in loops.items():
        with contextlib.suppress(RuntimeError):  # It is closed: nobody waits any more.
            loop.call_soon_threadsafe(_settle, waiting, answer)


def _settle(
    futures: "Sequence[Future[int] | asyncio.Future[int]]", answer: int | Exception
) -> None:
    for future in futures:
        if future.done():  # Given up by who waited.
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
