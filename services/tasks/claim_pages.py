"""Pages of claims: which there are, from the rows; what they are, from their events."""

from typing import Any

from psycopg.rows import tuple_row

from services.tasks.domain.claim import Claim
from services.tasks.store import Store
from shared.sagas.aggregate import rebuild

# Newest first; an instant may have many.
PAGE = """
SELECT id, claimed_at FROM claims
WHERE (%(subscriber)s::text IS NULL OR subscriber = %(subscriber)s)
    AND (%(campaign)s::text IS NULL OR campaign = %(campaign)s)
    AND (%(task)s::text IS NULL OR task = %(task)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(at)s::bigint IS NULL OR (claimed_at, id) < (%(at)s, %(id)s::uuid))
ORDER BY claimed_at DESC, id DESC LIMIT %(limit)s
"""
FILTERS = ("subscriber", "campaign", "task", "state")
Place = tuple[int, str]


def page(store: Store, asked: dict[str, Any], limit: int) -> tuple[list[Claim], Place | None]:
    """Return a page of claims, and the place of its last one if there is more.

    `asked` has the filters (None: any), and `after`: where the page before has ended.
    """
    at, last = asked["after"] or (None, None)
    values = {name: asked[name] for name in FILTERS} | {"at": at, "id": last, "limit": limit + 1}
    with store.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(PAGE, values).fetchall()
    shown = rows[:limit]
    events = store.events([row[0] for row in shown]) if shown else {}
    more = (shown[-1][1], shown[-1][0].hex) if len(rows) > limit else None
    return [rebuild(events[row[0]]) for row in shown], more
