"""Waiting between attempts: longer each time, ended at once by a stop."""

import random
import time
from threading import Event

FIRST_S = 0.1
MOST_S = 2.0
# A long outage is told of at its start and then once in this time.
SAY_EVERY_S = 60.0


class Backoff:
    """The pauses of one retry loop."""

    def __init__(self, stop: Event, *, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        self._stop = stop
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s
        self._say_at_s = 0.0

    def is_news(self) -> bool:
        """Tell whether a failure is worth a log line: the first one, then one a minute."""
        now_s = time.monotonic()
        if now_s < self._say_at_s:
            return False
        self._say_at_s = now_s + SAY_EVERY_S
        return True

    def next_s(self) -> float:
        """Return the next pause in seconds, with jitter so that processes do not march in step."""
        pause_s = self._next_s
        self._next_s = min(self._most_s, pause_s * 2)
        return pause_s * random.uniform(0.75, 1.0)  # noqa: S311 No secret depends on it.

    def wait(self) -> None:
        """Sleep the next pause; return early when the process is to stop."""
        self._stop.wait(self.next_s())

    def reset(self) -> None:
        """Begin with the shortest pause again: something worked."""
        self._next_s = self._first_s
        self._say_at_s = 0.0
