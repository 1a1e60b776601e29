"""Reading a producer's logs over HTTP: `GET /log/{partition}` and `GET /v1/heads`.

The log `ledger_02` is at `/log/2?lane=all&after=120`.
"""

import time
from collections.abc import Sequence
from threading import Lock
from typing import Any

import httpx2
import msgspec

from shared.contracts.envelope import BATCH_EVENTS_MAX, Batch, Decode, decode_batch, log_of
from shared.errors import NotFoundError, UnavailableError

TIMEOUT_S = 5.0
SOURCES_KEPT_S = 10.0
CONNECTIONS_MAX = 64
HEAD_HEADER = "Databank-Head"
SOURCE_HEADER = "Databank-Source"


class Heads(msgspec.Struct, frozen=True):
    """How far the lanes of a producer's logs are, by log and lane."""

    source_prefix: str
    heads: dict[str, dict[str, int]]


class HttpLogReader:
    """A LogReader over a producer's HTTP interface. Threads may share it.

    `decode` reads a page: from its body, source, lane and head. Where the `sources` are known
    beforehand nobody need be asked for them, and a producer that is away hides none.
    """

    def __init__(
        self, base_url: str, token: str, *, decode: Decode = decode_batch,
        sources: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.decode = decode
        self._fixed = list(sources)
        self._client = httpx2.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            trust_env=False,
        )
        self._lock = Lock()
        self._sources: list[str] = []
        self._sources_until = 0.0

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def sources(self) -> list[str]:
        """Return the sources of the producer's logs, at most 10 s old unless it is away.

        Raises UnavailableError when they were never known.
        """
        if self._fixed:
            return self._fixed
        with self._lock:
            known, fresh = self._sources, time.monotonic() < self._sources_until
        if fresh:
            return known
        try:
            heads = self.heads()
        except UnavailableError:
            if known:
                return known
            raise
        return [f"{heads.source_prefix}/{log}" for log in heads.heads]

    def heads(self) -> Heads:
        """Return the heads of all logs. Raises UnavailableError."""
        answer = self._get("/v1/heads", {})
        try:
            heads = msgspec.json.decode(answer.content, type=Heads)
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"the log's heads are malformed: {error}") from error
        with self._lock:
            self._sources = [f"{heads.source_prefix}/{log}" for log in heads.heads]
            self._sources_until = time.monotonic() + SOURCES_KEPT_S
        return heads

    def head(self, source: str, lane: str) -> int:
        """Return the sequence of the lane's last event.

        Raises NotFoundError for a source that the producer does not have, UnavailableError.
        """
        heads = self.heads()
        log = log_of(source)
        if source != f"{heads.source_prefix}/{log}" or lane not in heads.heads.get(log, {}):
            raise NotFoundError(f"there is no lane {lane} of {source}")
        return heads.heads[log][lane]

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read the next events of a lane, waiting up to `wait_s` seconds for the first one.

        An answer without events tells the head. Raises NotFoundError when the producer's log is
        not `source` (another bank or epoch), UnavailableError.
        """
        query = {"lane": lane, "after": after, "limit": BATCH_EVENTS_MAX, "wait": wait_s}
        answer = self._get(path_of(source), query, timeout_s=TIMEOUT_S + wait_s)
        if answer.headers.get(SOURCE_HEADER) != source:
            raise NotFoundError(f"there is no log {source} here")
        try:
            return self.decode(answer.content, source, lane, int(answer.headers[HEAD_HEADER]))
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise UnavailableError(f"the log's page is malformed: {error}") from error

    def _get(
        self, path: str, query: dict[str, Any], *, timeout_s: float = TIMEOUT_S
    ) -> httpx2.Response:
        try:
            answer = self._client.get(path, params=query, timeout=timeout_s)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise UnavailableError(f"the log is not reachable: {error!r}") from error
        if answer.status_code == httpx2.codes.NOT_FOUND:
            raise NotFoundError(f"there is no {path} here")
        if answer.status_code != httpx2.codes.OK:
            raise UnavailableError(f"the log answered {answer.status_code}")
        return answer


def path_of(source: str) -> str:
    """Return the path of a source's log at its producer. Raises NotFoundError."""
    partition = log_of(source).rpartition("_")[2]
    if not partition.isdecimal():
        raise NotFoundError(f"there is no log {source} here")
    return f"/log/{int(partition)}"
