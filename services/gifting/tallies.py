"""How many red packets, shares and asks people have had lately, for their limits."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from services.gifting.domain.ask import AskUsed
from services.gifting.domain.packet_limits import SharesUsed
from services.gifting.domain.periods import periods_of
from shared.calendar import Calendar

PACKETS = """
SELECT sender, count(*) FROM red_packets
WHERE counts AND sender = ANY(%s) AND asked_at >= %s GROUP BY sender
"""
SHARES = """
SELECT receiver, claimed_at FROM claims
WHERE counts AND receiver = ANY(%s) AND claimed_at >= %s
"""
ASKS = """
SELECT asker, giver, count(*) FROM asks
WHERE asker = ANY(%s) AND asked_at >= %s GROUP BY asker, giver
"""


class Tallies:
    """The counts of one turn; what is done in it counts at once."""

    def __init__(self, now: int, calendar: Calendar) -> None:
        self._now = now
        self._periods = periods_of(now, calendar)
        self._packets: Counter[str] = Counter()
        self._shares: dict[str, list[int]] = {}
        self._asks: Counter[tuple[str, str]] = Counter()

    def read_packets(self, conn: Connection[Any], senders: Collection[str]) -> None:
        """Read how many packets these people made today."""
        self._packets.update(dict(_rows(conn, PACKETS, senders, self._periods.day.starts_at)))

    def read_shares(self, conn: Connection[Any], receivers: Collection[str]) -> None:
        """Read when these people took shares, as far back as this week and month go."""
        since = min(self._periods.week.starts_at, self._periods.month.starts_at)
        for receiver, at in _rows(conn, SHARES, receivers, since):
            self._shares.setdefault(receiver, []).append(at)

    def read_asks(self, conn: Connection[Any], askers: Collection[str]) -> None:
        """Read how often these people asked whom today."""
        for asker, giver, count in _rows(conn, ASKS, askers, self._periods.day.starts_at):
            self._asks[asker, giver] += count

    def packets_today(self, sender: str) -> int:
        """Return how many packets somebody made today."""
        return self._packets[sender]

    def count_packet(self, sender: str) -> None:
        """Count a packet that is made now."""
        self._packets[sender] += 1

    def shares_used(self, receiver: str) -> SharesUsed:
        """Return how many shares somebody took today, this week and this month."""
        taken, periods = self._shares.get(receiver, []), self._periods
        return SharesUsed(
            day_count=sum(at >= periods.day.starts_at for at in taken),
            week_count=sum(at >= periods.week.starts_at for at in taken),
            month_count=sum(at >= periods.month.starts_at for at in taken),
        )

    def count_share(self, receiver: str) -> None:
        """Count a share that is taken now."""
        self._shares.setdefault(receiver, []).append(self._now)

    def asks_used(self, asker: str, giver: str) -> AskUsed:
        """Return how often somebody asked today: all friends, and this one."""
        day_count = sum(count for (who, _), count in self._asks.items() if who == asker)
        return AskUsed(day_count=day_count, friend_day_count=self._asks[asker, giver])

    def count_ask(self, asker: str, giver: str) -> None:
        """Count an ask that is made now."""
        self._asks[asker, giver] += 1


def _rows(conn: Connection[Any], statement: str, people: Collection[str], since: int) -> list[Any]:
    cursor = conn.cursor(row_factory=tuple_row)
    return cursor.execute(statement, (list(people), since)).fetchall()
