"""What must hold of whatever a close carries over, told by a partition's events alone."""

from collections.abc import Iterable
from typing import Any

from services.ledger.domain.account import Account
from services.ledger.domain.evolving import evolve
from services.ledger.domain.lots import Lot
from services.ledger.domain.rules import CarryOver
from shared.contracts.ledger import (
    WITHOUT_ACCOUNT,
    DataCarriedOver,
    DataTransferred,
    Event,
    Leg,
    LotTerms,
    UsageReversed,
)
from shared.contracts.offers import Hours
from tests.support.memory import PLAN

# Scopes and hours that are alike, and such that only look it.
SCOPES: list[Any] = ["any", ["didi"], ["didi", "taxi"], ["taxi", "didi"], ["didi+taxi"]]
HOURS = [Hours(begins=0, ends=360), Hours(begins=600, ends=900)]


def use_of(terms: Lot | LotTerms | Leg) -> tuple[Any, ...]:
    """Return what bytes may be used for, whatever lot they are in."""
    scope = terms.scope if isinstance(terms.scope, str) else sorted(set(terms.scope))
    return scope, terms.hours


def check_carried(events: Iterable[Event], carry_over: CarryOver) -> None:
    """Check that bytes stay what they are for, and that no close carries more than its cap.

    `carry_over` is that of the plan PLAN.
    """
    accounts: dict[str, Account] = {}
    seen: dict[tuple[str, str], Lot] = {}
    for event in events:
        if isinstance(event, WITHOUT_ACCOUNT):
            continue
        _check_stays(event, seen)
        account = accounts[event.account] = evolve(accounts.get(event.account), event)
        for lot in account.lots.values():
            seen.setdefault((event.account, lot.lot_id), lot)
        if isinstance(event, DataCarriedOver) and account.plan_in(event.month) == PLAN:
            _check_cap(event, account, carry_over)


def _check_stays(event: Event, seen: dict[tuple[str, str], Lot]) -> None:
    if isinstance(event, DataCarriedOver):
        for part in event.slices:
            lot = seen[event.account, part.lot_id]
            assert use_of(event.lot) == use_of(lot)
            assert event.lot.giftable == lot.giftable or event.lot.kind == "voucher"
        into = seen.get((event.account, event.lot.lot_id))
        assert into is None or use_of(into) == use_of(event.lot)
    elif isinstance(event, DataTransferred | UsageReversed):
        for leg in event.legs:
            # What a reversal brings to a lot that carries nowhere expires at once.
            if leg.carries or isinstance(event, DataTransferred):
                assert use_of(leg) == use_of(seen[event.account, leg.lot_id])


def _check_cap(event: DataCarriedOver, account: Account, carry_over: CarryOver) -> None:
    left = sum(
        lot.remaining
        for lot in account.lots.values()
        if lot.source.type == "carry_over" and lot.expires_at > event.month_ends_at
    )
    assert carry_over.cap_bytes is None or left <= carry_over.cap_bytes
