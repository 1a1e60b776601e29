"""How far a consumer is in the logs that it follows, in the table `inbox_positions`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import tuple_row

from shared.contracts.envelope import Batch

UPSERT_POSITION = """
INSERT INTO inbox_positions AS p (consumer, source, lane, sequence) VALUES (%s, %s, %s, %s)
ON CONFLICT (consumer, source, lane)
DO UPDATE SET sequence = greatest(p.sequence, excluded.sequence)
"""
SELECT_POSITION = """
SELECT sequence FROM inbox_positions WHERE consumer = %s AND source = %s AND lane = %s
"""


class InboxPosition(NamedTuple):
    """How far a consumer is in a lane of a source."""

    consumer: str
    source: str
    lane: str
    sequence: int


class Reached:
    """How far a consumer is in each source, read once and then kept in memory.

    Where another process has moved a position since, what is applied again changes nothing, for
    it is known by its keys; and the stored position never goes back.
    """

    def __init__(
        self, consumer: str, lane: str,
        connection: Callable[[], AbstractContextManager[Connection[Any]]],
    ) -> None:  # fmt: skip
        self._consumer = consumer
        self._lane = lane
        self._connection = connection
        self._at: dict[str, int] = {}

    def at(self, source: str) -> int:
        """Return the position in a source, 0 at the beginning; all up to it is durable."""
        at = self._at.get(source)
        if at is None:
            at = self._at[source] = self._stored(source)
        return at

    def _stored(self, source: str) -> int:
        with self._connection() as conn:
            row = conn.cursor(row_factory=tuple_row).execute(
                SELECT_POSITION, (self._consumer, source, self._lane)
            ).fetchone()  # fmt: skip
        return int(row[0]) if row else 0

    def leave(self, batch: Batch) -> InboxPosition:
        """Return the position after a batch that is about to be applied.

        Until `reach` says that it is durable the stored position counts.
        """
        self._at.pop(batch.source, None)
        return InboxPosition(self._consumer, batch.source, self._lane, batch.sequence)

    def reach(self, source: str, sequence: int) -> None:
        """Remember a position that is durable now."""
        self._at[source] = max(self._at.get(source, 0), sequence)

    def forget(self) -> None:
        """Forget all that was read, as a process that has just started."""
        self._at.clear()
