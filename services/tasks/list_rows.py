"""The rows of members' lists in a turn: read when a job asks, changed for those that follow."""

from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import tuple_row

SELECT_LIST = "SELECT number, members FROM member_lists WHERE name = %s"
SELECT_MEMBERS = """
SELECT subscriber FROM list_members WHERE list = %s AND subscriber = ANY(%s::text[])
"""
UPSERT_LIST = """
INSERT INTO member_lists (name, number, members, changed_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    number = excluded.number, members = excluded.members, changed_at = excluded.changed_at
"""
ADD_MEMBERS = "INSERT INTO list_members (list, subscriber) SELECT %s, unnest(%s::text[])"
REMOVE_MEMBERS = "DELETE FROM list_members WHERE list = %s AND subscriber = ANY(%s::text[])"
INSERT_CHANGES = """
INSERT INTO list_changes (list, number, subscriber, added)
SELECT %s, %s, subscriber, %s FROM unnest(%s::text[]) AS new (subscriber)
"""


SELECT_CHANGED = "SELECT subscriber, added FROM list_changes WHERE list = %s AND number = %s"


class ListState(NamedTuple):
    """A list's newest version, and how many are on it."""

    number: int
    members: int


class ListRows:
    """What one turn knows of lists. Its changes are written at once: few turns have any."""

    def __init__(self, conn: Connection[Any], now: int) -> None:
        self._conn = conn
        self._now = now

    def state(self, name: str) -> ListState:
        """Return a list's newest version; one that never was has version 0."""
        row = self._cursor().execute(SELECT_LIST, (name,)).fetchone()
        return ListState(0, 0) if row is None else ListState(*row)

    def members_among(self, name: str, people: list[str]) -> set[str]:
        """Return who of some people is on a list."""
        found = self._cursor().execute(SELECT_MEMBERS, (name, people)).fetchall()
        return {subscriber for (subscriber,) in found}

    def changed_in(self, name: str, number: int) -> dict[str, bool]:
        """Return whom a version added (True) and removed."""
        return dict(self._cursor().execute(SELECT_CHANGED, (name, number)).fetchall())

    def change(self, name: str, number: int, added: list[str], removed: list[str]) -> int:
        """Write a version of a list; return how many are on it now."""
        members = self.state(name).members + len(added) - len(removed)
        self._conn.execute(UPSERT_LIST, (name, number, members, self._now))
        if added:
            self._conn.execute(ADD_MEMBERS, (name, added))
            self._conn.execute(INSERT_CHANGES, (name, number, True, added))
        if removed:
            self._conn.execute(REMOVE_MEMBERS, (name, removed))
            self._conn.execute(INSERT_CHANGES, (name, number, False, removed))
        return members

    def _cursor(self) -> Any:
        return self._conn.cursor(row_factory=tuple_row)
