"""Who of a campaign's members lacks this month's grant, and the job that gives it.

An attempt to give one is named by campaign, grant, month, member and its number: the job may die
anywhere and begin again, and two of them may run at once.
"""

from collections.abc import Iterator
from threading import Event
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.domain.campaign import Campaign, campaign_stream
from services.tasks.domain.grants import (
    FOR_GOOD,
    For,
    Grant,
    issue_name,
    may_begin,
    parcel_of,
    retried_before,
)
from services.tasks.domain.issue import Issue
from services.tasks.domain.partner import partner_stream
from services.tasks.store import Store
from services.tasks.turn import Needs, Turn
from shared.calendar import Calendar, months_from
from shared.sagas.aggregate import rebuild
from shared.sagas.writer import Job, Writer

GRANTS_PER_TURN = 500
BY_TASKS = "tasks"
# In order of members, so that each look goes on behind the one before. Each condition on the state
# is an index's.
SELECT_LACKING = """
SELECT subscriber, 1 FROM list_members AS m
WHERE list = %(list)s AND subscriber > %(after)s AND NOT EXISTS (
    SELECT FROM issues WHERE source = %(campaign)s AND grant_name = %(grant)s
        AND cycle = %(cycle)s AND issues.subscriber = m.subscriber AND state <> 'refused'
) AND NOT EXISTS (
    SELECT FROM issues WHERE source = %(campaign)s AND grant_name = %(grant)s
        AND cycle = %(cycle)s AND issues.subscriber = m.subscriber AND state = 'refused'
)
ORDER BY subscriber LIMIT %(limit)s
"""
SELECT_UNPAID = """
SELECT subscriber, count(*) + 1 FROM issues AS i
WHERE source = %(campaign)s AND grant_name = %(grant)s AND cycle = %(cycle)s
    AND state = 'refused' AND subscriber > %(after)s
    AND EXISTS (SELECT FROM list_members AS m WHERE list = %(list)s AND m.subscriber = i.subscriber)
    AND NOT EXISTS (
        SELECT FROM issues AS o WHERE o.source = i.source AND o.grant_name = i.grant_name
            AND o.cycle = i.cycle AND o.subscriber = i.subscriber AND o.state <> 'refused'
    )
GROUP BY subscriber
HAVING max(changed_at) <= %(before)s AND bool_and(code <> %(for_good)s)
ORDER BY subscriber LIMIT %(limit)s
"""
# Of each member the newest attempt counts.
COUNT_UNPAID = """
SELECT grant_name, code, count(*), max(changed_at) FROM (
    SELECT DISTINCT ON (grant_name, subscriber) grant_name, code, changed_at FROM issues AS i
    WHERE source = %(campaign)s AND grant_name IS NOT NULL AND cycle = %(cycle)s
        AND state = 'refused' AND NOT EXISTS (
            SELECT FROM issues AS o WHERE o.source = i.source AND o.grant_name = i.grant_name
                AND o.cycle = i.cycle AND o.subscriber = i.subscriber AND o.state <> 'refused'
        )
    ORDER BY grant_name, subscriber, issued_at DESC, changed_at DESC
) AS newest
GROUP BY grant_name, code ORDER BY grant_name, code
"""


class Owed(NamedTuple):
    """Whom to give a grant, and the how manieth attempt that is."""

    member: str
    attempt: int


class Unpaid(NamedTuple):
    """How many members lack a grant of this month because it could not be paid, and why."""

    grant: str
    code: str
    members: int
    tried_at: int


