"""The parts of an account's state: lots, holds, changes of plan, thresholds that were told."""

import msgspec

from shared.contracts.ledger import ANY_SCOPE, Leg, LotTerms, Source
from shared.contracts.offers import Hours


class Window(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of a lot that is closed and may have carried: its times and terms.

    Late usage of that time may use the carry lot that was born of it; what comes back to it is
    carried over as the rest of it was.
    """

    lot_id: str
    valid_from: int
    expires_at: int
    scope: str | list[str] = ANY_SCOPE
    giftable: bool = False
    hours: Hours | None = None


class Lot(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """Bytes with terms: usable in [valid_from, expires_at), for one scope, in order of age."""

    lot_id: str
    kind: str
    granted: int
    remaining: int
    held: int = 0
    valid_from: int
    expires_at: int
    granted_at: int
    scope: str | list[str] = ANY_SCOPE
    giftable: bool = False
    carries: bool = False
    source: Source
    parent_lot: str | None = None
    hours: Hours | None = None
    born_of: list[Window] = []

    @property
    def free(self) -> int:
        """Return the bytes that no hold pins."""
        return self.remaining - self.held

    def serves(self, at: int) -> bool:
        """Say whether usage at this instant may be charged here (late usage included)."""
        if self.valid_from <= at < self.expires_at:
            return True
        return any(window.valid_from <= at < window.expires_at for window in self.born_of)


class Hold(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Pinned parts of lots, by lot in the order they were taken; they end by `deadline`."""

    hold_id: str
    purpose: str
    deadline: int
    parts: dict[str, int]
    correlation_id: str = ""

    @property
    def bytes(self) -> int:
        """Return what is still held."""
        return sum(self.parts.values())


class PlanChange(msgspec.Struct, array_like=True):
    """From this month on the account has this plan."""

    month: str
    plan: str


class Crossing(msgspec.Struct, array_like=True, gc=False):
    """An edge that was told: armed again when what it watches is above `level`.

    For what expires: everything that ends by `until` and was there at `at` has been told.
    """

    level: int = 0
    lot_id: str = ""
    until: int = 0
    at: int = 0


def open_lot(terms: LotTerms | Leg, granted_at: int) -> Lot:
    """Return a full lot on these terms: a new one, or of a leg that has come back."""
    granted = terms.bytes if isinstance(terms, Leg) else terms.granted
    return Lot(
        lot_id=terms.lot_id,
        kind=terms.kind,
        granted=granted,
        remaining=granted,
        valid_from=terms.valid_from,
        expires_at=terms.expires_at,
        granted_at=granted_at,
        scope=terms.scope,
        giftable=terms.giftable,
        carries=terms.carries,
        source=terms.source,
        parent_lot=terms.parent_lot,
        hours=terms.hours,
    )


def window_of(lot: Lot) -> Window:
    """Return what is remembered of a lot when it is closed."""
    return Window(
        lot.lot_id, lot.valid_from, lot.expires_at, lot.scope, lot.giftable, lot.hours
    )  # fmt: skip


def reopened(window: Window, amount: int, at: int, source: Source) -> Lot:
    """Return a closed lot that bytes come back to, as it is remembered."""
    return Lot(
        lot_id=window.lot_id, kind=window.lot_id.partition(":")[0], granted=amount,
        remaining=amount, valid_from=window.valid_from, expires_at=window.expires_at,
        granted_at=at, scope=window.scope, giftable=window.giftable, carries=True,
        hours=window.hours, source=source,
    )  # fmt: skip


def leg_of(lot: Lot, amount: int) -> Leg:
    """Return a part of a lot as a leg, on the lot's terms."""
    return Leg(
        lot_id=lot.lot_id, bytes=amount, kind=lot.kind, valid_from=lot.valid_from,
        expires_at=lot.expires_at, scope=lot.scope, giftable=lot.giftable, carries=lot.carries,
        source=lot.source, parent_lot=lot.parent_lot, hours=lot.hours,
    )  # fmt: skip
