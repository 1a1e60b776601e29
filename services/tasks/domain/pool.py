"""A pool of bytes from which many subscribers draw; parts of it are handed down to pools below.

`total_bytes` is what was paid for it, and came with members, without what it has handed down. What
was drawn is counted beside the log, and no draw passes the total or a member's limit of the month.
"""

from typing import Any, Self

import msgspec

from services.tasks.domain.catalogue import PackTerms, read_pack
from shared.contracts.tasks import PoolGrew, PoolHandedDown, PoolLow, PoolOpened
from shared.errors import RefusedError
from shared.ids import digest
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact

# What the bytes of a pool are: whoever tops it up adds bytes that are the same in all of it.
OF_ITS_BYTES = ("scope", "hours", "effect", "valid", "giftable", "carries", "grows_with")


class Below(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that gets a part of the one above it."""

    pool_id: str
    title: str
    bytes: int
    member_limit_bytes: int | None = None


def pool_of_order(order_id: str) -> str:
    """Return the id (32 hex digits) of the pool that a paid order opens."""
    return digest("pool", order_id).hex()


class Pool(Aggregate):
    """One pool."""

    TOPIC = "tasks.pool"

    Opened = beginning(PoolOpened)
    Grew = fact(PoolGrew)
    HandedDown = fact(PoolHandedDown)
    Low = fact(PoolLow)

    terms: PackTerms

    def __init__(self) -> None:
        self.total_bytes = 0
        self.is_low = False

    @classmethod
    def open(cls, order: Any, meta: Meta) -> Self:
        """Open the pool of a paid order."""
        pool_id = pool_of_order(order.order_id)
        terms = order.terms
        return cls._begin(
            pool_id,
            PoolOpened(
                **meta.facts(order.account, pool_id), pool_id=pool_id, partner=order.partner,
                order_id=order.order_id, bytes=order.bytes, title=terms.title,
                member_limit_bytes=terms.member_limit_bytes, alarm_percent=terms.alarm_percent,
                terms=msgspec.to_builtins(terms),
            ),
        )  # fmt: skip

    @property
    def grows_with(self) -> str | None:
        """Return the list whose members bring more; a pool below grows with none."""
        return None if self.parent_id else self.terms.grows_with

    def grow(self, order_id: str, amount: int, meta: Meta) -> bool:
        """Top it up; its alarm may be told again."""
        return self._record(
            PoolGrew(**self._facts(meta), pool_id=self.pool_id, order_id=order_id, bytes=amount)
        )

    def check_top_up(self, terms: PackTerms) -> None:
        """Raise RefusedError pool_terms_differ unless the pack's bytes are for what the pool's are.

        What is drawn is on the pool's terms, wherever it came from: bytes of the night, or of one
        app, that top up another pool would be for the whole day and all traffic.
        """
        differs = [
            name for name in OF_ITS_BYTES if _meaning(terms, name) != _meaning(self.terms, name)
        ]
        if differs:
            detail = f"the pack {terms.name} differs from the pool in {', '.join(differs)}"
            raise RefusedError("pool_terms_differ", detail, differs=differs)

    def hand_down(self, below: Below, drawn: int, meta: Meta) -> "Pool":
        """Give a part to a new pool below. Refusals: pool_empty."""
        self._check_left(below.bytes, drawn)
        self._record(
            PoolHandedDown(
                **self._facts(meta), pool_id=self.pool_id, child_id=below.pool_id,
                bytes=below.bytes,
            )
        )  # fmt: skip
        child = Pool._begin(
            below.pool_id,
            PoolOpened(
                **meta.facts(self.account, below.pool_id), pool_id=below.pool_id,
                partner=self.partner, order_id=self.order_id, bytes=below.bytes,
                title=below.title, parent_id=self.pool_id,
                member_limit_bytes=below.member_limit_bytes or self.member_limit_bytes,
                alarm_percent=self.alarm_percent, terms=msgspec.to_builtins(self.terms),
            ),
        )  # fmt: skip
        self.sound_alarm(drawn, meta)
        return child

    def check_draw(self, amount: int, drawn: int, drawn_by_member: int) -> None:
        """Raise what stands against a draw, given what was drawn of the pool and in this month.

        Refusals, in order: pool_member_limit, pool_empty.
        """
        limit = self.member_limit_bytes
        if limit is not None and drawn_by_member + amount > limit:
            raise RefusedError(
                "pool_member_limit", f"a member draws {limit} bytes a month at most",
                allowed_bytes=max(limit - drawn_by_member, 0),
            )  # fmt: skip
        self._check_left(amount, drawn)

    def sound_alarm(self, drawn: int, meta: Meta) -> bool:
        """Tell once, until it is topped up, that little is left of the pool."""
        left = self.total_bytes - drawn
        if self.is_low or left * 100 > self.total_bytes * self.alarm_percent:
            return False
        return self._record(
            PoolLow(
                **self._facts(meta), pool_id=self.pool_id, total_bytes=self.total_bytes,
                left_bytes=left,
            )
        )  # fmt: skip

    def _check_left(self, amount: int, drawn: int) -> None:
        left = self.total_bytes - drawn
        if amount > left:
            detail = f"{amount} bytes asked, {left} are left in the pool"
            raise RefusedError("pool_empty", detail, left_bytes=left)

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return meta.facts(self.account, self.pool_id)

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        match data:
            case PoolOpened():
                self.pool_id, self.account, self.partner = data.pool_id, data.account, data.partner
                self.order_id, self.parent_id, self.title = (
                    data.order_id, data.parent_id, data.title,
                )  # fmt: skip
                self.member_limit_bytes = data.member_limit_bytes
                self.alarm_percent, self.opened_at = data.alarm_percent, data.recorded_at
                self.terms = read_pack(data.terms)
                self.total_bytes = data.bytes
            case PoolGrew():
                self.total_bytes += data.bytes
                self.is_low = False
            case PoolHandedDown():
                self.total_bytes -= data.bytes
            case PoolLow():
                self.is_low = True


def _meaning(terms: PackTerms, name: str) -> Any:
    """Return a field of terms as it compares: the order of a scope's rating groups says nothing."""
    value = getattr(terms, name)
    return {*value} if isinstance(value, list) else value


def unknown_pool(pool_id: str) -> RefusedError:
    """Return what is said of a pool that does not exist."""
    return RefusedError("pool_not_found", f"there is no pool {pool_id}", 404)
