"""The safety net under a broker: heads are compared, and what a consumer lacks is pulled."""

from threading import Event, Lock

from shared.bus.inbox import Inbox
from shared.bus.sources import SourceThreads
from shared.bus.types import LogReader

LEVEL_EVERY_S = 10.0


class Leveller:
    """Brings an inbox level with every source: at start, when woken, and when it stands still.

    Every 10 s the positions are looked at; a consumer that is behind but moving is left to the
    broker, one that did not move is compared with the log's heads and pulls.
    """

    def __init__(self, inbox: Inbox, reader: LogReader, stop: Event) -> None:
        self._inbox = inbox
        self._reader = reader
        self._stop = stop
        self._lock = Lock()
        self._bells: dict[str, Event] = {}
        self._seen: dict[str, list[int]] = {}

    def wake(self, source: str | None = None) -> None:
        """Compare a source's heads now; all sources' without a name."""
        with self._lock:
            bells = list(self._bells.values()) if source is None else [self._bell(source)]
        for bell in bells:
            bell.set()

    def run(self) -> None:
        """Keep level until the stop."""
        SourceThreads("level", self._reader, self._step, self._stop, on_stop=self.wake).run()

    def _step(self, source: str) -> None:
        """Do one comparison, then wait for the next."""
        with self._lock:
            bell = self._bell(source)
        woken = bell.is_set()
        bell.clear()
        try:
            self._level(source, always=woken)
        except Exception:
            bell.set()
            raise
        if not self._stop.is_set():
            bell.wait(LEVEL_EVERY_S)

    def _level(self, source: str, *, always: bool) -> None:
        if always or self._seen.get(source) in (None, self._positions(source)):
            self._inbox.catch_up(source)
        self._seen[source] = self._positions(source)

    def _positions(self, source: str) -> list[int]:
        return [self._inbox.position(source, lane) for lane in self._inbox.lanes]

    def _bell(self, source: str) -> Event:
        return self._bells.setdefault(source, Event())
