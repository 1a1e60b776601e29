"""Who a rule finds: one statement over the view `subscriber_facts`, so that it is of one moment."""

from collections.abc import Iterator
from typing import Any

from psycopg.rows import tuple_row

from services.gateway import store
from services.gateway.store import Sequences, Store
from services.gateway.subscriber_facts import SubscriberFactsView
from shared.calendar import Calendar, add_months
from shared.contracts.audiences import AudienceRule, Band

DAY_MS = 86_400_000
FETCH_ROWS = 5_000
FOUND = "SELECT {what} FROM subscriber_facts AS facts {joins} WHERE {conditions}"
# The plan in force: of those that began by this month, the last.
TIER = """JOIN (
    SELECT DISTINCT ON (account) account, plan FROM subscriber_plans WHERE from_month <= %(now)s
    ORDER BY account, from_month DESC
) AS tier ON tier.account = facts.account AND tier.plan = ANY(%(tier)s)"""
# A rule reads whole tables, to the end. A planner that takes them for small, as before their first
# ANALYZE, would look each row up.
NO_LOOKUPS = "SET LOCAL enable_nestloop = off; SET LOCAL cursor_tuple_fraction = 1"
MONTH = """LEFT JOIN subscriber_months AS {name}
    ON {name}.month = %({name}_month)s AND {name}.account = facts.account"""


class Search:
    """A rule at an instant of bank time, as a statement with its values."""

    def __init__(self, rule: AudienceRule, now: int, calendar: Calendar) -> None:
        self._month = calendar.month_of(now)
        self._joins: list[str] = []
        self._conditions = ["facts.status = 'active'"]
        self.values: dict[str, Any] = {"now": self._month}
        if rule.tier is not None:
            self._joins.append(TIER)
            self.values["tier"] = rule.tier
        if rule.used is not None:
            self._band("used", rule.used)
        if rule.unused is not None:
            self._band("unused", rule.unused)
        if rule.lapsed_days is not None:
            self.values["lapsed"] = now - rule.lapsed_days * DAY_MS
            self._conditions.append(
                "facts.last_used_at < %(lapsed)s AND facts.opened_at < %(lapsed)s"
            )

    def _band(self, name: str, band: Band) -> None:
        months = {"this": self._month, "last": add_months(self._month, -1)}
        self._joins.append(MONTH.format(name=name))
        self.values |= {
            f"{name}_month": months.get(band.month, band.month),
            f"{name}_least": band.at_least_bytes, f"{name}_most": band.at_most_bytes,
        }  # fmt: skip
        amount = f"coalesce({name}.{name}_bytes, 0)"
        self._conditions.append(f"{amount} >= %({name}_least)s")
        if band.at_most_bytes is not None:
            self._conditions.append(f"{amount} <= %({name}_most)s")

    def statement(self, what: str) -> str:
        """Return the statement that reads `what` of all who are meant."""
        return FOUND.format(
            what=what, joins="\n".join(self._joins), conditions=" AND ".join(self._conditions)
        )


def count(store_: Store, search: Search) -> tuple[int, Sequences]:
    """Return how many a rule finds, and how far the view was."""
    with store_.cursor() as cursor:
        cursor.execute(NO_LOOKUPS)
        cursor.execute(search.statement("count(*)"), search.values)
        (found,) = cursor.fetchall()[0]
        return int(found), store.positions(cursor, SubscriberFactsView.name)


def members(store_: Store, search: Search) -> Iterator[list[str]]:
    """Yield who a rule finds, some thousands at a time, in no order that means anything."""
    with store_.alone() as conn, conn.transaction():
        conn.execute(NO_LOOKUPS)
        with conn.cursor(name="audience", row_factory=tuple_row) as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(search.statement("facts.account"), search.values)
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield [account for (account,) in rows]
