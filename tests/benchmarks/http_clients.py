"""Clients of an HTTP face that take little of the machine: a socket each, kept alive."""

import selectors
import socket
import time
from collections.abc import Iterator
from itertools import count
from random import Random

import orjson

from tests.benchmarks.together import await_others, together

PROCESSES = 2
TIMEOUT_S = 60.0
OK = 200
PATH = "/v1/commands"


class Line:
    """A connection that is kept. Raises OSError when it is lost, ValueError for a bad answer."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self._common = (
            f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        ).encode()

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self._socket.fileno()

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Send a body and return the status and the answer's body."""
        self.send(path, body, **headers)
        return self.receive()

    def send(self, path: str, body: bytes, **headers: str) -> None:
        """Send a body."""
        more = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        self._socket.sendall(
            b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b"
            % (path.encode(), self._common, more.encode(), len(body), body)
        )

    def receive(self) -> tuple[int, bytes]:
        """Return the status and the answer's body."""
        status = self._answers.readline()
        if not status:
            raise ConnectionResetError("the server hung up")
        length = 0
        while (line := self._answers.readline().lower()) not in (b"\r\n", b""):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return int(status.split()[1]), self._answers.read(length)


def load(
    port: int, token: str, names: list[str], clients: int, seconds: int, key: str
) -> list[float]:
    """Have clients buy packs, one after the other each, for some seconds; returns latencies (s).

    Only answers within the time count, so their number over the seconds is the rate.
    """
    each = clients // PROCESSES
    calls = [
        (port, token, names[process::PROCESSES], each, seconds, f"{key}-{process}")
        for process in range(PROCESSES)
    ]
    return [latency for found in together(_process, calls) for latency in found]


def _process(
    port: int, token: str, names: list[str], clients: int, seconds: int, key: str
) -> list[float]:
    lines = [Line(port, token) for _ in range(clients)]
    await_others()
    try:
        return _latencies(
            [
                (line, _commands(names[each::clients], f"{key}-{each}"))
                for each, line in enumerate(lines)
            ],
            time.monotonic() + seconds,
        )
    finally:
        for line in lines:
            line.close()


def _latencies(clients: list[tuple[Line, Iterator[bytes]]], until: float) -> list[float]:
    """Let every client ask, and ask again as soon as it is answered.

    One thread with a selector takes a third of what a thread for each client does.
    """
    latencies: list[float] = []
    sent = [0.0] * len(clients)
    with selectors.DefaultSelector() as selector:
        for each, (line, commands) in enumerate(clients):
            selector.register(line, selectors.EVENT_READ, each)
            sent[each] = time.monotonic()
            line.send(PATH, next(commands))
        waiting = len(clients)
        while waiting:
            for key, _ in selector.select():
                line, commands = clients[key.data]
                done(*line.receive())
                now = time.monotonic()
                if now >= until:
                    waiting -= 1
                    selector.unregister(line)
                    continue
                latencies.append(now - sent[key.data])
                sent[key.data] = now
                line.send(PATH, next(commands))
    return latencies


def done(status: int, answer: bytes) -> None:
    """Raise AssertionError where a command was not done."""
    if status != OK or orjson.loads(answer)["outcomes"][0]["status"] != "done":
        raise AssertionError(f"not done: {status} {answer!r}")


def _commands(names: list[str], key: str) -> Iterator[bytes]:
    random = Random(key)
    for number in count():
        account = random.choice(names)
        fields = {"key": f"{key}-{number}", "type": "buy", "account": account, "bytes": 1 << 20}
        yield orjson.dumps({"commands": [fields]})
