"""Who of a campaign's members lacks this month's grant, and the job that gives it.

A grant's issue is named by campaign, grant, month and member: the job may die anywhere and begin
again, and two of them may run at once.
"""

from collections.abc import Iterator
from threading import Event
from typing import Any
from uuid import UUID

from psycopg.rows import tuple_row

from services.tasks.domain.campaign import Campaign, campaign_stream
from services.tasks.domain.grants import Grant, issue_name, parcel_of
from services.tasks.domain.issue import Issue
from services.tasks.store import Store
from services.tasks.turn import Needs, Turn
from shared.calendar import Calendar, months_from
from shared.sagas.aggregate import rebuild
from shared.sagas.writer import Job, Writer

GRANTS_PER_TURN = 500
BY_TASKS = "tasks"
# In order of members, so that each look goes on behind the one before.
SELECT_LACKING = """
SELECT subscriber FROM list_members AS m
WHERE list = %(list)s AND subscriber > %(after)s AND NOT EXISTS (
    SELECT FROM issues WHERE source = %(campaign)s AND grant_name = %(grant)s
        AND cycle = %(cycle)s AND issues.subscriber = m.subscriber
)
ORDER BY subscriber LIMIT %(limit)s
"""


class GiveGrants(Job[int]):
    """Give members their grant of the month that holds bank time, each once."""

    def __init__(self, campaign: str, grant: Grant, members: list[str], cycle: str) -> None:
        super().__init__()
        self._campaign = campaign
        self._grant = grant
        self._members = members
        self._cycle = cycle

    def need(self, needs: Needs) -> None:
        """Say what has to be read; the month is only known within the turn."""
        needs.campaigns.add(self._campaign)
        for member in self._members:
            needs.streams.add(UUID(hex=self._name(member)))

    def _name(self, member: str) -> str:
        return issue_name(self._campaign, self._grant.name, self._cycle, member)

    def decide(self, turn: Turn) -> int:
        """Give what is not given yet, unless the campaign or the month is over by now."""
        campaign = turn.found(Campaign, Campaign.stream(campaign_stream(self._campaign)))
        if campaign is None or not gives(campaign, turn.now):
            return 0
        if turn.calendar.month_of(turn.now) != self._cycle:
            return 0
        given, meta = 0, turn.meta(BY_TASKS)
        for member in self._members:
            if turn.found(Issue, UUID(hex=self._name(member))) is None:
                parcel = parcel_of(
                    self._grant, self._campaign, campaign.partner, member, turn.now, turn.calendar
                )
                turn.add(Issue.begin(parcel, meta))
                given += 1
        return given


def gives(campaign: Campaign, now: int) -> bool:
    """Say whether a campaign gives grants now."""
    return campaign.state == "running" and campaign.terms.is_current(now)


def is_due(grant: Grant, starts_at: int, now: int, calendar: Calendar) -> bool:
    """Say whether a grant is given in the month that holds `now`."""
    months = months_from(calendar.month_of(starts_at), calendar.month_of(now))
    return bool(months) and (grant.cycles is None or len(months) <= grant.cycles)


def give_due(store: Store, writer: Writer, campaign: str, stop: Event) -> int:
    """Give all that a campaign owes its members this month; return how many were given."""
    found = rebuild(store.events([UUID(hex=campaign_stream(campaign))]).popitem()[1])
    now, given = store.clock.now(), 0
    if not gives(found, now) or found.members_of is None:
        return 0
    cycle = store.calendar.month_of(now)
    for grant in found.terms.grants:
        if not is_due(grant, found.terms.starts_at, now, store.calendar):
            continue
        asked = {
            "list": found.members_of, "campaign": campaign, "grant": grant.name,
            "cycle": cycle, "limit": GRANTS_PER_TURN,
        }  # fmt: skip
        for members in _lacking(store, asked, stop):
            given += writer.run(GiveGrants(campaign, grant, members, cycle))
    return given


def _lacking(store: Store, asked: dict[str, Any], stop: Event) -> Iterator[list[str]]:
    after = ""
    while not stop.is_set():
        with store.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            rows = cursor.execute(SELECT_LACKING, asked | {"after": after}).fetchall()
        if not rows:
            return
        yield [member for (member,) in rows]
        after = rows[-1][0]
