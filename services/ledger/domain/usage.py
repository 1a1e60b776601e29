"""Charging usage: which lots pay for a record, in the order of use; never below zero."""

from services.ledger.domain.commands import Usage
from services.ledger.domain.context import Context
from services.ledger.domain.lots import Lot
from shared.contracts.ledger import ANY_SCOPE, Slice, Sponsored, UsageLine
from shared.errors import RefusedError

# A network element's clock may run ahead of the bank's by this much.
FUTURE_MS_MAX = 5 * 60 * 1000
LINES_PER_EVENT_MAX = 200


def check_time(usage: Usage, context: Context) -> None:
    """Refuse a record from the future. Raises RefusedError usage_in_future."""
    if usage.occurred_at > context.now + FUTURE_MS_MAX:
        raise RefusedError(
            "usage_in_future",
            "occurred_at lies more than 5 minutes after bank time",
            now=context.calendar.text(context.now),
        )


def charge(
    lots: list[Lot], usage: Usage, *, late: bool, sponsored: Sponsored | None = None
) -> UsageLine:
    """Decide which lots (given in the order of use) pay for a record; what none covers is unfunded.

    Open and lapsed lots pay if they were valid at `occurred_at`; after a month's close the carry
    lot born of such a lot does. `late` says that the record's month is over; what was `sponsored`
    of it nobody else pays.
    """
    at, left = usage.occurred_at, usage.bytes
    if sponsored is not None:
        left -= sponsored.bytes
    slices = []
    for lot in lots if left else ():
        free = lot.remaining - lot.held
        if free <= 0 or not lot.serves(at) or not (lot.scope == ANY_SCOPE or in_scope(lot, usage)):
            continue
        taken = min(free, left)
        slices.append(Slice(lot.lot_id, taken))
        left -= taken
        if not left:
            break
    return UsageLine(
        usage_id=usage.usage_id,
        bytes=usage.bytes,
        occurred_at=at,
        slices=slices,
        unfunded_bytes=left,
        rating_group=usage.rating_group,
        late=late,
        sponsored=sponsored,
    )


def lots_for(lots: list[Lot], usage: Usage, context: Context) -> list[Lot]:
    """Return those of the lots that may be used at this time of the day."""
    if all(lot.hours is None for lot in lots):
        return lots
    minute = context.calendar.minute_of(usage.occurred_at)
    return [lot for lot in lots if lot.hours is None or lot.hours.contains(minute)]


def in_scope(lot: Lot, usage: Usage) -> bool:
    """Say whether a directed lot may pay for a record's rating group."""
    return usage.rating_group is not None and usage.rating_group in lot.scope
