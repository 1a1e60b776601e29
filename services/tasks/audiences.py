"""Takes whom campaigns' rules find: asked of the gateway, put beside, brought into lists.

    gateway   ->  audience_found      a page of names at a time, each its own transaction
    the list  ->  added, removed      a batch a turn: what lies beside and is no member, and reverse
    the log   ->  audience_taken      once the list is as long as what lies beside

Whatever is killed on the way, the rule is still due: it is asked anew, and what the list has of
the answer stays. The ledger knows the members of a listed offer before the log says so.
"""

from collections.abc import Callable
from threading import Event
from typing import Any
from uuid import UUID

from services.tasks.domain.audience import Taken
from services.tasks.domain.campaign import Campaign
from services.tasks.domain.members import ListVersion
from services.tasks.feeding import Feeding
from services.tasks.list_rows import SELECT_LIST, ListState
from services.tasks.questions import OtherServices
from services.tasks.store import Store
from services.tasks.turn import Needs, Turn
from shared.contracts.audiences import AUDIENCE_MIN
from shared.sagas.aggregate import rebuild
from shared.sagas.writer import Job, Writer

BY_TASKS = "tasks"
TOO_SMALL = "audience_too_small"
# A turn holds the log's lock: this many take some tens of milliseconds.
MEMBERS_PER_TURN = 5_000
SELECT_DUE = "SELECT id FROM campaigns WHERE audience_due ORDER BY name"
SELECT_TAKING = "SELECT found FROM audience_takings WHERE campaign = %s AND list = %s"
UPSERT_TAKING = """
INSERT INTO audience_takings (campaign, taking, list, found) VALUES (%s, %s, %s, %s)
ON CONFLICT (campaign) DO UPDATE SET
    taking = excluded.taking, list = excluded.list, found = excluded.found
"""
DELETE_TAKING = "DELETE FROM audience_takings WHERE campaign = %s"
DELETE_FOUND = "DELETE FROM audience_found WHERE list = %s"
INSERT_FOUND = """
INSERT INTO audience_found (list, subscriber) SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING
"""
# In order of names, so that each look goes on behind the one before.
SELECT_LACKING = """
SELECT subscriber FROM audience_found AS f
WHERE list = %(list)s AND subscriber > %(after)s AND NOT EXISTS (
    SELECT FROM list_members AS m WHERE m.list = f.list AND m.subscriber = f.subscriber
)
ORDER BY subscriber LIMIT %(limit)s
"""
SELECT_SURPLUS = """
SELECT subscriber FROM list_members AS m
WHERE list = %(list)s AND subscriber > %(after)s AND NOT EXISTS (
    SELECT FROM audience_found AS f WHERE f.list = m.list AND f.subscriber = m.subscriber
)
ORDER BY subscriber LIMIT %(limit)s
"""


class ChangeList(Job[None]):
    """Add people to a list, or take them off; who is there, or gone, already stays so."""

    def __init__(self, name: str, people: list[str], *, add: bool) -> None:
        super().__init__()
        self._name = name
        self._people = people
        self._add = add

    def need(self, needs: Needs) -> None:
        """Need nothing."""

    def decide(self, turn: Turn) -> None:
        """Change it, where that changes anything."""
        there = turn.lists.members_among(self._name, self._people)
        added = [one for one in self._people if one not in there] if self._add else []
        removed = [] if self._add else [one for one in self._people if one in there]
        if added or removed:
            number = turn.lists.state(self._name).number + 1
            left = turn.lists.change(self._name, number, added, removed)
            meta = turn.meta(BY_TASKS)
            turn.add(ListVersion.make(self._name, number, added, removed, left, meta))


class EndTaking(Job[bool]):
    """Note that a list is whom a rule found, or that there were too few to take anybody."""

    def __init__(self, campaign: str, taking: int, name: str, found: int) -> None:
        super().__init__()
        self._campaign = campaign
        self._taking = taking
        self._name = name
        self._found = found

    def need(self, needs: Needs) -> None:
        """Need the campaign."""
        needs.campaigns.add(self._campaign)

    def decide(self, turn: Turn) -> bool:
        """Note it; False where the list is not there yet, or the campaign asks something else."""
        (campaign,) = (each for each in turn.all_found(Campaign) if each.name == self._campaign)
        meta = turn.meta(BY_TASKS)
        if self._found < AUDIENCE_MIN:
            return campaign.refuse_audience(self._taking, self._name, TOO_SMALL, meta)
        number, members = turn.lists.state(self._name)
        if members != self._found:
            return False
        return campaign.take_audience(
            self._taking, Taken(self._name, number, members, turn.now), meta
        )


class Audiences:
    """Takes whom rules find. Threads may share it; one at a time should."""

    def __init__(
        self, store: Store, writer: Callable[[], Writer], others: OtherServices, feeding: Feeding
    ) -> None:
        self._store = store
        self._writer = writer
        self.others = others
        self._feeding = feeding

    def take_due(self, stop: Event) -> int:
        """Take all that are due; return how many were. Raises UnavailableError."""
        return sum(self.take(stream, stop) for (stream,) in self._store.rows(SELECT_DUE))

    def take(self, stream: UUID, stop: Event) -> bool:
        """Take whom a campaign's rule finds now; False where it has to be asked again.

        Raises UnavailableError while the gateway, or the ledger of a listed offer, is away.
        """
        campaign: Campaign = rebuild(self._store.events([stream])[stream])
        rule, name = campaign.terms.audience.rule, campaign.members_of
        if not campaign.audience_due or rule is None or name is None or stop.is_set():
            return False
        taking = campaign.audience.asked
        self._run(UPSERT_TAKING, campaign.name, taking, name, None)
        found = self._find(rule, name)
        self._run(UPSERT_TAKING, campaign.name, taking, name, found)
        if found >= AUDIENCE_MIN:
            self._bring(SELECT_LACKING, name, stop, add=True)
            self._bring(SELECT_SURPLUS, name, stop, add=False)
            self._feeding.feed(stream)
        done = self._writer().run(EndTaking(campaign.name, taking, name, found))
        if done:
            self._run(DELETE_FOUND, name)
            self._run(DELETE_TAKING, campaign.name)
        return done

    def _find(self, rule: Any, name: str) -> int:
        """Put whom a rule finds beside its list; return how many."""
        self._run(DELETE_FOUND, name)
        found = 0
        for some in self.others.audience(rule):
            found += self._run(INSERT_FOUND, name, some)
        return found

    def _bring(self, statement: str, name: str, stop: Event, *, add: bool) -> None:
        asked = {"list": name, "after": "", "limit": MEMBERS_PER_TURN}
        while not stop.is_set() and (rows := self._store.rows(statement, asked)):
            people = [one for (one,) in rows]
            self._writer().run(ChangeList(name, people, add=add))
            asked["after"] = people[-1]

    # Reads.

    def progress(self, name: str, campaign: str) -> tuple[int | None, ListState]:
        """Return how many a rule was found to mean, None while nobody knows, and its list."""
        (found,) = next(iter(self._store.rows(SELECT_TAKING, (campaign, name))), (None,))
        state = next(iter(self._store.rows(SELECT_LIST, (name,))), (0, 0))
        return found, ListState(*state)

    def _run(self, statement: str, *values: Any) -> int:
        with self._store.connection() as conn:
            return conn.execute(statement, values).rowcount
