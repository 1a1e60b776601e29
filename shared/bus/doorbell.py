"""Waking readers of a log when something was stored (PostgreSQL's LISTEN and NOTIFY)."""

import time
from threading import Condition, Event, Thread
from typing import Protocol

from shared.bus.backoff import Backoff
from shared.db import AWAY, connect
from shared.errors import UnavailableError
from shared.logs import logger

LISTEN_S = 0.5
# A busy log commits hundreds of times a second: what rings within this time rings once.
TOGETHER_S = 0.005
# How long a reader sleeps at most while the doorbell has no connection.
POLL_S = 0.2


class Bell(Protocol):
    """Something that tells waiting threads to look again."""

    @property
    def rings(self) -> int:
        """Return how often it rang; read it before you look, and wait `since` then."""
        ...

    def wait(self, timeout_s: float, *, since: int | None = None) -> bool:
        """Wait until it rings (again); return whether it did."""
        ...


class Doorbell:
    """Listens on one channel of a database with one connection; any number of threads may wait.

    A ring is a hint, never a promise: who waits looks at the log after the timeout as well. While
    there is no connection, waits end after 0.2 s at the latest, so that readers poll.
    """

    def __init__(self, conninfo: str, channel: str = "stored_events") -> None:
        self._conninfo = conninfo
        self._channel = channel
        self._changed = Condition()
        self._rings = 0
        self._connected = False
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to listen."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="doorbell", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End listening and let all who wait go."""
        self._stop.set()
        self.ring()
        if self._thread is not None:
            self._thread.join(LISTEN_S * 2)

    @property
    def rings(self) -> int:
        """Return how often it rang; read it before you look, and wait `since` then."""
        return self._rings

    def ring(self) -> None:
        """Wake everybody."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, timeout_s: float, *, since: int | None = None) -> bool:
        """Wait until it rings, or has rung since the count `since`; return whether it did."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            before = self._rings if since is None else since
            if not self._connected:
                deadline_s = min(deadline_s, time.monotonic() + POLL_S)
            while self._rings == before and not self._stop.is_set():
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
            return self._rings != before

    def _run(self) -> None:
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                self._listen(backoff)
            except (*AWAY, UnavailableError) as error:
                if backoff.is_news():
                    logger().warning("doorbell_away", error=str(error))
            finally:
                self._connected = False
            self.ring()
            backoff.wait()

    def _listen(self, backoff: Backoff) -> None:
        with connect(self._conninfo) as conn:
            conn.execute(f'LISTEN "{self._channel}"')
            self._connected = True
            backoff.reset()
            # What was stored before the LISTEN rang for nobody.
            self.ring()
            while not self._stop.is_set():
                if list(conn.notifies(timeout=LISTEN_S, stop_after=1)):
                    self.ring()
                    self._stop.wait(TOGETHER_S)
