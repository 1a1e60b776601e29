"""The view `partner_spend`: what partners' campaigns delivered, by day, kind and rating group.

A day is the bank's day of `recorded_at`, so a day that is over never changes: what is clawed back
or reversed counts against the day on which that is, which may come to less than nothing. What was
counted stays counted, and so do subscribers. Amounts are bytes.
"""

from collections import defaultdict
from typing import ClassVar

from services.gateway.integration import Spent, ViewEvent
from services.gateway.projections import Key, Rows
from services.gateway.views import AnyCursor, View, columns_of
from shared.calendar import Calendar
from shared.contracts.ledger import AccountOpened, DataClawedBack, DataReceived, UsageReversed
from shared.ids import QUOTA

AWARD, SPONSORED, PACK = "award", "sponsored", "pack"
KINDS = (AWARD, SPONSORED, PACK)
PARTNER = "partner"
LINE_KEY = ("partner", "campaign", "day", "kind", "rating_group")


class SpendDelta:
    """Changes of the view `partner_spend`."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.partners: set[str] = set()
        self.bytes: dict[Key, int] = defaultdict(int)
        self.count: dict[Key, int] = defaultdict(int)
        self.subscribers: dict[Key, set[str]] = defaultdict(set)
        self._members = 0

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event changes: what arrived, what quotas paid, what came back.

        Sponsored traffic counts where it was paid, on the quota's account.
        """
        del log
        match event:
            case Spent():
                if event.account.startswith(QUOTA):
                    self._paid(event)
            case UsageReversed():
                if event.account.startswith(QUOTA):
                    back = -sum(leg.bytes for leg in event.legs)
                    self._count(event, SPONSORED, event.rating_group, back)
            case DataReceived() if event.purpose in (AWARD, PACK):
                kind = PACK if any(lot.kind == PACK for lot in event.lots) else event.purpose
                granted = sum(lot.granted for lot in event.lots)
                self._count(event, kind, None, granted, event.account)
            case DataClawedBack() if event.purpose in (AWARD, PACK):
                self._count(event, event.purpose, None, -sum(leg.bytes for leg in event.legs))
            case AccountOpened() if event.kind == PARTNER:
                self.partners.add(event.account)

    def _paid(self, event: Spent) -> None:
        for line in event.lines:
            self._count(event, SPONSORED, line.rating_group, line.bytes, line.subscriber)

    def _count(
        self, event: Spent | UsageReversed | DataReceived | DataClawedBack, kind: str,
        rating_group: str | None, amount: int, subscriber: str | None = None,
    ) -> None:  # fmt: skip
        day = self._calendar.day_of(event.recorded_at)
        key = (event.partner or "", event.campaign or "", day, kind, rating_group or "")
        self.bytes[key] += amount
        if subscriber is not None:
            self.count[key] += 1
            self.subscribers[key].add(subscriber)
            self._members += 1

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.partners) + len(self.bytes) + self._members

    def rows(self) -> Rows:
        """Return partners, lines and who was counted in them."""
        lines = {
            key: (amount, self.count[key], len(self.subscribers[key]))
            for key, amount in self.bytes.items()
        }
        members: dict[Key, tuple[()]] = {
            (*key, one): () for key, all_ in self.subscribers.items() for one in all_
        }
        partners: dict[Key, tuple[()]] = {(partner,): () for partner in self.partners}
        return {"spend_partners": {**partners}, "spend_lines": lines, "spend_members": {**members}}


INSERT_PARTNERS = """
INSERT INTO {spend_partners} (partner) SELECT * FROM unnest(%s::text[]) ON CONFLICT DO NOTHING
"""
INSERT_LINES = """
WITH fresh AS (
    INSERT INTO {spend_members} (partner, campaign, day, kind, rating_group, subscriber)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::date[], %s::text[], %s::text[], %s::text[])
    ON CONFLICT DO NOTHING RETURNING partner, campaign, day, kind, rating_group
), counted AS (
    SELECT partner, campaign, day, kind, rating_group, count(*) AS subscribers
    FROM fresh GROUP BY 1, 2, 3, 4, 5
)
INSERT INTO {spend_lines} AS old
    (partner, campaign, day, kind, rating_group, bytes, count, subscribers)
SELECT partner, campaign, day, kind, rating_group, bytes, count, coalesce(subscribers, 0)
FROM unnest(%s::text[], %s::text[], %s::date[], %s::text[], %s::text[], %s::numeric[],
    %s::bigint[]) AS new (partner, campaign, day, kind, rating_group, bytes, count)
    LEFT JOIN counted USING (partner, campaign, day, kind, rating_group)
ON CONFLICT (partner, campaign, day, kind, rating_group) DO UPDATE SET
    bytes = old.bytes + excluded.bytes, count = old.count + excluded.count,
    subscribers = old.subscribers + excluded.subscribers
"""


class PartnerSpendView(View):
    """What each partner's campaigns delivered, by day, kind and rating group."""

    name: ClassVar = "partner_spend"
    tables: ClassVar = {
        "spend_partners": (("partner",), ()),
        "spend_lines": (LINE_KEY, ("bytes", "count", "subscribers")),
        "spend_members": ((*LINE_KEY, "subscriber"), ()),
    }

    def new_delta(self) -> SpendDelta:
        """Return a delta without changes."""
        return SpendDelta(self.calendar)

    def write(self, cursor: AnyCursor, delta: SpendDelta) -> None:
        """Write partners, and lines with their newly counted subscribers."""
        if delta.partners:
            self._run(cursor, INSERT_PARTNERS, sorted(delta.partners))
        if delta.bytes:
            members = [(*key, one) for key, ones in delta.subscribers.items() for one in ones]
            lines = [(*key, amount, delta.count[key]) for key, amount in delta.bytes.items()]
            columns = columns_of(members) or [[] for _ in range(len(LINE_KEY) + 1)]
            self._run(cursor, INSERT_LINES, *columns, *columns_of(lines))
