"""Cursors: where a page ended, as a text that says nothing to its reader and stays valid."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from shared.errors import InvalidError

CURSOR_LENGTH_MAX = 1_000
# What PostgreSQL's bigint takes.
NUMBER_MAX = 2**63 - 1

T = TypeVar("T")


def cursor_of(*parts: str | int) -> str:
    """Return the cursor of a row that these parts put in its place."""
    return urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def parts_of(cursor: str | None, kinds: tuple[type, ...]) -> list[Any]:
    """Read a cursor; Nones where there is none. Raises InvalidError for one of another list."""
    if cursor is None:
        return [None] * len(kinds)
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise InvalidError("`after` takes the next_after of the page before") from error
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise another_lists()
    if any("\0" in part if isinstance(part, str) else abs(part) > NUMBER_MAX for part in parts):
        raise another_lists()
    return parts


def another_lists() -> InvalidError:
    """Return the refusal of a cursor that is no place in the list that is asked for."""
    return InvalidError("`after` takes the next_after of the same list's page before")


def page_of(
    rows: Sequence[T], limit: int, place: Callable[[T], Sequence[str | int]]
) -> tuple[Sequence[T], str | None]:
    """Return up to `limit` of the rows, and the cursor of the last one where there are more."""
    page = rows[:limit]
    return page, cursor_of(*place(page[-1])) if len(rows) > limit else None
