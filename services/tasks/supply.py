"""The use cases of packs: catalogue, orders, issues, codes, pools, lists, audiences."""

from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar
from uuid import UUID

from services.tasks import codes, packs, pools
from services.tasks.domain.catalogue import Pack, PackTerms, pack_stream, unknown_pack
from services.tasks.domain.code import new_code
from services.tasks.domain.issue import Issue, unknown_issue
from services.tasks.domain.members import is_reference
from services.tasks.domain.order import Order, unknown_order
from services.tasks.domain.pool import Pool, unknown_pool
from services.tasks.grants import give_due
from services.tasks.growth import grow_pools
from services.tasks.lists import Batch, ChangeMembers, Lists
from services.tasks.questions import OtherServices
from services.tasks.store import Store
from shared.contracts.audiences import AUDIENCE_MIN, Audience
from shared.errors import RefusedError
from shared.paging import page_of
from shared.sagas.aggregate import rebuild
from shared.sagas.requests import Answer, Asking
from shared.sagas.writer import Writer

T = TypeVar("T")
SELECT_NEWEST = """
SELECT DISTINCT ON (name) name, number FROM packs
WHERE %(after)s::text IS NULL OR name > %(after)s
ORDER BY name, number DESC LIMIT %(limit)s
"""
SELECT_NUMBERS = "SELECT number FROM packs WHERE name = %s ORDER BY number"
SELECT_ORDERS = """
SELECT id, ordered_at FROM pack_orders
WHERE (%(partner)s::text IS NULL OR partner = %(partner)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(at)s::bigint IS NULL OR (ordered_at, id) < (%(at)s, %(id)s::uuid))
ORDER BY ordered_at DESC, id DESC LIMIT %(limit)s
"""
SELECT_USED = "SELECT used FROM pack_orders WHERE id = %s"
SELECT_POOL = "SELECT drawn_bytes FROM pools WHERE id = %s"
SELECT_POOLS_BELOW = "SELECT id FROM pools WHERE parent_id = %s ORDER BY opened_at, id"
SELECT_ISSUED = "SELECT id FROM issues WHERE id = ANY(%s::uuid[])"
SELECT_CODES = "SELECT state, count(*) FROM codes WHERE order_id = %s GROUP BY state"
SELECT_DUE_CODES = """
SELECT order_id, hash FROM codes WHERE state = 'made' AND expires_at <= %s
ORDER BY expires_at LIMIT %s
"""
SELECT_RUNNING = "SELECT name FROM campaigns WHERE state = 'running' ORDER BY name"
EVERYONE = "SELECT count(*) FROM list_members WHERE list = %s"
DUE_BATCH = 500


