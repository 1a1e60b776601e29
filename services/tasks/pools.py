"""What is done with pools: drawn from, handed down, grown by members that join."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.completions import Subscriber
from services.tasks.domain.issue import Issue, Parcel
from services.tasks.domain.pool import Below, Pool, unknown_pool
from services.tasks.packs import issue_in
from services.tasks.turn import Needs, Turn
from shared.contracts.offers import Amount
from shared.errors import RefusedError
from shared.sagas.requests import Asking, Request


class DrawTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who draws how much."""

    subscriber: Subscriber
    bytes: Amount


class HandDownTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pool below: its part, and what a member of it draws in a month at most."""

    bytes: Amount
    title: Annotated[str, Meta(max_length=200)] = ""
    member_limit_bytes: Amount | None = None


class OnPool(Request):
    """Something that is asked of a pool."""

    def __init__(self, asking: Asking, pool: UUID) -> None:
        super().__init__(asking)
        self._pool = pool

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.pools.add(self._pool)

    def pool_in(self, turn: Turn) -> Pool:
        """Return the pool. Raises RefusedError pool_not_found."""
        found = turn.found(Pool, self._pool)
        if found is None:
            raise unknown_pool(self._pool.hex)
        return found


class Draw(OnPool):
    """Draw bytes from a pool as a lot of one's own."""

    def __init__(self, asking: Asking, pool: UUID, terms: DrawTerms) -> None:
        super().__init__(asking, pool)
        self._terms = terms

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.drawers.add(self._terms.subscriber)

    def act(self, turn: Turn) -> UUID:
        """Draw. Refusals: pool_not_found, not_a_member, pool_member_limit, pool_empty."""
        pool, amount, who = self.pool_in(turn), self._terms.bytes, self._terms.subscriber
        self._check_member(turn, pool)
        pool.check_draw(amount, turn.packs.drawn[pool.id], turn.packs.draws[pool.id, who])
        parcel = Parcel(
            issue_id=issue_in(self.asking, who), partner=pool.partner, subscriber=who,
            bytes=amount, terms=pool.terms.lot(turn.now, turn.calendar), order_id=pool.order_id,
            pool_id=pool.pool_id,
        )  # fmt: skip
        meta = turn.meta(self.asking.caller)
        issue = Issue.begin(parcel, meta)
        turn.add(issue)
        turn.packs.take_drawn(pool.id, who, amount)
        pool.sound_alarm(turn.packs.drawn[pool.id], meta)
        return issue.id

    def _check_member(self, turn: Turn, pool: Pool) -> None:
        """Raise RefusedError not_a_member: what members bring, in pools below too, is theirs."""
        members, who = pool.terms.grows_with, self._terms.subscriber
        if members is not None and not turn.lists.members_among(members, [who]):
            raise RefusedError("not_a_member", f"the pool is for members of the list {members}")


class HandDown(OnPool):
    """Make a part of a pool a pool of its own."""

    def __init__(self, asking: Asking, pool: UUID, terms: HandDownTerms) -> None:
        super().__init__(asking, pool)
        self._terms = terms

    def act(self, turn: Turn) -> UUID:
        """Hand it down. Refusals, in order: pool_not_found, pool_empty."""
        pool, terms = self.pool_in(turn), self._terms
        below = Below(
            pool_id=self.asking.subject.hex, title=terms.title, bytes=terms.bytes,
            member_limit_bytes=terms.member_limit_bytes,
        )  # fmt: skip
        meta = turn.meta(self.asking.caller)
        child = pool.hand_down(below, turn.packs.drawn[pool.id], meta)
        turn.add(child)
        return child.id
