"""Versions of rules, each in force from an instant of its own until the next one's."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import msgspec

from shared.calendar import Calendar
from shared.errors import InvalidError
from shared.mistakes import explained


class Dated(Protocol):
    """A version of rules: its number, and from when on it is in force (ISO 8601, bank time)."""

    @property
    def version(self) -> int:
        """Return its number; they rise."""
        ...

    @property
    def effective_from(self) -> str:
        """Return from when on it is in force."""
        ...


T = TypeVar("T", bound=Dated)


class Rulebook(Generic[T]):
    """All versions, found by the instant at which they are in force."""

    def __init__(self, versions: list[tuple[int, T]]) -> None:
        self.versions = versions
        self._starts = [start for start, _ in versions]

    def at(self, instant: int) -> T:
        """Return the rules in force; before the first version, the first."""
        index = bisect_right(self._starts, instant) - 1
        return self.versions[max(index, 0)][1]


def read_rulebook(
    text: bytes, kind: type[T], calendar: Calendar, whose: str,
    mistake_in: Callable[[T], str | None] = lambda _: None,
) -> Rulebook[T]:  # fmt: skip
    """Read a file's text: a JSON list of versions. Raises InvalidError that says what is wrong."""
    try:
        versions: list[T] = msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]
        dated = [(calendar.parse(rules.effective_from), rules) for rules in versions]
    except msgspec.ValidationError as error:
        what, place = explained(error, list[kind])  # type: ignore[valid-type]
        raise InvalidError(f"the rules of {whose} can't be used: {what}, at {place}") from error
    except (ValueError, OverflowError, msgspec.DecodeError) as error:
        raise InvalidError(f"the rules of {whose} can't be used: {error}") from error
    mistake = _mistake(dated) or next(filter(None, map(mistake_in, versions)), None)
    if mistake is not None:
        raise InvalidError(f"the rules of {whose} can't be used: {mistake}")
    return Rulebook(dated)


def _mistake(dated: list[tuple[int, T]]) -> str | None:
    if not dated:
        return "they need at least one version"
    for (start, before), (next_start, rules) in pairwise(dated):
        if rules.version <= before.version:
            return f"version {rules.version} comes after {before.version}: they must be rising"
        if next_start <= start:
            return f"effective_from of version {rules.version} is not after that before it"
    return None
