"""The ledger's logs as lanes of CloudEvents: served to the gateway, published by the relay."""

from typing import Any

import msgspec
from psycopg.rows import tuple_row

from services.ledger.codec import decode_facts
from services.ledger.partition import Partition
from shared.bus.types import Page
from shared.contracts.envelope import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    LANES,
    Batch,
    Decode,
    OutgoingEnvelope,
    decode_batch,
    source_of,
    time_text,
)
from shared.contracts.ledger import SAGA_TYPES
from shared.errors import InvalidError, NotFoundError

# The lane's filter is spelled as in the partial index, so that the planner sees it.
SAGAS_FILTER = "topic IN (" + ", ".join(f"'{name}'" for name in SAGA_TYPES) + ")"
FILTER = {"all": "true", "sagas": SAGAS_FILTER}

_encode = msgspec.json.Encoder().encode


class PartitionLog:
    """One partition's log, read from its database."""

    def __init__(self, partition: Partition, bank_id: str, epoch: int) -> None:
        self.name = partition.name
        self.source = source_of(bank_id, epoch, partition.name)
        self._partition = partition

    def page(self, lane: str, after: int, limit: int) -> Page:
        """Read up to `limit` (≤ 500) events of the lane after a sequence, at most about 1 MiB.

        Raises InvalidError for an unknown lane, UnavailableError.
        """
        where = lane_filter(lane)
        limit = min(limit, BATCH_EVENTS_MAX)
        with self._partition.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            cursor.execute(
                "SELECT notification_id, topic, state FROM stored_events"
                f" WHERE notification_id > %s AND {where} ORDER BY notification_id LIMIT %s",
                (after, limit), binary=True,
            )  # fmt: skip
            rows = cursor.fetchall()
            previous = self._last(conn, where, after) if after else 0
            head = rows[-1][0] if rows else previous
            if len(rows) == limit:
                head = self._last(conn, where, None)
        return self._page(lane, rows, previous, head)

    def head(self, lane: str) -> int:
        """Return the sequence of the lane's last event, 0 when there is none."""
        with self._partition.connection() as conn:
            return self._last(conn, lane_filter(lane), None)

    def _last(self, conn: Any, where: str, until: int | None) -> int:
        bound = "" if until is None else f" AND notification_id <= {int(until)}"
        row = conn.cursor(row_factory=tuple_row).execute(
            f"SELECT notification_id FROM stored_events WHERE {where}{bound}"
            " ORDER BY notification_id DESC LIMIT 1"
        ).fetchone()  # fmt: skip
        return int(row[0]) if row else 0

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


def lane_filter(lane: str) -> str:
    """Return the SQL condition of a lane. Raises InvalidError."""
    if lane not in FILTER:
        raise InvalidError(f"there is no lane {lane}", allowed=list(LANES))
    return FILTER[lane]


class LocalLogReader:
    """The ledger's own way to its logs: straight from the database (a LogReader)."""

    def __init__(self, logs: list[PartitionLog]) -> None:
        self.decode: Decode = decode_batch
        self._logs = {log.source: log for log in logs}

    def sources(self) -> list[str]:
        """Return the sources of all partitions' logs."""
        return list(self._logs)

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read the next events of a lane; it never waits, the doorbell does."""
        del wait_s
        page = self._log(source).page(lane, after, BATCH_EVENTS_MAX)
        return decode_batch(page.body, source, lane, page.head)

    def head(self, source: str, lane: str) -> int:
        """Return the sequence of the lane's last event."""
        return self._log(source).head(lane)

    def _log(self, source: str) -> PartitionLog:
        if source not in self._logs:
            raise NotFoundError(f"there is no log {source} here")
        return self._logs[source]
