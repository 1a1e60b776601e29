"""Gunicorn's worker for an app with an event loop (shared/front.py)."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]


class Gathering:
    """A transport that sends what is written in one turn of the loop with one system call.

    Uvicorn writes a response's head and its body apart: for a small answer the second call, and
    waking the client for half of an answer, cost as much as a tenth of the whole.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what waits, then hang up."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class FrontProtocol(HttpToolsProtocol):
    """Uvicorn's, on a transport that gathers."""

    def connection_made(self, transport: Any) -> None:
        """Begin with a connection."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]


class FrontWorker(UvicornWorker):  # type: ignore[misc]
    """Uvicorn with its fast parts; access is counted by the app, not logged."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop", "http": FrontProtocol, "ws": "none", "lifespan": "off",
        "access_log": False, "proxy_headers": False, "server_header": False, "date_header": False,
        "timeout_graceful_shutdown": 3,
    }  # fmt: skip
