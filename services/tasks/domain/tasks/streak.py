"""How long somebody has signed in day after day."""

from datetime import date, timedelta

import msgspec


class SignedIn(msgspec.Struct, frozen=True):
    """A sign-in: its day (YYYY-MM-DD) and its place in the streak, from 1."""

    day: str
    place: int


def place_today(today: str, last: SignedIn | None, streak_days: int) -> int:
    """Return the place of a sign-in today; after a day without, or a whole streak, it is 1."""
    if last is None or last.day != _day_before(today) or last.place >= streak_days:
        return 1
    return last.place + 1


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
