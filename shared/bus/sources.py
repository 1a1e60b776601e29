"""One thread for each source that a reader knows, so that a slow log holds up no other."""

from collections.abc import Callable
from threading import Event, Thread

from shared.bus.backoff import Backoff
from shared.bus.types import LogReader
from shared.errors import DatabankError, UnavailableError
from shared.logs import logger

LOOK_FOR_SOURCES_S = 10.0
JOIN_S = 2.0

Step = Callable[[str], None]


class SourceThreads:
    """Repeats a step for every source until the stop; a step that fails is tried again later."""

    def __init__(
        self,
        name: str,
        reader: LogReader,
        step: Step,
        stop: Event,
        *,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._reader = reader
        self._step = step
        self._stop = stop
        self._on_stop = on_stop
        self._threads: dict[str, Thread] = {}

    def run(self) -> None:
        """Serve all sources, new ones too, until the stop; then wait up to 2 s for the threads."""
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                self._start_missing()
            except UnavailableError as error:
                if backoff.is_news():
                    logger().warning("sources_unknown", transport=self._name, error=str(error))
                backoff.wait()
            else:
                backoff.reset()
                self._stop.wait(LOOK_FOR_SOURCES_S)
        self._on_stop()
        for thread in self._threads.values():
            thread.join(JOIN_S)

    def _start_missing(self) -> None:
        for source in self._reader.sources():
            thread = self._threads.get(source)
            if thread is None or not thread.is_alive():
                thread = Thread(
                    target=self._follow, args=[source], name=f"{self._name}{source}", daemon=True
                )
                self._threads[source] = thread
                thread.start()

    def _follow(self, source: str) -> None:
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                self._step(source)
            except UnavailableError as error:
                if backoff.is_news():
                    logger().warning("source_waits", source=source, error=str(error))
            except DatabankError as error:
                logger().error("source_failed", source=source, code=error.code, error=str(error))
                if source not in self._known():
                    return
            except Exception as error:  # noqa: BLE001 Not known beforehand; the thread must go on.
                if backoff.is_news():
                    logger().error("source_failed", source=source, exc_info=error)
            else:
                backoff.reset()
                continue
            backoff.wait()

    def _known(self) -> list[str]:
        try:
            return self._reader.sources()
        except UnavailableError:
            return []
