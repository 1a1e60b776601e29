"""Group commit: one thread turns whatever jobs are waiting into one turn."""

import contextlib
import queue
from concurrent.futures import Future
from threading import Thread
from time import perf_counter
from typing import Any, Generic, TypeVar

from eventsourcing.persistence import IntegrityError

from shared.errors import BusyError, DatabankError, UnavailableError
from shared.log_database import NoConnectionError
from shared.logs import logger
from shared.sagas.store import SagaStore

# Above this a turn gets long for the others that wait for theirs.
JOBS_PER_TURN_MAX = 500
QUEUE_MAX = 4_096
ATTEMPTS_MAX = 4
ANSWER_TIMEOUT_S = 60
PUT_TIMEOUT_S = 5

T = TypeVar("T")


class Job(Generic[T]):
    """Something to be decided in a turn; the same decision again changes nothing more."""

    def __init__(self) -> None:
        self.future: Future[T] = Future()

    def need(self, needs: Any) -> None:
        """Say what has to be read."""
        raise NotImplementedError

    def decide(self, turn: Any) -> T:
        """Decide. Raises a DatabankError, before anything is changed, to refuse."""
        raise NotImplementedError


class Writer:
    """Runs jobs in turns; several that wait share one."""

    def __init__(self, store: SagaStore[Any]) -> None:
        self._store = store
        self._queue: queue.Queue[Job[Any] | None] = queue.Queue(QUEUE_MAX)
        self._thread = Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> Future[T]:
        """Queue a job; its future ends once its turn is committed.

        Raises UnavailableError when too many wait already.
        """
        try:
            self._queue.put(job, timeout=PUT_TIMEOUT_S)
        except queue.Full:
            raise UnavailableError("too many requests wait, try again") from None
        return job.future

    def run(self, job: Job[T]) -> T:
        """Run a job and return its result. Raises its refusal, BusyError, UnavailableError."""
        return wait_for(self.submit(job))

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            jobs = [first]
            with contextlib.suppress(queue.Empty):
                while len(jobs) < JOBS_PER_TURN_MAX:
                    more = self._queue.get_nowait()
                    if more is None:
                        self._queue.put(None)
                        break
                    jobs.append(more)
            self._commit(jobs)

    def _commit(self, jobs: list[Job[Any]]) -> None:
        began = perf_counter()
        try:
            outcomes = self._attempts(jobs)
        except UnavailableError as error:
            for job in jobs:
                job.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 Whatever it is, somebody waits for an answer.
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:  # One broke the turn: each has its own, so that only that one fails.
                self._commit([job])
        else:
            self._store.watch.observe_turn(len(jobs), perf_counter() - began)
            for job, (result, refusal) in zip(jobs, outcomes, strict=True):
                if refusal is None:
                    job.future.set_result(result)
                else:
                    job.future.set_exception(refusal)

    def _attempts(self, jobs: list[Job[Any]]) -> list[tuple[Any, DatabankError | None]]:
        """Run a turn. After a lost connection it may have been committed: keys and states tell."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return self._turn(jobs)
            except (IntegrityError, UnavailableError) as error:
                last = isinstance(error, BusyError | NoConnectionError) or attempt == ATTEMPTS_MAX
                self._store.watch.count_failed(error, last=last)
                if last:
                    raise
                logger().warning("turn_retried", attempt=attempt, error=str(error))
        raise AssertionError

    def _turn(self, jobs: list[Job[Any]]) -> list[tuple[Any, DatabankError | None]]:
        with self._store.turn() as turn:
            for job in jobs:
                job.need(turn.needs)
            turn.read()
            outcomes = [self._outcome(job, turn) for job in jobs]
            turn.store()
        return outcomes

    def _outcome(self, job: Job[Any], turn: Any) -> tuple[Any, DatabankError | None]:
        try:
            return job.decide(turn), None
        except UnavailableError:
            raise
        except DatabankError as error:
            self._store.watch.refusals.labels(error.code).inc()
            return None, error


def wait_for(future: Future[T]) -> T:
    """Return what a turn answers. Raises UnavailableError when it takes too long."""
    try:
        return future.result(ANSWER_TIMEOUT_S)
    except TimeoutError as error:
        raise UnavailableError(
            "the database did not answer in time; what was asked may still be done, so repeat it"
            " with the same key"
        ) from error
