"""How gunicorn's threads serve connections: a client that asks on at once keeps its thread."""

import select
from threading import BoundedSemaphore
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

# After an answer a thread waits so long for the connection's next request.
LINGER_MS = 25
# So many threads never do: they take what comes on other connections.
FREE_THREADS = 4


class LingeringWorker(ThreadWorker):  # type: ignore[misc]
    """Threads that stay with a busy connection.

    Handing a connection back to the main thread after each answer, which hands it out again with
    the next request, takes as long as a small request itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = BoundedSemaphore(max(1, self.cfg.threads - FREE_THREADS))

    def handle(self, conn: Any) -> Any:
        """Serve a connection until it rests; say whether it is to be kept."""
        kept = super().handle(conn)
        while kept is True and self.alive and self._goes_on(conn):
            kept = super().handle(conn)
        return kept

    def _goes_on(self, conn: Any) -> bool:
        """Wait a moment for the next request; return whether there is one."""
        if conn.parser.unreader.buf.getvalue():
            return True
        if not self._places.acquire(blocking=False):
            return False
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(LINGER_MS))
        finally:
            self._places.release()
