"""What people have given and got lately: what limits and suspicions are counted from.

The rows of the table `gifts` are counted themselves, so that there is no counter that could differ
from them: nobody has many in a month. A gift that was asked for earlier in the same turn counts.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from services.gifting.domain.abuse import Traffic, windows
from services.gifting.domain.limits import Used
from services.gifting.domain.periods import periods_of
from services.gifting.domain.rules import Rules
from shared.calendar import Calendar

SELECT_GIFTS = """
SELECT id, sender, receiver, bytes, counts, asked_at, sender_opened_at FROM gifts
WHERE asked_at >= %(since)s AND sender = ANY(%(people)s)
UNION
SELECT id, sender, receiver, bytes, counts, asked_at, sender_opened_at FROM gifts
WHERE asked_at >= %(since)s AND receiver = ANY(%(people)s)
ORDER BY asked_at, id
"""
SELECT_PAIRS = """
SELECT DISTINCT sender, receiver FROM gifts
JOIN unnest(%s::text[], %s::text[]) AS pair (giver, taker) ON sender = giver AND receiver = taker
"""


class GiftRow(NamedTuple):
    """A gift as it is counted."""

    id: UUID
    sender: str
    receiver: str
    bytes: int
    counts: bool
    asked_at: int
    sender_opened_at: int | None


class Before(NamedTuple):
    """The gifts that came before another one, of both its parties."""

    given: list[GiftRow]
    got: list[GiftRow]
    # What the receiver gave.
    back: list[GiftRow]


class History:
    """The gifts of the people of one turn, as far back as the rules look."""

    def __init__(self, now: int, calendar: Calendar, rules: Rules) -> None:
        self._now = now
        self._periods = periods_of(now, calendar)
        self._windows = windows(rules.abuse, now)
        self._given: dict[str, list[GiftRow]] = {}
        self._got: dict[str, list[GiftRow]] = {}
        self._pairs: set[tuple[str, str]] = set()
        # By gift: when its sender's account began, where only this turn knows it.
        self._opened_at: dict[UUID, int] = {}

    def read(self, conn: Connection[Any], pairs: Iterable[tuple[str, str]]) -> None:
        """Read what these senders and receivers gave and got."""
        senders, receivers = map(list, zip(*pairs, strict=True))
        looks_back = self._windows
        since = min(
            self._periods.month.starts_at, looks_back.velocity, looks_back.fan, looks_back.cycle,
            looks_back.star,
        )  # fmt: skip
        values = {"since": since, "people": list({*senders, *receivers})}
        with conn.pipeline():
            gifts = conn.cursor(row_factory=tuple_row).execute(SELECT_GIFTS, values)
            known = conn.cursor(row_factory=tuple_row).execute(SELECT_PAIRS, (senders, receivers))
        for row in gifts:
            self.add(GiftRow(*row))
        self._pairs |= set(known)

    def add(self, row: GiftRow) -> None:
        """Take in a gift."""
        self._given.setdefault(row.sender, []).append(row)
        self._got.setdefault(row.receiver, []).append(row)
        self._pairs.add((row.sender, row.receiver))

    def learn(self, gift: UUID, sender_opened_at: int) -> None:
        """Take in when the sender's account of a gift began, of one that was read without it."""
        self._opened_at[gift] = sender_opened_at

    def _opened(self, row: GiftRow) -> int:
        """Return when the sender's account began, 0 while nobody has told it."""
        return self._opened_at.get(row.id) or row.sender_opened_at or 0

    def _before(self, sender: str, receiver: str, gift: UUID | None) -> Before:
        """Return what came before a gift; before a new one, everything."""
        found = (
            self._given.get(sender, []), self._got.get(receiver, []), self._given.get(receiver, []),
        )  # fmt: skip
        if gift is None:
            return Before(*found)
        own = next((row for row in found[0] if row.id == gift), None)
        if own is None:
            return Before(*([row for row in rows if row.id != gift] for rows in found))
        place = (own.asked_at, own.id)
        return Before(*([row for row in rows if (row.asked_at, row.id) < place] for rows in found))

    def used(self, sender: str, receiver: str, gift: UUID | None = None) -> Used:
        """Return what limits count besides a gift: what gave its count back is left out."""
        before = self._before(sender, receiver, gift)
        month, day = self._periods.month.starts_at, self._periods.day.starts_at
        given = [row for row in before.given if row.counts and row.asked_at >= month]
        today = [row for row in given if row.asked_at >= day]
        got = [row for row in before.got if row.counts and row.asked_at >= month]
        senders = {row.sender for row in got}
        return Used(
            day_count=len(today),
            day_bytes=sum(row.bytes for row in today),
            month_count=len(given),
            month_bytes=sum(row.bytes for row in given),
            receiver_month_count=len(got),
            receiver_month_bytes=sum(row.bytes for row in got),
            receiver_month_senders=len(senders),
            receiver_knows_sender=sender in senders,
        )

    def traffic(
        self, sender: str, receiver: str, opened_at: int | None, gift: UUID | None = None
    ) -> Traffic:
        """Return what suspicions count: every gift that was asked for, however it ended."""
        before, since = self._before(sender, receiver, gift), self._windows
        got = [row for row in before.got if row.sender != sender]
        return Traffic(
            sender_gifts=sum(row.asked_at >= since.velocity for row in before.given),
            sender_receivers=len(
                {row.receiver for row in before.given if row.asked_at >= since.fan} - {receiver}
            ),
            receiver_senders=len({row.sender for row in got if row.asked_at >= since.fan}),
            receiver_new_senders=len(
                {
                    row.sender
                    for row in got
                    if row.asked_at >= since.star and self._opened(row) > since.new_account
                }
            ),
            gifts_back=sum(
                row.receiver == sender and row.asked_at >= since.cycle for row in before.back
            ),
            knows_receiver=(sender, receiver) in self._pairs,
            sender_opened_at=opened_at,
        )
