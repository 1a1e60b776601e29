"""An account as its events leave it: lots, sums, and how far its months are granted and closed.

The invariant, at every version:
earned + received + returned = Σ lot.remaining + spent + transferred + expired + adjusted
(a lot's `remaining` includes its `held`; lapsed or available is a matter of the date).

How events change it is in `evolving.py`.
"""

import msgspec

from services.ledger.domain.lots import Crossing, Hold, Lot, PlanChange, Window
from services.ledger.domain.quota_state import EscrowState, QuotaState
from shared.contracts.ledger import Thresholds

STATE_FORMAT = 10


class Account(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """The state of one account."""

    account: str
    kind: str
    opened_at: int
    plan: str | None = None
    plan_changes: list[PlanChange] = []
    status: str = "active"
    partner: str | None = None
    active_from: str | None = None
    granted_through: str | None = None
    closed_through: str | None = None
    closed_until: int = 0
    # When the last record began that it was charged for; 0 before the first one.
    last_used_at: int = 0
    lots: dict[str, Lot] = {}
    holds: dict[str, Hold] = {}
    emptied: list[Window] = []
    carried_away: dict[str, int] = {}
    thresholds: Thresholds | None = None
    crossed: dict[str, Crossing] = {}
    # What a partner or campaign had when it last bought, or was funded, with that; 0: never did.
    topped_up: int = 0
    # What campaigns paid of this subscriber's traffic, by campaign and period; what it was told.
    sponsored: dict[str, int] = {}
    capped: list[str] = []
    quota: QuotaState | None = None
    escrow: EscrowState | None = None
    earned: int = 0
    received: int = 0
    returned: int = 0
    spent: int = 0
    unfunded: int = 0
    transferred: int = 0
    expired: int = 0
    adjusted: int = 0

    def plan_in(self, month: str) -> str | None:
        """Return the plan of a month: the last one that was chosen for it or earlier."""
        plan = self.plan
        for change in self.plan_changes:
            if change.month <= month:
                plan = change.plan
        return plan

    def remembered(self, lot_id: str) -> Window | None:
        """Return what is remembered of a lot that is closed and may have carried."""
        for lot in self.lots.values():
            for window in lot.born_of:
                if window.lot_id == lot_id:
                    return window
        return next((window for window in self.emptied if window.lot_id == lot_id), None)

    def balances(self) -> bool:
        """Say whether the invariant holds and no lot is below zero."""
        remaining = sum(lot.remaining for lot in self.lots.values())
        came = self.earned + self.received + self.returned
        went = self.spent + self.transferred + self.expired + self.adjusted
        return came == remaining + went and self._pins_fit()

    def _pins_fit(self) -> bool:
        """Say whether each lot holds what the holds pin in it, and not more than it has."""
        pinned = dict.fromkeys(self.lots, 0)
        for hold in self.holds.values():
            for lot_id, part in hold.parts.items():
                pinned[lot_id] = pinned.get(lot_id, 0) + part
        return pinned.keys() == self.lots.keys() and all(
            pinned[lot.lot_id] == lot.held and 0 <= lot.held <= lot.remaining
            for lot in self.lots.values()
        )

    def available(self, at: int) -> int:
        """Return the bytes that can be used at an instant."""
        return sum(
            lot.remaining - lot.held
            for lot in self.lots.values()
            if lot.valid_from <= at < lot.expires_at
        )

    def funds(self, at: int) -> int:
        """Return the bytes that a partner or campaign has at an instant.

        A share counts as when its quota last got some: how much of it is spent, the quota knows.
        """
        shares = 0 if self.escrow is None else sum(self.escrow.shares.values())
        return self.available(at) + shares

    @property
    def has_quotas(self) -> bool:
        """Say whether it is a quota, or a campaign that has sent bytes to quotas and not ended."""
        if self.escrow is None or (self.escrow.ending and not self.escrow.awaited):
            return self.quota is not None
        return any(self.escrow.out.values())

    def next_deadline(self) -> int | None:
        """Return when the first of the holds times out, None without holds."""
        return min(hold.deadline for hold in self.holds.values()) if self.holds else None