class GiveGrants(Job[int]):
    """Give members their grant of the month that holds bank time, each once."""

    def __init__(self, campaign: str, grant: Grant, owed: list[Owed], cycle: str) -> None:
        super().__init__()
        self._campaign = campaign
        self._grant = grant
        self._owed = owed
        self._cycle = cycle

    def need(self, needs: Needs) -> None:
        """Say what has to be read; the month is only known within the turn."""
        needs.campaigns.add(self._campaign)
        for member, attempt in self._owed:
            needs.streams.add(self._stream(member, attempt))
            if attempt > 1:
                needs.streams.add(self._stream(member, attempt - 1))

    def _stream(self, member: str, attempt: int) -> UUID:
        name = issue_name(self._campaign, self._grant.name, self._cycle, member, attempt)
        return UUID(hex=name)

    def decide(self, turn: Turn) -> int:
        """Give what is not given yet, unless the campaign or the month is over by now."""
        campaign = turn.found(Campaign, Campaign.stream(campaign_stream(self._campaign)))
        if campaign is None or not gives(campaign, turn.now):
            return 0
        if turn.calendar.month_of(turn.now) != self._cycle:
            return 0
        given, meta = 0, turn.meta(BY_TASKS)
        for member, attempt in self._owed:
            if self._is_due(turn, member, attempt):
                whose = For(
                    campaign=self._campaign, partner=campaign.partner, subscriber=member,
                    attempt=attempt,
                )  # fmt: skip
                parcel = parcel_of(self._grant, whose, turn.now, turn.calendar)
                turn.add(Issue.begin(parcel, meta))
                given += 1
        return given

    def _is_due(self, turn: Turn, member: str, attempt: int) -> bool:
        if turn.found(Issue, self._stream(member, attempt)) is not None:
            return False
        return may_begin(attempt, turn.found(Issue, self._stream(member, attempt - 1)))


def gives(campaign: Campaign, now: int) -> bool:
    """Say whether a campaign gives grants now."""
    return campaign.state == "running" and campaign.terms.is_current(now)


def is_due(grant: Grant, starts_at: int, now: int, calendar: Calendar) -> bool:
    """Say whether a grant is given in the month that holds `now`."""
    months = months_from(calendar.month_of(starts_at), calendar.month_of(now))
    return bool(months) and (grant.cycles is None or len(months) <= grant.cycles)


def give_due(store: Store, writer: Writer, campaign: str, stop: Event) -> int:
    """Give all that a campaign owes its members this month; return how many were given.

    What could not be paid is tried again when new funds have arrived, or a day later.
    """
    found = rebuild(store.events([UUID(hex=campaign_stream(campaign))]).popitem()[1])
    now, given = store.clock.now(), 0
    if not gives(found, now) or found.members_of is None:
        return 0
    partner = rebuild(store.events([UUID(hex=partner_stream(found.partner))]).popitem()[1])
    if partner.refuse_payment(now) is not None:
        return 0
    cycle = store.calendar.month_of(now)
    for grant in found.terms.grants:
        if not is_due(grant, found.terms.starts_at, now, store.calendar):
            continue
        asked = {
            "list": found.members_of, "campaign": campaign, "grant": grant.name,
            "cycle": cycle, "limit": GRANTS_PER_TURN, "for_good": FOR_GOOD,
            "before": retried_before(found.funded_at, now),
        }  # fmt: skip
        # Before the first attempts: those may be refused meanwhile.
        for statement in (SELECT_UNPAID, SELECT_LACKING):
            for owed in _pages(store, statement, asked, stop):
                given += writer.run(GiveGrants(campaign, grant, owed, cycle))
    return given


def _pages(
    store: Store, statement: str, asked: dict[str, Any], stop: Event
) -> Iterator[list[Owed]]:
    after = ""
    while not stop.is_set():
        rows = store.rows(statement, asked | {"after": after})
        if not rows:
            return
        yield [Owed(*row) for row in rows]
        after = rows[-1][0]


def unpaid(store: Store, campaign: str) -> list[Unpaid]:
    """Return which grants of this month a campaign could not pay, and why."""
    cycle = store.calendar.month_of(store.clock.now())
    found = store.rows(COUNT_UNPAID, {"campaign": campaign, "cycle": cycle})
    return [Unpaid(*row) for row in found]
