"""How events change an account: sums and lots, no rules."""

from collections.abc import Callable
from typing import Any

from services.ledger.domain.account import Account
from services.ledger.domain.lots import (
    Crossing,
    Hold,
    Lot,
    PlanChange,
    open_lot,
    reopened,
    window_of,
)
from services.ledger.domain.quota_state import FOREVER, QuotaState
from services.ledger.domain.sponsor_state import (
    SPONSOR_EVENTS,
    forget_periods,
    note_arrival,
    note_departure,
    note_sponsored,
)
from shared.contracts.ledger import (
    FUNDS_LEFT,
    AccountClosed,
    AccountOpened,
    AccountResumed,
    AccountSuspended,
    DataAdjusted,
    DataCarriedOver,
    DataClawedBack,
    DataEarned,
    DataExpired,
    DataHeld,
    DataReceived,
    DataSpent,
    DataTransferred,
    Event,
    HoldReleased,
    Leg,
    LotTerms,
    MonthClosed,
    PlanChanged,
    Slice,
    ThresholdCrossed,
    ThresholdsSet,
    TransferReturned,
    UsageLine,
    UsageReversed,
)
from shared.ids import campaign_of

# Longer than a carry lot usually lives: so long what comes back to a lot that was used up before
# its close can still be carried over.
REMEMBERED_MS = 400 * 86_400_000


def evolve(account: Account | None, event: Event) -> Account:
    """Return the account after an event; it only adds up and has no rules.

    The given account is changed in place: hand in one of your own.
    """
    if isinstance(event, AccountOpened):
        return Account(
            account=event.account,
            kind=event.kind,
            opened_at=event.recorded_at,
            plan=event.plan,
            partner=event.partner,
            active_from=event.active_from,
            quota=_quota_of(event),
        )
    if account is None:
        msg = f"the first event of {event.account} is a {type(event).__name__}"
        raise ValueError(msg)
    _APPLY[type(event)](account, event)
    if account.crossed:
        arm_again(account, event.recorded_at)
    return account


def _quota_of(event: AccountOpened) -> QuotaState | None:
    if event.kind != "quota":
        return None
    return QuotaState(partner=event.partner or "", campaign=campaign_of(event.account))


def arm_again(account: Account, at: int) -> None:
    """Forget the told edges that a balance is above again, and those that are past."""
    gone = []
    for name, edge in account.crossed.items():
        if edge.until:
            over = edge.until <= at
        elif edge.lot_id:
            lot = account.lots.get(edge.lot_id)
            over = lot is None or lot.remaining > edge.level
        else:
            over = account.funds(at) > edge.level
        if over:
            gone.append(name)
    for name in gone:
        del account.crossed[name]


def spend_line(account: Account, line: UsageLine) -> None:
    """Take a usage line's slices out of their lots."""
    for part in line.slices:
        account.lots[part.lot_id].remaining -= part.bytes
    if account.quota is not None:
        # A quota has many small lots, and nobody asks for the terms of an empty one.
        for part in line.slices:
            if not account.lots[part.lot_id].remaining:
                del account.lots[part.lot_id]
    account.spent += line.bytes - line.unfunded_bytes
    account.unfunded += line.unfunded_bytes
    if line.sponsored is not None:
        account.spent -= line.sponsored.bytes
        note_sponsored(account, line.sponsored, line.sponsored.bytes)
    if line.occurred_at > account.last_used_at:  # noqa: PLR1730 max() takes twice as long.
        account.last_used_at = line.occurred_at


def spend_nothing_kept(account: Account, line: UsageLine) -> None:
    """Count a quota's line whose lot was made for it: it is neither added nor forgotten."""
    account.spent += line.bytes
    if line.occurred_at > account.last_used_at:  # noqa: PLR1730 As above.
        account.last_used_at = line.occurred_at


def _drop_empty(account: Account) -> None:
    """Forget the empty lots of a quota."""
    for lot_id in [lot.lot_id for lot in account.lots.values() if not lot.remaining]:
        del account.lots[lot_id]


def _earned(account: Account, event: DataEarned) -> None:
    for terms in event.lots:
        _add_lot(account, terms, event.recorded_at)
        account.earned += terms.granted
    if event.months:
        account.granted_through = max(account.granted_through or "", *event.months)
    if account.kind == "partner":
        _top_up(account, event.recorded_at)


