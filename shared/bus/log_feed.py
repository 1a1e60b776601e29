"""The transport without a broker: consumers pull the producers' logs by long poll."""

import time
from threading import Event

from shared.bus.doorbell import Bell
from shared.bus.inbox import Inbox
from shared.bus.sources import SourceThreads
from shared.bus.types import LogReader

# Short, so that a stop is obeyed within 2 s.
WAIT_S = 1.0
# A reader that does not wait by itself is asked at this pace.
POLL_S = 0.1
# After an empty look at a log with a bell: a busy log rings at every commit; looking once for
# several costs less than it delays.
REST_S = 0.02
# So does a page of several commits: after one that was not full the next one waits.
PACE_S = 0.1
# Nobody waits for a view as for a saga's next step.
VIEWS_PACE_S = 0.25
FULL_EVENTS = 250


class LogFeed:
    """Follows every source through a LogReader, one thread per source and lane.

    `bell` wakes it where the reader is local and cannot wait by itself.
    """

    def __init__(
        self, inbox: Inbox, reader: LogReader, stop: Event, *, bell: Bell | None = None
    ) -> None:
        self._inbox = inbox
        self._reader = reader
        self._stop = stop
        self._bell = bell

    def run(self) -> None:
        """Follow all sources until the stop."""
        SourceThreads("log", self._reader, self._step, self._stop).run()

    def _step(self, source: str) -> None:
        seen = self._bell.rings if self._bell else 0
        began = time.monotonic()
        wait_s = 0.0 if self._bell or len(self._inbox.lanes) > 1 else WAIT_S
        pulled = [self._pull(source, lane, wait_s) for lane in self._inbox.lanes]
        if any(pulled):
            if max(pulled) < FULL_EVENTS:
                self._stop.wait(PACE_S if "sagas" in self._inbox.lanes else VIEWS_PACE_S)
            return
        if self._bell:
            self._stop.wait(REST_S)
            self._bell.wait(WAIT_S, since=seen)
        elif time.monotonic() - began < wait_s / 2 or not wait_s:
            self._stop.wait(POLL_S)

    def _pull(self, source: str, lane: str, wait_s: float) -> int:
        """Hand one page to the inbox; return how many events it had."""
        after = self._inbox.position(source, lane)
        batch = self._reader.read(source, lane, after, wait_s=wait_s)
        if not batch.events:
            return 0
        if not self._inbox.receive(batch):
            self._inbox.catch_up(source)
        return len(batch.events)
