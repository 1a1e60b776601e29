"""What is given out and comes back: entrances to campaigns, starts of ads, links to share.

A token is a row that never changes, written at once and outside of any turn: nothing is decided by
it yet. The same request (by its key) has the same token.
"""

import secrets
from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.rows import tuple_row

from services.tasks.domain.tasks.completion import SECOND_MS, Token
from services.tasks.store import Store
from shared.errors import ConflictError
from shared.ids import digest

# 22 letters that nobody guesses.
TOKEN_BYTES = 16
COLUMNS = "token_id, use, campaign, task, subscriber, issued_at, invited_by, device, address"
INSERT = f"""
INSERT INTO task_tokens ({COLUMNS}, token)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (token_id) DO NOTHING
"""
BY_ID = f"SELECT token, {COLUMNS} FROM task_tokens WHERE token_id = %s"
BY_TOKEN = f"SELECT token, {COLUMNS} FROM task_tokens WHERE token = ANY(%s)"
# The last one before something happened, or within its second: so exactly it is told.
ENTRANCES = f"""
SELECT h, found.* FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS asked (c, s, h)
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM task_tokens
    WHERE use = 'entrance' AND campaign = c AND subscriber = s
        AND issued_at <= h + {SECOND_MS - 1} AND issued_at - issued_at %% {SECOND_MS} <= h
    ORDER BY issued_at DESC LIMIT 1
) AS found
"""
INSERT_VISIT = """
INSERT INTO visits (token_id, visitor, visited_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
COUNT_VISITS = "SELECT count(*) FROM visits WHERE token_id = %s"


# Campaign, subscriber, when it happened.
Happened = tuple[str, str, int]


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is asked for; the same `key` asks for the same one."""

    use: Literal["entrance", "ad", "share"]
    campaign: str
    subscriber: str
    key: tuple[str, ...]
    task: str = ""
    invited_by: str | None = None
    device: str | None = None
    address: str | None = None

    @property
    def token_id(self) -> UUID:
        """Return the id of the token that this asks for."""
        return UUID(bytes=digest("task-token", self.use, self.campaign, self.task, *self.key))


class Tokens:
    """The tokens of a store. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def issue(self, asked: Issue) -> tuple[str, Token, bool]:
        """Return the token, what it stands for, and whether it had been given out before.

        Raises ConflictError where the key was used for something else.
        """
        token_id = asked.token_id
        told = (asked.use, asked.campaign, asked.task, asked.subscriber)
        about = (asked.invited_by, asked.device, asked.address)
        row = (
            token_id, *told, self._store.clock.now(), *about, secrets.token_urlsafe(TOKEN_BYTES)
        )  # fmt: skip
        with self._store.connection() as conn:
            made = conn.execute(INSERT, row).rowcount
            found = conn.cursor(row_factory=tuple_row).execute(BY_ID, (token_id,)).fetchone()
        assert found is not None
        text, token = found[0], _token(found[1:])
        if (token.subscriber, token.invited_by, token.device, token.address) != (
            asked.subscriber, *about,
        ):  # fmt: skip
            raise ConflictError
        return text, token, not made

    def find(self, texts: Iterable[str]) -> dict[str, Token]:
        """Return what tokens stand for; unknown ones are missing."""
        wanted = list(texts)
        if not wanted:
            return {}
        return {row[0]: _token(row[1:]) for row in self._select(BY_TOKEN, (wanted,))}

    def entrances(self, asked: Iterable[Happened]) -> dict[Happened, Token]:
        """Return the last entrance before something happened, where there is one."""
        wanted = list(set(asked))
        if not wanted:
            return {}
        columns = tuple(map(list, zip(*wanted, strict=True)))
        found: dict[Happened, Token] = {}
        for happened_at, *row in self._select(ENTRANCES, columns):
            token = _token(tuple(row))
            found[token.campaign, token.subscriber, happened_at] = token
        return found

    def visit(self, token: Token, visitor: str) -> int:
        """Count a visitor of a shared link, each once; return how many there are."""
        with self._store.connection() as conn:
            token_id = UUID(hex=token.token_id)
            conn.execute(INSERT_VISIT, (token_id, visitor, self._store.clock.now()))
            row = conn.cursor(row_factory=tuple_row).execute(COUNT_VISITS, (token_id,)).fetchone()
        return int(row[0]) if row else 0

    def visitors(self, token: Token) -> int:
        """Return how many distinct visitors a shared link had."""
        return int(self._select(COUNT_VISITS, (UUID(hex=token.token_id),))[0][0])

    def _select(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._store.connection() as conn:
            return conn.cursor(row_factory=tuple_row).execute(statement, values).fetchall()


def _token(row: tuple[Any, ...]) -> Token:
    token_id, use, campaign, task, subscriber, issued_at, invited_by, device, address = row
    return Token(
        token_id=token_id.hex, use=use, campaign=campaign, task=task, subscriber=subscriber,
        issued_at=issued_at, invited_by=invited_by, device=device, address=address,
    )  # fmt: skip
