"""A TCP proxy before a PostgreSQL socket that loses connections at the worst moment."""

import socket
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from threading import Event, Lock, Thread

MARK = b"COMMIT"
CHUNK = 1 << 16


class Cut(StrEnum):
    """When a connection is lost: seen from the client all look alike."""

    BEFORE = "before the COMMIT reaches the server"
    SENT = "when the COMMIT was sent, its answer not awaited"
    ANSWERED = "when the server has answered the COMMIT"


class FaultProxy:
    """Forwards connections to a Unix socket; on demand cuts one at its COMMIT, or goes silent."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._cuts: list[Cut] = []
        self._lock = Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._deaf: set[socket.socket] = set()
        self._open = Event()
        self._open.set()
        self.cut_count = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread("accept", self._accept)

    def cut_next(self, *cuts: Cut) -> None:
        """Cut the next connections that send a COMMIT, one for each argument."""
        with self._lock:
            self._cuts.extend(cuts)

    def go_silent(self) -> None:
        """Take everything and forward nothing, as a network that drops packets."""
        self._open.clear()

    def recover(self) -> None:
        """Cut every connection and forward again."""
        self.cut_all()
        self._open.set()

    def cut_all(self) -> None:
        """Cut every connection."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)

    def close(self) -> None:
        """Stop."""
        self._listener.close()
        self.recover()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                _close(client, server)
                continue
            with self._lock:
                self._pairs.append((client, server))
            self._thread("up", self._upstream, client, server)
            self._thread("down", self._downstream, client, server)

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(CHUNK):
                self._open.wait()
                cut = self._take_cut() if MARK in data else None
                if cut is not None:
                    self._lose(cut, data, client, server)
                    return
                server.sendall(data)
        except OSError:
            pass
        _close(client, server)

    def _lose(self, cut: Cut, data: bytes, client: socket.socket, server: socket.socket) -> None:
        """Lose the connection; the client never hears of the COMMIT."""
        if cut is Cut.ANSWERED:
            # The other thread hears the answer and closes.
            self._deaf.add(client)
        if cut is not Cut.BEFORE:
            server.sendall(data)
        if cut is not Cut.ANSWERED:
            _close(client, server)

    def _downstream(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := server.recv(CHUNK):
                self._open.wait()
                if client in self._deaf:
                    break
                client.sendall(data)
        except OSError:
            pass
        _close(client, server)

    def _take_cut(self) -> Cut | None:
        with self._lock:
            if not self._cuts:
                return None
            self.cut_count += 1
            return self._cuts.pop(0)

    def _thread(self, name: str, target: Callable[..., None], *arguments: socket.socket) -> None:
        Thread(target=target, args=arguments, name=f"proxy-{name}", daemon=True).start()


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        # A thread may sit in recv: shutdown wakes it, close alone does not.
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
