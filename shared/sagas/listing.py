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
SELECT id FROM {table} WHERE due_at <= %s AND id > %s ORDER BY id LIMIT %s
"""
Place = tuple[int, str]
# Before every id.
FIRST = UUID(int=0)


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


def due(store: SagaStore[Any], table: str, now: int, after: UUID, limit: int) -> list[Any]:
    """Return what is due by now, behind an id, in the order of ids."""
    with store.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(
            DUE.format(table=table), (now, after, limit)
        ).fetchall()  # fmt: skip
    events = store.events([row[0] for row in rows]) if rows else {}
    return [rebuild(events[row[0]]) for row in rows]
