"""An order of packs, of a pool, or of a pool's top-up.

    ordered -> paid        its bytes are bought on the partner's account; packs lie in the inventory
            -> cancelled

An unpaid order gives nothing. It keeps the pack's version and the amount of the day on which it was
made, whatever the catalogue says later.
"""

from typing import Any, Self

import msgspec

from services.tasks.domain.catalogue import BYTES_MAX, COUNT_MAX, Pack, PackTerms, read_pack
from shared.contracts.tasks import (
    CodesExpired,
    CodesMade,
    PackOrderCancelled,
    PackOrdered,
    PackOrderPaid,
)
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is ordered: so many of a pack; `pool_id` if it tops a pool up."""

    order_id: str
    partner: str
    count: int
    pool_id: str = ""


class Order(Aggregate):
    """One order."""

    TOPIC = "tasks.order"

    Ordered = beginning(PackOrdered)
    Paid = fact(PackOrderPaid)
    Cancelled = fact(PackOrderCancelled)
    CodesMade = fact(CodesMade)
    CodesExpired = fact(CodesExpired)

    terms: PackTerms

    def __init__(self) -> None:
        self.state = ""
        self.paid_at = 0
        # Codes of this order that have begun and not expired.
        self.codes = 0

    @classmethod
    def make(cls, wish: Wish, pack: Pack, day: str, meta: Meta) -> Self:
        """Order at a bank day's price. Refusals, in order: order_too_large, pack_not_on_sale."""
        count, size = wish.count, pack.terms.bytes * wish.count
        if count > COUNT_MAX or size > BYTES_MAX:
            detail = f"{count} times {pack.terms.bytes} bytes are too many for one order"
            raise RefusedError("order_too_large", detail)
        amount = pack.terms.price_on(day) * count
        return cls._begin(
            wish.order_id,
            PackOrdered(
                **meta.facts(f"partner:{wish.partner}", wish.order_id), order_id=wish.order_id,
                pack=pack.name, pack_version=pack.number, count=count, bytes=size,
                amount_fen=amount, pool_id=wish.pool_id, terms=msgspec.to_builtins(pack.terms),
            ),
        )  # fmt: skip

    @property
    def is_pool(self) -> bool:
        """Say whether it is of a pool, not of packs."""
        return self.terms.kind == "pool"

    def pay(self, meta: Meta) -> bool:
        """Take note of the payment; once more does nothing. Refusal: order_cancelled."""
        if self.state == "paid":
            return False
        if self.state == "cancelled":
            raise RefusedError("order_cancelled", "a cancelled order can't be paid", 409)
        return self._record(
            PackOrderPaid(**self._facts(meta), order_id=self.order_id, bytes=self.bytes)
        )

    def cancel(self, meta: Meta) -> bool:
        """Give an unpaid order up; once more does nothing. Refusal: order_paid."""
        if self.state == "cancelled":
            return False
        if self.state == "paid":
            raise RefusedError("order_paid", "a paid order can't be cancelled", 409)
        return self._record(PackOrderCancelled(**self._facts(meta), order_id=self.order_id))

    def check_gives(self, count: int, used: int) -> None:
        """Raise what stands against taking so many packs of which `used` are gone.

        Refusals, in order: order_not_paid, not_a_pack, inventory_empty.
        """
        if self.state != "paid":
            raise RefusedError(
                "order_not_paid", f"the order is {self.state}: it gives nothing", 409
            )
        if self.is_pool:
            raise RefusedError("not_a_pack", "this order is of a pool: draw from the pool")
        left = self.count - used
        if count > left:
            detail = f"{count} asked, {left} of {self.count} packs are left"
            raise RefusedError("inventory_empty", detail, left=left)

    def make_codes(self, batch: str, count: int, used: int, expires_at: int, meta: Meta) -> bool:
        """Put packs into codes. Refusals: those of `check_gives`, code_expiry_past."""
        self.check_gives(count, used)
        if expires_at <= meta.now:
            raise RefusedError("code_expiry_past", "the codes would have expired already")
        return self._record(
            CodesMade(
                **self._facts(meta), order_id=self.order_id, batch=batch, count=count,
                expires_at=expires_at,
            )
        )  # fmt: skip

    def expire_codes(self, count: int, meta: Meta) -> bool:
        """Take note that unused codes have expired: their packs are in the inventory again."""
        return self._record(CodesExpired(**self._facts(meta), order_id=self.order_id, count=count))

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return meta.facts(self.account, self.order_id)

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        match data:
            case PackOrdered():
                self.state, self.account, self.order_id = "ordered", data.account, data.order_id
                self.partner = data.account.partition(":")[2]
                self.pack, self.pack_version, self.count = data.pack, data.pack_version, data.count
                self.bytes, self.amount_fen = data.bytes, data.amount_fen
                self.pool_id, self.ordered_at = data.pool_id, data.recorded_at
                self.terms = read_pack(data.terms)
            case PackOrderPaid():
                self.state, self.paid_at = "paid", data.recorded_at
            case PackOrderCancelled():
                self.state = "cancelled"
            case CodesMade():
                self.codes += data.count
            case CodesExpired():
                self.codes -= data.count


def unknown_order(order_id: str) -> RefusedError:
    """Return what is said of an order that does not exist."""
    return RefusedError("order_not_found", f"there is no order {order_id}", 404)