class Supply:
    """What is done with packs, in this process. Threads may share it.

    `writer` gives the service's writer, which is started at first use.
    """

    def __init__(self, store: Store, writer: Callable[[], Writer], others: OtherServices) -> None:
        self.store = store
        self.lists = Lists(store)
        self.others = others
        self._writer = writer

    # The catalogue.

    def publish(self, asking: Asking, terms: PackTerms) -> Answer:
        """Put a version of a pack into the catalogue."""
        return self._writer().run(packs.PublishPack(asking, terms))

    def catalogue(self, after: str | None, limit: int) -> tuple[list[Pack], str | None]:
        """Return a page of the newest version of each pack, by name, and the next one's cursor."""
        rows = self.store.rows(SELECT_NEWEST, {"after": after, "limit": limit + 1})
        page, more = page_of(rows, limit, lambda row: (row[0],))
        return [self._pack(name, number) for name, number in page], more

    def versions(self, name: str) -> list[Pack]:
        """Return all versions of a pack, oldest first. Raises RefusedError pack_not_found."""
        numbers = [number for (number,) in self.store.rows(SELECT_NUMBERS, (name,))]
        if not numbers:
            raise unknown_pack(name)
        return [self._pack(name, number) for number in numbers]

    def _pack(self, name: str, number: int) -> Pack:
        return self._get(Pack, UUID(hex=pack_stream(name, number)), unknown_pack)

    # Orders.

    def order(self, asking: Asking, terms: packs.OrderTerms) -> Answer:
        """Order. Raises what `MakeOrder` refuses."""
        return self._writer().run(packs.MakeOrder(asking, terms))

    def pay(self, asking: Asking, order: UUID) -> Answer:
        """Take note of an order's payment; a top-up grows its pool. Raises `pay`'s refusals."""
        pool = self.order_of(order).pool_id
        if pool:
            return self._writer().run(packs.GrowPool(asking, order, UUID(hex=pool)))
        return self._writer().run(packs.ActOnOrder(asking, order, "pay"))

    def cancel(self, asking: Asking, order: UUID) -> Answer:
        """Give an unpaid order up. Raises its refusals."""
        return self._writer().run(packs.ActOnOrder(asking, order, "cancel"))

    def order_of(self, order: UUID) -> Order:
        """Return an order. Raises RefusedError order_not_found."""
        return self._get(Order, order, unknown_order)

    def used(self, order: UUID) -> int:
        """Return how many packs of an order are gone, or lie in codes."""
        return int(self.store.rows(SELECT_USED, (order,))[0][0])

    def code_counts(self, order: UUID) -> dict[str, int]:
        """Return how many codes of an order are in each state."""
        return dict(self.store.rows(SELECT_CODES, (order,)))

    def orders(
        self, partner: str | None, state: str | None, after: tuple[int, UUID] | None, limit: int
    ) -> tuple[list[Order], str | None]:
        """Return a page of orders, newest first, and the cursor of the next one.

        `after` is where the page before has ended: when its last one was ordered, and its id.
        """
        at, last = after or (None, None)
        values = {"partner": partner, "state": state, "at": at, "id": last, "limit": limit + 1}
        rows = self.store.rows(SELECT_ORDERS, values)
        page, more = page_of(rows, limit, lambda row: (row[1], row[0].hex))
        return [self.order_of(order) for order, _ in page], more

    # Issues and codes.

    def issue(
        self, asking: Asking, order: UUID, rows: list[str]
    ) -> tuple[list[Issue], list[Any], Answer]:
        """Issue packs to many; return what was issued, the rows that were not, and the answer.

        Raises order_not_found, `check_gives`'s refusals, UnavailableError.
        """
        job = packs.IssuePacks(asking, order, rows, self._ours(rows))
        answer = self._writer().run(job)
        names = [UUID(hex=packs.issue_in(asking, one)) for one in dict.fromkeys(rows)]
        issued = [self.issue_of(each) for each in names if self._is_issued(each)]
        return issued, job.judged(), answer

    def _is_issued(self, issue: UUID) -> bool:
        return bool(self.store.rows(SELECT_ISSUED, ([issue],)))

    def issue_of(self, issue: UUID) -> Issue:
        """Return an issue. Raises RefusedError issue_not_found."""
        return self._get(Issue, issue, unknown_issue)

    def make_codes(
        self, asking: Asking, order: UUID, terms: codes.CodesTerms
    ) -> tuple[list[str], str, Answer]:
        """Make codes; return them (none where they were shown before), and their batch's name.

        Raises order_not_found, `make_codes`'s refusals.
        """
        expires_at = self.store.calendar.parse(terms.expires_at)
        made = [new_code() for _ in range(terms.count)]
        job = codes.MakeCodes(asking, order, made, expires_at)
        answer = self._writer().run(job)
        return ([] if answer.repeated else made), job.batch, answer

    def redeem(self, asking: Asking, terms: codes.RedeemTerms) -> Answer:
        """Use a code. Raises code_not_found, code_used, code_expired."""
        return self._writer().run(codes.RedeemCode(asking, terms))

    def expire_codes(self) -> int:
        """End unused codes whose time is over, some at a time; return how many."""
        due: dict[UUID, list[bytes]] = {}
        for order, hash_ in self.store.rows(SELECT_DUE_CODES, (self.store.clock.now(), DUE_BATCH)):
            due.setdefault(order, []).append(bytes(hash_))
        return self._writer().run(codes.ExpireCodes(due)) if due else 0

    # Pools.

    def draw(self, asking: Asking, pool: UUID, terms: pools.DrawTerms) -> Answer:
        """Draw from a pool. Raises pool_not_found, `check_draw`'s refusals."""
        return self._writer().run(pools.Draw(asking, pool, terms))

    def hand_down(self, asking: Asking, pool: UUID, terms: pools.HandDownTerms) -> Answer:
        """Hand a part of a pool down. Raises pool_not_found, pool_empty."""
        return self._writer().run(pools.HandDown(asking, pool, terms))

    def pool_of(self, pool: UUID) -> tuple[Pool, int, list[str]]:
        """Return a pool, what was drawn of it, and the pools below. Raises pool_not_found."""
        found = self._get(Pool, pool, unknown_pool)
        below = [one.hex for (one,) in self.store.rows(SELECT_POOLS_BELOW, (pool,))]
        return found, int(self.store.rows(SELECT_POOL, (pool,))[0][0]), below

    # Lists and audiences.

    def change_members(
        self, asking: Asking, name: str, batch: Batch
    ) -> tuple[ChangeMembers, Answer]:
        """Change a list by a batch; the job tells which rows were not taken, and why.

        Raises RefusedError nothing_taken, UnavailableError.
        """
        job = ChangeMembers(asking, name, batch, self._ours(batch.add))
        return job, self._writer().run(job)

    def _ours(self, rows: list[str]) -> set[str]:
        return self.others.known([one for one in dict.fromkeys(rows) if is_reference(one)])

    def audience_count(self, audience: Audience, *, for_partner: bool) -> int | None:
        """Return how many an audience has; None for everyone.

        For a partner in tens, so that two questions do not tell of one person. Raises
        RefusedError audience_too_small to a partner whose audience is smaller than 50.
        """
        if audience.all:
            return None
        if audience.rule is not None:
            count = self.others.audience_count(audience.rule)
        else:
            count = int(self.store.rows(EVERYONE, (audience.list,))[0][0])
        if not for_partner:
            return count
        if count < AUDIENCE_MIN:
            detail = f"an audience of fewer than {AUDIENCE_MIN} is not shown"
            raise RefusedError("audience_too_small", detail)
        return count // 10 * 10

    # Jobs.

    def run_jobs(self, stop: Event) -> None:
        """End codes that are due, let pools grow, give members their grants of the month."""
        while not stop.is_set() and self.expire_codes():
            pass
        grow_pools(self.store, self._writer())
        for (campaign,) in self.store.rows(SELECT_RUNNING):
            give_due(self.store, self._writer(), campaign, stop)

    def _get(self, kind: type[T], stream: UUID, unknown: Callable[[str], RefusedError]) -> T:
        found = rebuild(self.store.events([stream]).get(stream, []))
        if not isinstance(found, kind):
            raise unknown(stream.hex)
        return found
