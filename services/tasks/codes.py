"""What is done with codes: made of an order's packs, redeemed once, expired by a job."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.completions import Subscriber
from services.tasks.domain.code import code_hash, unknown_code
from services.tasks.domain.issue import Issue, Parcel
from services.tasks.domain.order import Order
from services.tasks.packs import issue_in, order_in
from services.tasks.turn import Needs, Turn
from shared.ids import digest
from shared.sagas.requests import Asking, Request
from shared.sagas.writer import Job

CODES_MAX = 10_000
BY_TASKS = "tasks"


class CodesTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many packs of an order lie in codes, until when (ISO 8601)."""

    count: Annotated[int, Meta(ge=1, le=CODES_MAX)]
    expires_at: Annotated[str, Meta(max_length=40)]


class RedeemTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who uses a code."""

    code: Annotated[str, Meta(min_length=16, max_length=64)]
    subscriber: Subscriber


class MakeCodes(Request):
    """Put packs of an order into codes; the bank keeps their hashes alone."""

    def __init__(self, asking: Asking, order: UUID, codes: list[str], expires_at: int) -> None:
        super().__init__(asking)
        self._order = order
        self._codes = codes
        self._expires_at = expires_at

    @property
    def batch(self) -> str:
        """Return the name of the batch: the request's."""
        return self.asking.subject.hex

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.orders.add(self._order)

    def act(self, turn: Turn) -> UUID:
        """Make them. Refusals: order_not_found, those of `Order.make_codes`."""
        order, count = order_in(turn, self._order), len(self._codes)
        order.make_codes(
            self.batch, count, turn.packs.used[order.id], self._expires_at,
            turn.meta(self.asking.caller),
        )  # fmt: skip
        for place, code in enumerate(self._codes):
            id_ = UUID(bytes=digest("code", self.batch, str(place)))
            turn.packs.add_code(id_, code_hash(code), order.id, self.batch, self._expires_at)
        turn.packs.take_packs(order.id, count)
        return order.id


class RedeemCode(Request):
    """Use a code: its pack goes to a subscriber, and nobody else may use it meanwhile."""

    def __init__(self, asking: Asking, terms: RedeemTerms) -> None:
        super().__init__(asking)
        self._hash = code_hash(terms.code)
        self._subscriber = terms.subscriber

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packs.codes.add(self._hash)

    def act(self, turn: Turn) -> UUID:
        """Redeem it. Refusals, in order: code_not_found, code_used, code_expired."""
        code = turn.packs.codes.get(self._hash)
        if code is None:
            raise unknown_code()
        code.check_redeem(turn.now)
        order = order_in(turn, UUID(hex=code.order_id))
        parcel = Parcel(
            issue_id=issue_in(self.asking, self._subscriber), partner=order.partner,
            subscriber=self._subscriber, bytes=order.terms.bytes, order_id=order.order_id,
            terms=order.terms.lot(turn.now, turn.calendar), code_id=code.code_id,
        )  # fmt: skip
        issue = Issue.begin(parcel, turn.meta(self.asking.caller))
        turn.add(issue)
        turn.packs.codes[self._hash] = msgspec.structs.replace(code, state="locked")
        return issue.id


class ExpireCodes(Job[int]):
    """End unused codes whose time is over: by order, the codes that were due when it was looked."""

    def __init__(self, due: dict[UUID, list[bytes]]) -> None:
        super().__init__()
        self._due = due

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        for order, hashes in self._due.items():
            needs.packs.orders.add(order)
            needs.packs.codes.update(hashes)

    def decide(self, turn: Turn) -> int:
        """End those that are still unused; return how many."""
        ended, meta = 0, turn.meta(BY_TASKS)
        for stream, hashes in self._due.items():
            order = turn.found(Order, stream)
            codes = [turn.packs.codes[each] for each in hashes if each in turn.packs.codes]
            over = [c for c in codes if c.state == "made" and turn.now >= c.expires_at]
            if order is None or not over:
                continue
            for code in over:
                turn.packs.set_code(UUID(hex=code.code_id), "expired")
            order.expire_codes(len(over), meta)
            turn.packs.take_packs(order.id, -len(over))
            ended += len(over)
        return ended
