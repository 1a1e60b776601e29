"""What has been claimed so far: what limits, streaks and chances are counted from.

The rows of the table `claims` are counted themselves, as far back as the month and yesterday; what
a campaign has given in all stands in a row per day, which moves with its claims in one transaction.
What is claimed in a turn counts at once for what follows in it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import tuple_row

from services.tasks.domain.claim import Claim
from services.tasks.domain.tasks.limits import Used
from services.tasks.domain.tasks.rewards import DAY_MS
from services.tasks.domain.tasks.streak import SignedIn
from shared.calendar import Calendar

# Yesterday is where a streak comes from; a day has 25 hours at most.
LOOK_BACK_MS = DAY_MS + 3_600_000

RECENT = """
SELECT subscriber, campaign, task, step, occurrence, counted_bytes, place, state, claimed_at
FROM claims WHERE subscriber = ANY(%s) AND claimed_at >= %s ORDER BY claimed_at
"""
IN_CAMPAIGN = """
SELECT campaign, subscriber, sum(counted_bytes)::bigint FROM claims
JOIN unnest(%s::text[], %s::text[]) AS pair (c, s) ON campaign = c AND subscriber = s
GROUP BY campaign, subscriber
"""
OF_DEVICE = """
SELECT campaign, device, count(*) FROM claims
JOIN unnest(%s::text[], %s::text[]) AS pair (c, d) ON campaign = c AND device = d
WHERE counted_bytes > 0 GROUP BY campaign, device
"""
OF_ADDRESS = """
SELECT campaign, address, count(*) FROM claims
JOIN unnest(%s::text[], %s::text[]) AS pair (c, a) ON campaign = c AND address = a
WHERE counted_bytes > 0 GROUP BY campaign, address
"""
OF_CAMPAIGN = "SELECT campaign, day, bytes FROM campaign_days WHERE campaign = ANY(%s)"
PRIZES = "SELECT campaign, task, prize, count FROM prizes_gone WHERE campaign = ANY(%s)"

Pairs = Collection[tuple[str, str]]


class Recent(NamedTuple):
    """A claim of somebody, as it is counted."""

    subscriber: str
    campaign: str
    task: str
    step: str
    occurrence: str
    counted_bytes: int
    place: int
    state: str
    claimed_at: int


class Tallies:
    """The counts of one turn; what is claimed in it counts at once."""

    def __init__(self, now: int, calendar: Calendar) -> None:
        self._today = calendar.day_of(now)
        self._day_at = calendar.parse(self._today)
        self._month_at = calendar.month_start(calendar.month_of(now))
        self._since = min(self._month_at, self._day_at - LOOK_BACK_MS)
        self._recent: dict[str, list[Recent]] = defaultdict(list)
        self._by_subscriber: Counter[tuple[str, str]] = Counter()
        self._by_device: Counter[tuple[str, str]] = Counter()
        self._by_address: Counter[tuple[str, str]] = Counter()
        self._by_day: Counter[tuple[str, str]] = Counter()
        self._total: Counter[str] = Counter()
        self._gone: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    # Reading.

    def read_people(self, conn: Connection[Any], pairs: Pairs) -> None:
        """Read what these subscribers claimed lately, and in these campaigns in all."""
        new = [pair for pair in pairs if pair not in self._by_subscriber]
        if not new:
            return
        campaigns, people = map(list, zip(*new, strict=True))
        unknown = list({*people} - self._recent.keys())
        self._recent |= {subscriber: [] for subscriber in unknown}
        self._by_subscriber.update(dict.fromkeys(new, 0))
        for row in _rows(conn, RECENT, (unknown, self._since)):
            self._recent[row[0]].append(Recent(*row))
        for campaign, subscriber, amount in _rows(conn, IN_CAMPAIGN, (campaigns, people)):
            self._by_subscriber[campaign, subscriber] = amount

    def read_devices(self, conn: Connection[Any], devices: Pairs, addresses: Pairs) -> None:
        """Read how many claims these devices and addresses made in campaigns."""
        for statement, pairs, counts in (
            (OF_DEVICE, devices, self._by_device), (OF_ADDRESS, addresses, self._by_address),
        ):  # fmt: skip
            if pairs:
                columns = tuple(map(list, zip(*pairs, strict=True)))
                for campaign, name, count in _rows(conn, statement, columns):
                    counts[campaign, name] = count

    def read_campaigns(self, conn: Connection[Any], campaigns: Collection[str]) -> None:
        """Read what these campaigns gave, day by day, and which prizes are gone."""
        names = list(campaigns)
        for campaign, day, amount in _rows(conn, OF_CAMPAIGN, (names,)):
            self._by_day[campaign, day] = amount
            self._total[campaign] += amount
        for campaign, task, prize, count in _rows(conn, PRIZES, (names,)):
            self._gone[campaign, task][prize] = count

    # Asking.

    def used(self, campaign: str, subscriber: str, device: str | None, address: str | None) -> Used:
        """Return what limits count besides a new claim."""
        month = sum(
            row.counted_bytes
            for row in self._recent[subscriber]
            if row.claimed_at >= self._month_at
        )
        return Used(
            total_bytes=self._total[campaign],
            day_bytes=self._by_day[campaign, self._today],
            subscriber_bytes=self._by_subscriber[campaign, subscriber],
            device_claims=self._by_device[campaign, device] if device else 0,
            address_claims=self._by_address[campaign, address] if address else 0,
            month_bytes=month,
        )

    def _of(self, campaign: str, task: str, subscriber: str) -> Iterable[Recent]:
        rows = self._recent[subscriber]
        return (row for row in rows if row.campaign == campaign and row.task == task)

    def today(self, campaign: str, task: str, subscriber: str) -> int:
        """Return how many claims of a task somebody made today, whatever they earned."""
        rows = self._of(campaign, task, subscriber)
        return sum(row.claimed_at >= self._day_at for row in rows)

    def last_watched(self, subscriber: str) -> int:
        """Return when somebody watched an ad last, of any task and campaign; 0: none lately."""
        rows = self._recent[subscriber]
        return max((row.claimed_at for row in rows if row.step == "watched"), default=0)

    def earned_this_month(self, campaign: str, task: str, step: str, subscriber: str) -> int:
        """Return how many claims of a step somebody was given this month."""
        return sum(
            row.step == step and row.counted_bytes > 0 and row.claimed_at >= self._month_at
            for row in self._of(campaign, task, subscriber)
        )

    def last_sign_in(self, campaign: str, task: str, subscriber: str) -> SignedIn | None:
        """Return somebody's last sign-in, if it was yesterday or today."""
        found = None
        for row in self._of(campaign, task, subscriber):
            if row.step == "signed_in":
                found = SignedIn(row.occurrence, row.place)
        return found

    def gone(self, campaign: str, task: str) -> Counter[str]:
        """Return how many of each prize of a draw are gone."""
        return self._gone[campaign, task]

    # Counting.

    def count(self, claim: Claim, device: str | None, address: str | None) -> None:
        """Let a claim that begins in this turn count for what follows in it."""
        campaign, amount = claim.campaign, claim.counted_bytes
        self._recent[claim.subscriber].append(
            Recent(
                claim.subscriber, campaign, claim.task, claim.step, claim.occurrence, amount,
                claim.place, claim.state, claim.claimed_at,
            )
        )  # fmt: skip
        self._total[campaign] += amount
        self._by_day[campaign, self._today] += amount
        self._by_subscriber[campaign, claim.subscriber] += amount
        if amount and device:
            self._by_device[campaign, device] += 1
        if amount and address:
            self._by_address[campaign, address] += 1
        if amount and claim.draw is not None:
            self._gone[campaign, claim.task][claim.draw.prize] += 1


def _rows(conn: Connection[Any], statement: str, values: tuple[Any, ...]) -> list[Any]:
    return conn.cursor(row_factory=tuple_row).execute(statement, values).fetchall()
