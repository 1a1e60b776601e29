"""Keeps the ledger's offers level with the lists that they are for.

A feed row says up to which version of its list the ledger knows the members of a campaign's offer.
What lies between is sent in order of members; sending it twice changes nothing there, so the job
may die anywhere. A campaign whose list is another one is fed from that one's beginning, after those
of the old list were taken off.
"""

from uuid import UUID

from services.tasks.domain.campaign import Campaign
from services.tasks.lists import Lists
from services.tasks.questions import OtherServices
from services.tasks.store import Store
from shared.sagas.aggregate import rebuild

MEMBERS_PER_CALL = 5_000
SELECT_FEED = "SELECT list, number FROM list_feeds WHERE campaign = %s"
UPSERT_FEED = """
INSERT INTO list_feeds (campaign, list, number) VALUES (%s, %s, %s)
ON CONFLICT (campaign) DO UPDATE SET list = excluded.list, number = excluded.number
"""
# Campaigns whose offer the ledger has; whether it is for a list, their terms say.
SELECT_STARTED = "SELECT id FROM campaigns WHERE offer_known > 0 AND state <> 'ended' ORDER BY name"


class Feeding:
    """Tells the ledger who offers are for. Threads may share it."""

    def __init__(self, store: Store, others: OtherServices) -> None:
        self._store = store
        self._lists = Lists(store)
        self._others = others

    def feed_all(self) -> int:
        """Bring every offer level with its list; return how many changes were sent.

        Raises UnavailableError while the ledger is away.
        """
        return sum(self.feed(stream) for (stream,) in self._store.rows(SELECT_STARTED))

    def feed(self, campaign: UUID) -> int:
        """Bring a campaign's offer level with its list. Raises UnavailableError."""
        found: Campaign = rebuild(self._store.events([campaign])[campaign])
        terms = found.last_offer
        if terms is None or terms.offer is None or not terms.offer.listed:
            return 0
        name = found.offer_members_of
        assert name is not None
        sent = 0
        fed, number = next(iter(self._store.rows(SELECT_FEED, (found.name,))), (name, 0))
        if fed != name:
            sent += self._take_off(found.name, fed, number)
            number = 0
        newest = self._lists.number(name)
        if newest > number:
            for changed in self._lists.changes(name, number, newest, MEMBERS_PER_CALL):
                self._others.put_members(found.name, changed)
                sent += len(changed)
        if newest != number or fed != name:
            self._note(found.name, name, newest)
        return sent

    def _take_off(self, campaign: str, fed: str, number: int) -> int:
        sent = 0
        for changed in self._lists.changes(fed, 0, number, MEMBERS_PER_CALL):
            self._others.put_members(campaign, dict.fromkeys(changed, False))
            sent += len(changed)
        return sent

    def _note(self, campaign: str, name: str, number: int) -> None:
        with self._store.connection() as conn:
            conn.execute(UPSERT_FEED, (campaign, name, number))
