"""Runs a service's worker as a process: until it is told to stop, with a small HTTP face."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from socketserver import TCPServer, ThreadingMixIn
from threading import Event, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from flask import Flask

from shared import http
from shared.auth import Tokens
from shared.config import Settings
from shared.metrics import Measure

FACE_TIMEOUT_S = 10


def main(service: str, run: Callable[[Event], None]) -> int:
    """Run `python -m services.<service> worker` until TERM or INT; return the exit code."""
    if sys.argv[1:] != ["worker"]:
        sys.stderr.write(f"usage: python -m services.{service} worker\n")
        return 2
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)
    return 0


@contextmanager
def serve_face(
    service: str, settings: Settings, port: int, ready: http.Check, measure: Measure
) -> Iterator[None]:
    """Answer /health, /ready and /metrics while the block runs; port 0: don't.

    Raises OSError where the port is taken.
    """
    if port == 0:
        yield
        return
    app = Flask(f"{service}-worker")
    http.install(app, f"{service}-worker", Tokens(settings.accepted_tokens), ready, measure)
    with _Server((settings.bind_host, port), _Handler) as server:
        server.set_app(_without_body(app))
        thread = Thread(target=server.serve_forever, name="face", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()


def _without_body(app: Flask) -> Callable[..., Iterable[bytes]]:
    """Let nobody wait for a body: this server does not know where one ends."""

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return app(environ | {"wsgi.input": BytesIO(), "CONTENT_LENGTH": "0"}, start_response)

    return call


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: there are few, and a slow one must not hold up /health."""

    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Bind without asking the name service for this host's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(WSGIRequestHandler):
    """Logs no requests; drops a client that is silent."""

    timeout = FACE_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 The library's name.
        """Log nothing: Prometheus asks every few seconds."""
