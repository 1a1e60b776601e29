"""A producer's log as lanes of CloudEvents, read from its database.

What is stored is what travels: a row's `topic` is the event's type, its `state` the JSON of the
event's contract. It is served over HTTP (`shared.log_api`), published by the relay, and read by the
service's own inboxes.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from psycopg.rows import tuple_row

from shared.bus.types import Page
from shared.contracts.envelope import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    LANES,
    Batch,
    Decode,
    OutgoingEnvelope,
    decode_batch,
    time_text,
)
from shared.errors import InvalidError, NotFoundError

Lend = Callable[[], AbstractContextManager[Any]]
"""Lends a connection whose search path is the log's schema. Raises UnavailableError."""

LAST = """
SELECT notification_id FROM stored_events WHERE {where}{bound}
ORDER BY notification_id DESC LIMIT 1
"""

_encode = msgspec.json.Encoder().encode


class EventFacts(msgspec.Struct):
    """The few fields of a stored event that an envelope shows; the rest is skipped unread."""

    account: str
    recorded_at: int
    correlation_id: str = ""
    causation_id: str = ""


decode_facts = msgspec.json.Decoder(EventFacts).decode


class StoredLog:
    """One log, in the table `stored_events` of the schema of its name."""

    def __init__(self, name: str, source: str, connection: Lend, saga_types: Sequence[str]) -> None:
        self.name = name
        self.source = source
        self._connection = connection
        # The lane's filter is spelled as in the partial index, so that the planner sees it.
        sagas = "topic IN (" + ", ".join(f"'{each}'" for each in saga_types) + ")"
        self._filters = {"all": "true", "sagas": sagas}

    def page(self, lane: str, after: int, limit: int) -> Page:
        """Read up to `limit` (≤ 500) events of the lane after a sequence, at most about 1 MiB.

        Raises InvalidError for an unknown lane, UnavailableError.
        """
        where = self._filter(lane)
        limit = min(limit, BATCH_EVENTS_MAX)
        with self._connection() as conn:
            found, before = (conn.cursor(row_factory=tuple_row) for _ in range(2))
            with conn.pipeline():
                found.execute(
                    "SELECT notification_id, topic, state FROM stored_events"
                    f" WHERE notification_id > %s AND {where} ORDER BY notification_id LIMIT %s",
                    (after, limit), binary=True,
                )  # fmt: skip
                if after:
                    before.execute(
                        LAST.format(where=where, bound=f" AND notification_id <= {after}")
                    )
            rows = found.fetchall()
            previous = _only(before) if after else 0
            head = rows[-1][0] if rows else previous
            if len(rows) == limit:
                head = self._last(conn, where)
        return self._page(lane, rows, previous, head)

    def head(self, lane: str) -> int:
        """Return the sequence of the lane's last event, 0 when there is none."""
        with self._connection() as conn:
            return self._last(conn, self._filter(lane))

    def _filter(self, lane: str) -> str:
        """Return the SQL condition of a lane. Raises InvalidError."""
        if lane not in self._filters:
            raise InvalidError(f"there is no lane {lane}", allowed=list(LANES))
        return self._filters[lane]

    def _last(self, conn: Any, where: str) -> int:
        cursor = conn.cursor(row_factory=tuple_row)
        return _only(cursor.execute(LAST.format(where=where, bound="")))

    def _page(
        self, lane: str, rows: list[tuple[int, str, bytes]], previous: int, head: int
    ) -> Page:
        parts: list[bytes] = []
        size, last = 0, previous
        for sequence, topic, state in rows:
            part = _encode(self._envelope(sequence, last, topic, state))
            size += len(part)
            if parts and size > BATCH_BYTES_MAX:
                break
            parts.append(part)
            last = sequence
        body = b"[" + b",".join(parts) + b"]"
        return Page(self.source, lane, previous, last, max(head, last), len(parts), body)

    def _envelope(self, sequence: int, previous: int, topic: str, state: bytes) -> OutgoingEnvelope:
        facts = decode_facts(state)
        return OutgoingEnvelope(
            id=f"{self.source}/{sequence}",
            source=self.source,
            type=topic,
            subject=facts.account,
            time=time_text(facts.recorded_at),
            partitionkey=facts.account,
            sequence=str(sequence),
            previous=str(previous),
            correlationid=facts.correlation_id or None,
            causationid=facts.causation_id or None,
            data=msgspec.Raw(state),
        )


def _only(cursor: Any) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0


class LocalLogReader:
    """A service's own way to its logs: straight from the database (a LogReader)."""

    def __init__(self, logs: Sequence[StoredLog]) -> None:
        self.decode: Decode = decode_batch
        self._logs = {log.source: log for log in logs}

    def sources(self) -> list[str]:
        """Return the sources of all logs."""
        return list(self._logs)

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read the next events of a lane; it never waits, the doorbell does."""
        del wait_s
        page = self._log(source).page(lane, after, BATCH_EVENTS_MAX)
        return decode_batch(page.body, source, lane, page.head)

    def head(self, source: str, lane: str) -> int:
        """Return the sequence of the lane's last event."""
        return self._log(source).head(lane)

    def _log(self, source: str) -> StoredLog:
        if source not in self._logs:
            raise NotFoundError(f"there is no log {source} here")
        return self._logs[source]
