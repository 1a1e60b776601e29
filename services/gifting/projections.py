"""The rows beside the log: what gifts, red packets and asks are now, for lists, limits and jobs."""

from typing import Any

from psycopg import Connection

from services.gifting import metrics
from services.gifting.domain.gift import Gift

UPSERT_GIFTS = """
INSERT INTO gifts AS g (
    id, sender, receiver, bytes, state, counts, asked_at, changed_at, sender_opened_at, due_at
)
SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::boolean[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[]
)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, counts = excluded.counts, changed_at = excluded.changed_at,
    sender_opened_at = coalesce(excluded.sender_opened_at, g.sender_opened_at),
    due_at = excluded.due_at
"""


class Rows:
    """The rows that one turn writes."""

    def __init__(self) -> None:
        self._gifts: list[tuple[Any, ...]] = []

    def take(self, aggregate: Any, now: int, sender_opened_at: int | None = None) -> None:
        """Take in what an aggregate has become by `now`."""
        metrics.TRANSITIONS.labels(type(aggregate).__name__.lower(), aggregate.state).inc()
        if isinstance(aggregate, Gift):
            due_at = now if aggregate.state == "requested" else None
            self._gifts.append((
                aggregate.id, aggregate.sender, aggregate.receiver, aggregate.bytes,
                aggregate.state, not aggregate.gives_back, aggregate.requested_at, now,
                sender_opened_at, due_at,
            ))  # fmt: skip

    def write(self, conn: Connection[Any]) -> None:
        """Write the rows, each kind's in one statement."""
        if self._gifts:
            conn.execute(UPSERT_GIFTS, [list(column) for column in zip(*self._gifts, strict=True)])