def _top_up(account: Account, at: int) -> None:
    """Begin anew to watch how much a partner or campaign has left."""
    account.topped_up = account.funds(at)
    account.crossed = {
        name: edge for name, edge in account.crossed.items() if not name.startswith(FUNDS_LEFT)
    }


def _plan_changed(account: Account, event: PlanChanged) -> None:
    account.plan_changes.append(PlanChange(event.from_month, event.plan))


def _suspended(account: Account, event: AccountSuspended) -> None:
    del event
    account.status = "suspended"


def _resumed(account: Account, event: AccountResumed) -> None:
    del event
    account.status = "active"


def _account_closed(account: Account, event: AccountClosed) -> None:
    del event
    account.status = "closed"


def _adjusted(account: Account, event: DataAdjusted) -> None:
    for terms in event.lots:
        account.lots[terms.lot_id] = open_lot(terms, event.recorded_at)
        account.adjusted -= terms.granted
    _take(account, event.slices)
    account.adjusted += sum(part.bytes for part in event.slices)


def _usage_reversed(account: Account, event: UsageReversed) -> None:
    for leg in event.legs:
        _put_back(account, leg, event.recorded_at)
        account.spent -= leg.bytes
    account.unfunded -= event.unfunded_bytes
    if event.sponsored is not None:
        note_sponsored(account, event.sponsored, -event.sponsored.bytes)


def _spent(account: Account, event: DataSpent) -> None:
    for line in event.lines:
        spend_line(account, line)


def _thresholds_set(account: Account, event: ThresholdsSet) -> None:
    account.thresholds = event.thresholds
    account.crossed = {
        name: edge for name, edge in account.crossed.items()
        if edge.until or name.startswith(FUNDS_LEFT)
    }  # fmt: skip


def _threshold_crossed(account: Account, event: ThresholdCrossed) -> None:
    # What a campaign's quotas have left is estimated: only new funds arm its edges again.
    level = FOREVER if account.kind == "campaign" else event.level_bytes
    account.crossed[event.name] = Crossing(
        level=level, lot_id=event.lot_id or "", until=event.expires_at,
        at=event.recorded_at if event.expires_at else 0,
    )  # fmt: skip


def _held(account: Account, event: DataHeld) -> None:
    parts = {part.lot_id: part.bytes for part in event.slices}
    account.holds[event.hold_id] = Hold(
        hold_id=event.hold_id, purpose=event.purpose, deadline=event.deadline, parts=parts,
        correlation_id=event.correlation_id,
    )  # fmt: skip
    for lot_id, part in parts.items():
        account.lots[lot_id].held += part


def _unpin(account: Account, hold_id: str, lot_id: str, amount: int) -> None:
    hold = account.holds[hold_id]
    account.lots[lot_id].held -= amount
    hold.parts[lot_id] -= amount
    if not hold.parts[lot_id]:
        del hold.parts[lot_id]
    if not hold.parts:
        del account.holds[hold_id]


def _hold_released(account: Account, event: HoldReleased) -> None:
    for part in event.slices:
        _unpin(account, event.hold_id, part.lot_id, part.bytes)


def _transferred(account: Account, event: DataTransferred) -> None:
    for leg in event.legs:
        if event.hold_id is not None:
            _unpin(account, event.hold_id, leg.lot_id, leg.bytes)
            _count_carried_away(account, leg, leg.bytes)
        account.lots[leg.lot_id].remaining -= leg.bytes
        account.transferred += leg.bytes
    if event.hold_id is not None:
        _drop_closed(account)
    if account.quota is not None:
        _drop_empty(account)
    note_departure(account, event)


def _travels_as_carried(leg: Leg) -> bool:
    """Say whether a held part travels on the terms of a carry lot in which it never was."""
    return leg.source.type == "carry_over" and not leg.lot_id.startswith(f"{leg.kind}:")


def _count_carried_away(account: Account, leg: Leg, amount: int) -> None:
    """Count a held part that travels as a carry lot would: it is part of what its month carried."""
    if _travels_as_carried(leg):
        name = f"{leg.kind}:{leg.source.id}"
        account.carried_away[name] = account.carried_away.get(name, 0) + amount


