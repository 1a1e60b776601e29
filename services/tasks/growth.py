"""Pools that grow with their members: each that joins the pool's list orders its share, once.

A pool's first look at its list counts those who are on it then; from there on each version counts
whom it brings that was never counted. Who leaves and joins again brings nothing a second time. The
order of a list's version is named by pool and version, and is made in one transaction with the note
that the version was counted: the job may die anywhere and begin again.
"""

from uuid import UUID

from services.tasks.domain.catalogue import Pack, pack_stream
from services.tasks.domain.order import Order, Wish
from services.tasks.domain.pool import Pool
from services.tasks.metrics import JOB_FAILURES
from services.tasks.store import Store
from services.tasks.turn import Needs, Turn
from shared.errors import RefusedError
from shared.ids import digest
from shared.logs import logger
from shared.sagas.aggregate import rebuild
from shared.sagas.writer import Job, Writer

BY_TASKS = "tasks"
SELECT_GROWING = "SELECT id FROM pools WHERE grows_with IS NOT NULL ORDER BY id"
SELECT_IS_COUNTED = "SELECT EXISTS (SELECT FROM pool_growth WHERE pool_id = %s)"
# Versions after the first that was counted, and how many people each brought that no version
# counted by then had: neither the first one's members, nor who came later.
SELECT_JOINED = """
WITH first AS (SELECT min(number) AS number FROM pool_growth WHERE pool_id = %(pool)s),
members AS (
    SELECT subscriber FROM (
        SELECT DISTINCT ON (subscriber) subscriber, added FROM list_changes, first
        WHERE list = %(list)s AND list_changes.number <= first.number
        ORDER BY subscriber, list_changes.number DESC
    ) AS last WHERE added
),
joined AS (
    SELECT subscriber, min(list_changes.number) AS number FROM list_changes, first
    WHERE list = %(list)s AND added AND list_changes.number > first.number
    GROUP BY subscriber
)
SELECT number, count(*) FROM joined
WHERE NOT EXISTS (SELECT FROM members WHERE members.subscriber = joined.subscriber)
    AND NOT EXISTS (
        SELECT FROM pool_growth WHERE pool_id = %(pool)s AND pool_growth.number = joined.number
    )
GROUP BY number ORDER BY number
"""
INSERT_GROWTH = "INSERT INTO pool_growth (pool_id, number) VALUES (%s, %s) ON CONFLICT DO NOTHING"


def growth_name(pool_id: str, number: int) -> str:
    """Return the id (32 hex digits) of the order that a version of a pool's list brings."""
    return digest("growth", pool_id, str(number)).hex()


class _Growth(Job[bool]):
    """Let a pool grow by so many members, at its own version's price of the day."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def need(self, needs: Needs) -> None:
        """Say what has to be read: the pool, and the order that opened it."""
        needs.packs.pools.add(self._pool.id)
        needs.packs.orders.add(UUID(hex=self._pool.order_id))

    def grow(self, turn: Turn, number: int, members: int) -> bool:
        """Order and pay what a version of the list brings. Refusals: those of `Order.make`."""
        turn.conn.execute(INSERT_GROWTH, (self._pool.id, number))
        name = growth_name(self._pool.pool_id, number)
        turn.fetch(UUID(hex=name))
        pool = turn.found(Pool, self._pool.id)
        if not members or pool is None or turn.found(Order, UUID(hex=name)) is not None:
            return False
        meta = turn.meta(BY_TASKS)
        wish = Wish(order_id=name, partner=pool.partner, count=members, pool_id=pool.pool_id)
        order = Order.make(wish, self._pack(turn), turn.calendar.day_of(turn.now), meta)
        order.pay(meta)
        turn.add(order)
        return pool.grow(order.order_id, order.bytes, meta)

    def _pack(self, turn: Turn) -> Pack:
        """Return the version that was ordered: a new one in the catalogue is no change of it."""
        opened = turn.get(UUID(hex=self._pool.order_id))
        assert isinstance(opened, Order)
        stream = UUID(hex=pack_stream(opened.pack, opened.pack_version))
        turn.fetch(stream)
        pack = turn.get(stream)
        assert isinstance(pack, Pack)
        return pack


class BeginToGrow(_Growth):
    """Count those who are on a new pool's list now."""

    def decide(self, turn: Turn) -> bool:
        """Grow by them; the list's newest version is the first that is counted."""
        if turn.rows(SELECT_IS_COUNTED, self._pool.id)[0][0]:
            return False
        state = turn.lists.state(str(self._pool.grows_with))
        return self.grow(turn, state.number, state.members)


class GrowByMembers(_Growth):
    """Count whom a version of the list brought; once per version."""

    def __init__(self, pool: Pool, number: int, members: int) -> None:
        super().__init__(pool)
        self._number = number
        self._members = members

    def decide(self, turn: Turn) -> bool:
        """Grow, unless this version has been counted."""
        return self.grow(turn, self._number, self._members)


def grow_pools(store: Store, writer: Writer) -> int:
    """Let every growing pool grow by who has joined its list; return how often one did.

    What one pool is refused (it would be too large) is told, and keeps no other from growing.
    """
    grown = 0
    for (stream,) in store.rows(SELECT_GROWING):
        pool: Pool = rebuild(store.events([stream])[stream])
        try:
            grown += _grow(store, writer, pool)
        except RefusedError as error:
            JOB_FAILURES.inc()
            logger().error("pool_not_grown", pool=pool.pool_id, code=error.code, why=error.detail)
    return grown


def _grow(store: Store, writer: Writer, pool: Pool) -> int:
    grown = 0
    if not store.rows(SELECT_IS_COUNTED, (pool.id,))[0][0]:
        grown += writer.run(BeginToGrow(pool))
    asked = {"pool": pool.id, "list": pool.grows_with}
    for number, members in store.rows(SELECT_JOINED, asked):
        grown += writer.run(GrowByMembers(pool, number, members))
    return grown
