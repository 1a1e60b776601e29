"""Who waits for the end of a saga: woken by the log, which tells it whoever wrote it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import Any

from psycopg.rows import tuple_row

from shared.bus.doorbell import Doorbell
from shared.bus.stored_log import decode_facts
from shared.errors import UnavailableError
from shared.sagas.store import SagaStore

LOOK_EVERY_S = 0.5
# Of a web process's 32 threads (infra/gunicorn.conf.py): the others serve the log, without which
# nothing would ever come that is waited for.
WAITERS_MAX = 16
NEW_RESTS = """
SELECT notification_id, state FROM stored_events
WHERE notification_id > %s AND topic = ANY(%s) ORDER BY notification_id LIMIT 5000
"""
HEAD = "SELECT coalesce(max(notification_id), 0) FROM stored_events"


class Waiting:
    """Lets threads wait until a saga comes to rest; one thread reads for all.

    `rests`: the types of events after which nothing more comes by itself soon.
    """

    def __init__(self, store: SagaStore[Any], doorbell: Doorbell, rests: Sequence[str]) -> None:
        self._store = store
        self._rests = list(rests)
        self._doorbell = doorbell
        self._lock = Lock()
        self._bells: dict[str, list[Event]] = {}
        self._at = 0
        self._stopped = Event()
        self._places = BoundedSemaphore(WAITERS_MAX)
        self._thread: Thread | None = None

    @contextmanager
    def for_rest(self, saga: str) -> Iterator[Event | None]:
        """Give an event that is set when this saga comes to rest from now on.

        None where as many wait already as may: then nobody waits, and the answer is a place.
        """
        if not self._places.acquire(blocking=False):
            yield None
            return
        try:
            with self._bell(saga) as bell:
                yield bell
        finally:
            self._places.release()

    @contextmanager
    def _bell(self, saga: str) -> Iterator[Event]:
        bell = Event()
        with self._lock:
            if not self._bells:
                self._at = self._head()
            self._bells.setdefault(saga, []).append(bell)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="waiting", daemon=True)
                self._thread.start()
        try:
            yield bell
        finally:
            with self._lock:
                self._bells[saga].remove(bell)
                if not self._bells[saga]:
                    del self._bells[saga]

    def _head(self) -> int:
        with self._store.connection() as conn:
            row = conn.cursor(row_factory=tuple_row).execute(HEAD).fetchone()
        return int(row[0]) if row else 0

    def stop(self) -> None:
        """End the thread, soon."""
        self._stopped.set()
        self._doorbell.ring()

    def _run(self) -> None:
        while not self._stopped.is_set():
            rings = self._doorbell.rings
            # While the database is away, who waits does so in vain, and then hears of it.
            with suppress(UnavailableError):
                self._look()
            self._doorbell.wait(LOOK_EVERY_S, since=rings)

    def _look(self) -> None:
        """Wake those whose saga has come to rest since the last look."""
        with self._lock:
            if not self._bells:
                return
            at = self._at
        with self._store.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            found = cursor.execute(NEW_RESTS, (at, self._rests), binary=True).fetchall()
        with self._lock:
            for sequence, state in found:
                self._at = max(self._at, sequence)
                for bell in self._bells.get(decode_facts(state).correlation_id, ()):
                    bell.set()
