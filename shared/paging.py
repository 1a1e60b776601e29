"""Cursors: where a page ended, as a text that says nothing to its reader and stays valid."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson

from shared.errors import InvalidError

CURSOR_LENGTH_MAX = 1_000


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
        raise InvalidError("`after` takes the next_after of the same list's page before")
    return parts
