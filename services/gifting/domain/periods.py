"""The periods in which gifting counts: days, weeks (from Monday) and months of the bank."""

from datetime import date, timedelta
from functools import lru_cache

import msgspec

from shared.calendar import Calendar


class Period(msgspec.Struct, frozen=True, gc=False):
    """A day, week or month: its name, under which it is counted, and its first and next instant."""

    name: str
    starts_at: int
    ends_at: int


class Periods(msgspec.Struct, frozen=True):
    """The periods that hold one instant: `2015-08-03`, `2015-W32`, `2015-08`."""

    day: Period
    week: Period
    month: Period


def periods_of(at: int, calendar: Calendar) -> Periods:
    """Return the day, the week and the month that hold this instant."""
    return _periods(calendar.day_of(at), calendar)


@lru_cache(maxsize=256)
def _periods(name: str, calendar: Calendar) -> Periods:
    day = date.fromisoformat(name)
    monday = day - timedelta(days=day.weekday())
    year, week, _ = day.isocalendar()
    month = name[:7]
    return Periods(
        day=_between(day.isoformat(), day, day + timedelta(days=1), calendar),
        week=_between(f"{year:04d}-W{week:02d}", monday, monday + timedelta(days=7), calendar),
        month=Period(month, calendar.month_start(month), calendar.month_end(month)),
    )


def _between(name: str, first: date, after: date, calendar: Calendar) -> Period:
    return Period(name, calendar.parse(first.isoformat()), calendar.parse(after.isoformat()))
