"""Pools that grow with their members: each that joins the pool's list orders its share, once.

The order of a list's version is named by pool and version, so the job may die anywhere and begin
again. Who leaves and joins again brings nothing a second time.
"""

from uuid import UUID

from services.tasks.domain.catalogue import Pack
from services.tasks.domain.order import Order, Wish
from services.tasks.domain.pool import Pool
from services.tasks.store import Store
from services.tasks.turn import Needs, Turn
from shared.ids import digest
from shared.sagas.aggregate import rebuild
from shared.sagas.writer import Job, Writer

BY_TASKS = "tasks"
SELECT_GROWING = "SELECT id FROM pools WHERE grows_with IS NOT NULL ORDER BY id"
# Versions that brought people who had never been on the list, and how many.
SELECT_JOINED = """
SELECT number, count(*) FROM (
    SELECT subscriber, min(number) AS number FROM list_changes WHERE list = %s AND added GROUP BY 1
) AS first
WHERE NOT EXISTS (SELECT FROM pool_growth WHERE pool_id = %s AND pool_growth.number = first.number)
GROUP BY 1 ORDER BY 1
"""
INSERT_GROWTH = "INSERT INTO pool_growth (pool_id, number) VALUES (%s, %s) ON CONFLICT DO NOTHING"


def growth_name(pool_id: str, number: int) -> str:
    """Return the id (32 hex digits) of the order that a version of a pool's list brings."""
    return digest("growth", pool_id, str(number)).hex()


class GrowByMembers(Job[bool]):
    """Order and pay what so many new members bring, at the price of the day; once per version."""

    def __init__(self, pool: Pool, number: int, members: int) -> None:
        super().__init__()
        self._pool = pool
        self._number = number
        self._members = members
        self._order = growth_name(pool.pool_id, number)

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        needs.packs.pools.add(self._pool.id)
        needs.streams.add(UUID(hex=self._order))
        needs.packs.packs.add(self._pool.terms.name)

    def decide(self, turn: Turn) -> bool:
        """Grow, unless this version has been counted. Refusals: those of `Order.make`."""
        turn.conn.execute(INSERT_GROWTH, (self._pool.id, self._number))
        pool = turn.found(Pool, self._pool.id)
        if pool is None or turn.found(Order, UUID(hex=self._order)) is not None:
            return False
        pack = turn.get(turn.packs.newest[pool.terms.name][1])
        assert isinstance(pack, Pack)
        meta = turn.meta(BY_TASKS)
        wish = Wish(
            order_id=self._order, partner=pool.partner, count=self._members, pool_id=pool.pool_id
        )
        order = Order.make(wish, pack, turn.calendar.day_of(turn.now), meta)
        order.pay(meta)
        turn.add(order)
        return pool.grow(order.order_id, order.bytes, meta)


def grow_pools(store: Store, writer: Writer) -> int:
    """Let every growing pool grow by who has joined its list; return how often one did."""
    grown = 0
    for (stream,) in store.rows(SELECT_GROWING):
        pool: Pool = rebuild(store.events([stream])[stream])
        for number, members in store.rows(SELECT_JOINED, (pool.grows_with, stream)):
            grown += writer.run(GrowByMembers(pool, number, members))
    return grown