def _received(account: Account, event: DataReceived) -> None:
    for terms in event.lots:
        _add_lot(account, terms, event.recorded_at)
        account.received += terms.granted
    note_arrival(account, event)
    if event.purpose == "funding":
        _top_up(account, event.recorded_at)


def _returned(account: Account, event: TransferReturned) -> None:
    for leg in event.legs:
        _come_back(account, leg, event.recorded_at)
        account.returned += leg.bytes


def _clawed_back(account: Account, event: DataClawedBack) -> None:
    for leg in event.legs:
        _come_back(account, leg, event.recorded_at)
        account.received += leg.bytes


def _come_back(account: Account, leg: Leg, at: int) -> None:
    """Let a leg come back to the lot that it was taken from, and be what it was there.

    A close's terms were for its journey: whether it is carried over is for a close to say again.
    """
    _count_carried_away(account, leg, -leg.bytes)
    if _travels_as_carried(leg) and leg.lot_id not in account.lots:
        window = account.remembered(leg.lot_id)
        if window is not None:
            account.lots[leg.lot_id] = reopened(window, leg.bytes, at, leg.source)
            return
    _put_back(account, leg, at)


def _put_back(account: Account, leg: Leg, at: int) -> None:
    lot = account.lots.get(leg.lot_id)
    if lot is None:
        account.lots[leg.lot_id] = open_lot(leg, at)
    else:
        lot.remaining += leg.bytes


def _add_lot(account: Account, terms: LotTerms, at: int) -> Lot:
    """Add a lot, or let one grow that is there (a carry lot, a month's fees)."""
    lot = account.lots.get(terms.lot_id)
    if lot is None:
        lot = account.lots[terms.lot_id] = open_lot(terms, at)
    else:
        lot.granted += terms.granted
        lot.remaining += terms.granted
    return lot


def _carried(account: Account, event: DataCarriedOver) -> None:
    carry = _add_lot(account, event.lot, event.recorded_at)
    known = {window.lot_id for window in carry.born_of}
    for part in event.slices:
        lot = account.lots[part.lot_id]
        if lot.lot_id not in known:
            carry.born_of.append(window_of(lot))
    _take(account, event.slices)
    _close(account, event.month, event.month_ends_at)


def _expired(account: Account, event: DataExpired) -> None:
    _take(account, event.slices)
    account.expired += sum(part.bytes for part in event.slices)
    if event.month is not None:
        _close(account, event.month, event.month_ends_at)


def _month_closed(account: Account, event: MonthClosed) -> None:
    _close(account, event.month, event.month_ends_at)


def _take(account: Account, slices: list[Slice]) -> None:
    for part in slices:
        account.lots[part.lot_id].remaining -= part.bytes


def _close(account: Account, month: str, ends_at: int) -> None:
    account.closed_through = max(account.closed_through or "", month)
    account.closed_until = max(account.closed_until, ends_at)
    if account.sponsored or account.capped:
        forget_periods(account, month)
    _drop_closed(account)


def _drop_closed(account: Account) -> None:
    """Forget lots that are empty and whose month is closed."""
    gone = [
        lot_id
        for lot_id, lot in account.lots.items()
        if lot.remaining == 0 and lot.expires_at <= account.closed_until
    ]
    for lot_id in gone:
        lot = account.lots.pop(lot_id)
        if lot.carries and account.remembered(lot_id) is None:
            account.emptied.append(window_of(lot))
    oldest = account.closed_until - REMEMBERED_MS
    if account.emptied and account.emptied[0].expires_at < oldest:
        account.emptied = [each for each in account.emptied if each.expires_at >= oldest]


_APPLY: dict[type[Event], Callable[[Account, Any], None]] = {
    DataEarned: _earned,
    DataSpent: _spent,
    DataHeld: _held,
    HoldReleased: _hold_released,
    DataTransferred: _transferred,
    PlanChanged: _plan_changed,
    AccountSuspended: _suspended,
    AccountResumed: _resumed,
    AccountClosed: _account_closed,
    DataAdjusted: _adjusted,
    UsageReversed: _usage_reversed,
    DataReceived: _received,
    TransferReturned: _returned,
    DataClawedBack: _clawed_back,
    DataCarriedOver: _carried,
    DataExpired: _expired,
    MonthClosed: _month_closed,
    ThresholdsSet: _thresholds_set,
    ThresholdCrossed: _threshold_crossed,
    **SPONSOR_EVENTS,
}
