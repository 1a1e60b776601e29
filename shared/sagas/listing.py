"""Pages of things: which there are, from the rows; what they are, from their events."""

from typing import Any
from uuid import UUID

from psycopg.rows import tuple_row

from shared.sagas.aggregate import rebuild
from shared.sagas.store import SagaStore

# Newest first; an instant may have many.
PAGE = """
SELECT id, asked_at FROM {table}
WHERE (%(account)s::text IS NULL OR {sides})
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(at)s::bigint IS NULL OR (asked_at, id) < (%(at)s, %(id)s::uuid))
ORDER BY asked_at DESC, id DESC LIMIT %(limit)s
"""
DUE = """
SELECT due_at, id FROM {table} WHERE due_at <= %s AND (due_at, id) > (%s, %s)
ORDER BY due_at, id LIMIT %s
"""
Place = tuple[int, str]
Due = tuple[int, UUID]
# Before every id, and before whatever is due.
FIRST = UUID(int=0)
FIRST_DUE = (0, FIRST)


def page(
    store: SagaStore[Any], table: str, sides: tuple[str, ...], asked: dict[str, Any], limit: int
) -> tuple[list[Any], Place | None]:
    """Return a page of what lies in a table, and the place of its last one if there is more.

    `asked` has account, state, and after: the place where the page before has ended. `sides` are
    the columns of which one is the account.
    """
    at, last = asked["after"] or (None, None)
    values = {"account": asked["account"], "state": asked["state"], "at": at, "id": last}
    where = "(" + " OR ".join(f"{side} = %(account)s" for side in sides) + ")"
    with store.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(
            PAGE.format(table=table, sides=where), {**values, "limit": limit + 1}
        ).fetchall()  # fmt: skip
    shown = rows[:limit]
    events = store.events([row[0] for row in shown])
    more = (shown[-1][1], shown[-1][0].hex) if len(rows) > limit else None
    return [rebuild(events[row[0]]) for row in shown], more


def due(
    store: SagaStore[Any], table: str, now: int, after: Due, limit: int
) -> tuple[list[Any], Due]:
    """Return what is due by now behind a place, the longest due first, and the last one's place."""
    with store.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(
            DUE.format(table=table), (now, *after, limit)
        ).fetchall()  # fmt: skip
    events = store.events([row[1] for row in rows]) if rows else {}
    return [rebuild(events[row[1]]) for row in rows], rows[-1] if rows else after
