"""The view `subscriber_facts`: of each subscriber what an audience's rule asks about.

Usage belongs to the month of the record's own time; what is undone is taken from the month in which
it is. Amounts are bytes, instants milliseconds since 1970-01-01Z, months `YYYY-MM`.
"""

from collections import defaultdict
from typing import Any, ClassVar

from services.gateway.integration import Spent, ViewEvent
from services.gateway.projections import Rows, sponsored_bytes, status_of
from services.gateway.views import AnyCursor, View, columns_of
from shared.calendar import Calendar
from shared.contracts.ledger import (
    AccountOpened,
    DataCarriedOver,
    DataExpired,
    PlanChanged,
    UsageReversed,
)
from shared.ids import account_kind

SUBSCRIBER = "subscriber"
# Before every month: the plan of an account that has no first month.
FROM_THE_BEGINNING = "0000-00"


class FactsDelta:
    """Changes of the view that are not written yet."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.opened: dict[str, int] = {}
        self.statuses: dict[str, str] = {}
        self.last_used: dict[str, int] = {}
        self.plans: dict[tuple[str, str], str] = {}
        # By month and account: [used, left at the close].
        self.months: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event changes; partners' and campaigns' accounts are no subscribers."""
        del log
        account = event.account
        if account_kind(account) != SUBSCRIBER:
            return
        match event:
            case Spent():
                self._spent(account, event)
            case DataCarriedOver() | DataExpired():
                if event.month is not None:
                    left = sum(part.bytes for part in event.slices)
                    self.months[event.month, account][1] += left
            case UsageReversed():
                undone = sum(leg.bytes for leg in event.legs) + event.unfunded_bytes
                undone += sponsored_bytes(event)
                self.months[self._calendar.month_of(event.recorded_at), account][0] -= undone
            case AccountOpened():
                self._opened(account, event)
            case PlanChanged():
                self.plans[account, event.from_month] = event.plan
            case _:
                if (status := status_of(event).get("status")) is not None:
                    self.statuses[account] = status

    def _spent(self, account: str, event: Spent) -> None:
        month_of, months = self._calendar.month_of, self.months
        last = self.last_used.get(account, 0)
        for line in event.lines:
            months[month_of(line.occurred_at), account][0] += line.bytes
            last = max(last, line.occurred_at)
        self.last_used[account] = last

    def _opened(self, account: str, event: AccountOpened) -> None:
        self.opened[account] = event.recorded_at
        if event.plan is not None:
            self.plans[account, event.active_from or FROM_THE_BEGINNING] = event.plan

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.opened) + len(self.last_used) + len(self.plans) + len(self.months)

    def rows(self) -> Rows:
        """Return the rows of a view that holds this and nothing else."""
        facts: Any = {
            (account,): (at, self.statuses.get(account, "active"), self.last_used.get(account, 0))
            for account, at in self.opened.items()
        }
        return {
            "subscriber_facts": facts,
            "subscriber_plans": {key: (plan,) for key, plan in self.plans.items()},
            "subscriber_months": {key: tuple(sums) for key, sums in self.months.items()},
        }


INSERT_FACTS = """
INSERT INTO {subscriber_facts} (account, opened_at) SELECT * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (account) DO NOTHING
"""
UPDATE_STATUS = """
UPDATE {subscriber_facts} AS one SET status = change.status
FROM unnest(%s::text[], %s::text[]) AS change (account, status) WHERE one.account = change.account
"""
UPDATE_LAST_USED = """
UPDATE {subscriber_facts} AS one SET last_used_at = change.at
FROM unnest(%s::text[], %s::bigint[]) AS change (account, at)
WHERE one.account = change.account AND one.last_used_at < change.at
"""
UPSERT_PLANS = """
INSERT INTO {subscriber_plans} (account, from_month, plan)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
ON CONFLICT (account, from_month) DO UPDATE SET plan = excluded.plan
"""
ADD_TO_MONTHS = """
INSERT INTO {subscriber_months} AS old (month, account, used_bytes, unused_bytes)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (month, account) DO UPDATE SET used_bytes = old.used_bytes + excluded.used_bytes,
    unused_bytes = old.unused_bytes + excluded.unused_bytes
"""


class SubscriberFactsView(View):
    """What the bank knows of each subscriber, for the rules of audiences."""

    name = "subscriber_facts"
    tables: ClassVar = {
        "subscriber_facts": (("account",), ("opened_at", "status", "last_used_at")),
        "subscriber_plans": (("account", "from_month"), ("plan",)),
        "subscriber_months": (("month", "account"), ("used_bytes", "unused_bytes")),
    }

    def new_delta(self) -> FactsDelta:
        """Return a delta without changes."""
        return FactsDelta(self.calendar)

    def write(self, cursor: AnyCursor, delta: FactsDelta) -> None:
        """Write accounts, plans and months, each in one statement."""
        months = [(*key, *sums) for key, sums in delta.months.items()]
        for statement, rows in (
            (INSERT_FACTS, list(delta.opened.items())),
            (UPDATE_STATUS, list(delta.statuses.items())),
            (UPDATE_LAST_USED, list(delta.last_used.items())),
            (UPSERT_PLANS, [(*key, plan) for key, plan in delta.plans.items()]),
            (ADD_TO_MONTHS, months),
        ):
            if rows:
                self._run(cursor, statement, *columns_of(rows))
