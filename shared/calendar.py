"""The bank's calendar: months and days in its own time zone, instants in milliseconds UTC."""

import re
from bisect import bisect_right
from datetime import MAXYEAR, MINYEAR, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from zoneinfo import ZoneInfo

DURATION_PATTERN = re.compile(r"([1-9][0-9]{0,4})([mhd])")
# So many months are remembered by their begin and end, of those that were met.
MONTHS_MAX = 64
UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
MONTH_PATTERN = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class Calendar:
    """Turns instants (int milliseconds since 1970-01-01Z) into bank months and days.

    Months are written `YYYY-MM`, days `YYYY-MM-DD`; every interval is half-open.
    """

    def __init__(self, timezone: str) -> None:
        self.zone = ZoneInfo(timezone)
        self._month: tuple[int, int, str] = (0, 0, "")
        self._months: list[tuple[int, int, str]] = []
        self.month_start = lru_cache(maxsize=4096)(self._month_start)

    def month_of(self, at: int) -> str:
        """Return the month that holds this instant."""
        start, end, month = self._month
        if start <= at < end:
            return month
        found = self._month = self._month_at(at)
        return found[2]

    def _month_at(self, at: int) -> tuple[int, int, str]:
        """Return a month's begin, end and name: of those that were met, or met now."""
        known = self._months
        place = bisect_right(known, at, key=itemgetter(0)) - 1
        if place >= 0 and at < known[place][1]:
            return known[place]
        month = datetime.fromtimestamp(at / 1000, self.zone).strftime("%Y-%m")
        found = (self.month_start(month), self.month_end(month), month)
        # A new list: threads may share the calendar.
        self._months = sorted({*known, found}) if len(known) < MONTHS_MAX else [found]
        return found

    def day_of(self, at: int) -> str:
        """Return the day that holds this instant."""
        return datetime.fromtimestamp(at / 1000, self.zone).strftime("%Y-%m-%d")

    def minute_of(self, at: int) -> int:
        """Return the minute of the bank day (0 … 1439) that holds this instant."""
        moment = datetime.fromtimestamp(at / 1000, self.zone)
        return moment.hour * 60 + moment.minute

    def day_end(self, at: int) -> int:
        """Return the first instant after the day that holds this one."""
        day = datetime.fromtimestamp(at / 1000, self.zone).date() + timedelta(days=1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return int(midnight.timestamp() * 1000)

    def month_end(self, month: str) -> int:
        """Return the first instant after the month."""
        return self.month_start(add_months(month, 1))

    def _month_start(self, month: str) -> int:
        year, number = int(month[:4]), int(month[5:])
        return int(datetime(year, number, 1, tzinfo=self.zone).timestamp() * 1000)

    def parse(self, text: str) -> int:
        """Read an ISO 8601 time; one without a zone is the bank's. Raises ValueError."""
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        at = round(moment.timestamp() * 1000)
        if not MINYEAR < moment.year < MAXYEAR:
            self.text(at)  # What the bank's zone could not write, it does not take.
        return at

    def text(self, at: int) -> str:
        """Write an instant as ISO 8601 with the bank's offset."""
        moment = datetime.fromtimestamp(at / 1000, self.zone)
        return moment.isoformat(timespec="milliseconds" if at % 1000 else "seconds")


@lru_cache(maxsize=4096)
def add_months(month: str, count: int) -> str:
    """Return the month that lies `count` months later (earlier if negative)."""
    total = int(month[:4]) * 12 + int(month[5:]) - 1 + count
    return f"{total // 12:04d}-{total % 12 + 1:02d}"


def months_from(first: str, last: str) -> list[str]:
    """Return every month from `first` to `last`, both included."""
    months = []
    while first <= last:
        months.append(first)
        first = add_months(first, 1)
    return months


def is_month(text: str) -> bool:
    """Say whether the text is a month `YYYY-MM`."""
    return MONTH_PATTERN.fullmatch(text) is not None


def duration_ms(text: str) -> int:
    """Read a duration such as `7d`, `36h` or `90m` in milliseconds. Raises ValueError."""
    found = DURATION_PATTERN.fullmatch(text)
    if found is None:
        msg = (
            f"{text!r} is no duration such as 7d, 36h or 90m:"
            " a whole number, 1 to 99999, and d, h or m"
        )
        raise ValueError(msg)
    return int(found[1]) * UNIT_MS[found[2]]
