"""What is done with packs: published, ordered, paid, issued to many."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.domain.catalogue import COUNT_MAX, Name, Pack, PackTerms, unknown_pack
from services.tasks.domain.issue import Issue, Parcel
from services.tasks.domain.members import Rejected, sort_additions
from services.tasks.domain.order import Order, Wish, unknown_order
from services.tasks.domain.partner import Partner, partner_stream, unknown_partner
from services.tasks.domain.pool import Pool, pool_of_order, unknown_pool
from services.tasks.turn import Needs, Turn
from shared.ids import digest
from shared.mistakes import shaped
from shared.sagas.requests import Asking, Request

ISSUES_MAX = 5_000
Hex = Annotated[
    str, shaped(r"^[0-9a-f]{32}\Z", "32 hexadecimal digits in small letters, as an answer named it")
]
Rows = Annotated[
    list[Annotated[str, Meta(max_length=200)]], Meta(min_length=1, max_length=ISSUES_MAX)
]


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `partner` orders: so many of a pack; `pool_id` if it tops a pool up."""

    partner: Name
    pack: Name
    count: Annotated[int, Meta(ge=1, le=COUNT_MAX)] = 1
    pool_id: Hex | None = None


class IssueTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom packs of an order go, a pack each."""

    subscribers: Rows


class PublishPack(Request):
    """Put a version of a pack into the catalogue."""

    def __init__(self, asking: Asking, terms: PackTerms) -> None:
        super().__init__(asking)
        self.pack = terms

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.packs.add(self.pack.name)

    def act(self, turn: Turn) -> UUID:
        """Publish; what says the same as the newest version is no new one."""
        number, stream = turn.packs.newest.get(self.pack.name, (0, None))
        if stream is not None:
            newest = turn.get(stream)
            if isinstance(newest, Pack) and newest.terms == self.pack:
                return stream
        made = Pack.publish(self.pack, number + 1, turn.meta(self.asking.caller))
        turn.add(made)
        turn.packs.newest[self.pack.name] = (number + 1, made.id)
        return made.id


class MakeOrder(Request):
    """Order packs, a pool, or a pool's top-up."""

    def __init__(self, asking: Asking, terms: OrderTerms) -> None:
        super().__init__(asking)
        self.order = terms
        self._partner = UUID(hex=partner_stream(terms.partner))

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.packs.add(self.order.pack)
        needs.streams.add(self._partner)
        if self.order.pool_id is not None:
            needs.packs.pools.add(UUID(hex=self.order.pool_id))

    def act(self, turn: Turn) -> UUID:
        """Order.

        Refusals, in order: partner_not_found, pack_not_found, pool_not_found, pool_terms_differ,
        those of `make`.
        """
        terms = self.order
        if turn.found(Partner, self._partner) is None:
            raise unknown_partner(terms.partner)
        _, stream = turn.packs.newest.get(terms.pack, (0, None))
        if stream is None:
            raise unknown_pack(terms.pack)
        pack = turn.get(stream)
        assert isinstance(pack, Pack)
        if terms.pool_id is not None:
            pool = turn.found(Pool, UUID(hex=terms.pool_id))
            if pool is None or pool.partner != terms.partner or pack.terms.kind != "pool":
                raise unknown_pool(terms.pool_id)
            pool.check_top_up(pack.terms)
        wish = Wish(
            order_id=self.asking.subject.hex, partner=terms.partner, count=terms.count,
            pool_id=terms.pool_id or "",
        )  # fmt: skip
        day = turn.calendar.day_of(turn.now)
        made = Order.make(wish, pack, day, turn.meta(self.asking.caller))
        turn.add(made)
        return made.id


class ActOnOrder(Request):
    """Pay an order, or cancel it."""

    def __init__(self, asking: Asking, order: UUID, verb: str) -> None:
        super().__init__(asking)
        self._order = order
        self._verb = verb

    def need(self, needs: Needs) -> None:
        """Say what has to be read: the order, and its pool."""
        super().need(needs)
        needs.packs.orders.add(self._order)
        needs.packs.pools.add(UUID(hex=pool_of_order(self._order.hex)))

    def act(self, turn: Turn) -> UUID:
        """Pay or cancel. Raises order_not_found and what stands against it in its state."""
        order = order_in(turn, self._order)
        meta = turn.meta(self.asking.caller)
        if self._verb == "cancel":
            order.cancel(meta)
        elif order.pay(meta) and order.is_pool and not order.pool_id:
            turn.add(Pool.open(order, meta))
        return order.id


class GrowPool(Request):
    """Add a paid top-up to its pool."""

    def __init__(self, asking: Asking, order: UUID, pool: UUID) -> None:
        super().__init__(asking)
        self._order, self._pool = order, pool

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.orders.add(self._order)
        needs.packs.pools.add(self._pool)

    def act(self, turn: Turn) -> UUID:
        """Pay the order, and let the pool grow by it.

        Refusals, in order: order_not_found, pool_not_found, pool_terms_differ (of an order that was
        made before this was asked of it), `pay`'s.
        """
        order, meta = order_in(turn, self._order), turn.meta(self.asking.caller)
        pool = turn.found(Pool, self._pool)
        if pool is None:
            raise unknown_pool(self._pool.hex)
        if order.state == "ordered":
            pool.check_top_up(order.terms)
        if order.pay(meta):
            pool.grow(order.order_id, order.bytes, meta)
        return order.id


class IssuePacks(Request):
    """Issue packs of an order to subscribers, a pack each; each row has its own outcome.

    `ours` are those who have an account.
    """

    def __init__(self, asking: Asking, order: UUID, rows: list[str], ours: set[str]) -> None:
        super().__init__(asking)
        self._order = order
        self._rows = rows
        self._ours = ours

    def judged(self) -> list[Rejected]:
        """Return the rows that get nothing, and why."""
        return sort_additions(self._rows, set(), self._ours).rejected

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.orders.add(self._order)

    def act(self, turn: Turn) -> UUID:
        """Issue. Refusals: order_not_found, those of `check_gives`; too few packs refuse all."""
        order = order_in(turn, self._order)
        found = sort_additions(self._rows, set(), self._ours)
        order.check_gives(len(found.taken), turn.packs.used[order.id])
        meta = turn.meta(self.asking.caller)
        terms = order.terms.lot(turn.now, turn.calendar)
        for subscriber in found.taken:
            parcel = Parcel(
                issue_id=issue_in(self.asking, subscriber), partner=order.partner,
                subscriber=subscriber, bytes=order.terms.bytes, terms=terms,
                order_id=order.order_id,
            )  # fmt: skip
            turn.add(Issue.begin(parcel, meta))
        turn.packs.take_packs(order.id, len(found.taken))
        return order.id


def issue_in(asking: Asking, subscriber: str) -> str:
    """Return the id (32 hex digits) of what a request issues to a subscriber."""
    return digest("issue", asking.subject.hex, subscriber).hex()


def order_in(turn: Turn, order: UUID) -> Order:
    """Return an order that was read. Raises RefusedError order_not_found."""
    found = turn.found(Order, order)
    if found is None:
        raise unknown_order(order.hex)
    return found
