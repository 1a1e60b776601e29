"""Commands that undo something are given it, as the log has it, before they are decided."""

from collections.abc import Callable

from services.ledger.domain.clawback import CLAWED_BACK
from services.ledger.domain.commands import (
    AnyCommand,
    ClawBack,
    ClawBackArrived,
    Reverse,
    ReverseUsage,
    Usage,
)
from shared.contracts.ledger import DataReceived, DataSpent, Event, LotTerms, Sponsored
from shared.ids import digest

UNDOING = (Reverse, ClawBack)

# Colons in the id of a lot that came by a transfer; one of a charge on credit has none but one.
PARTS_OF_ARRIVED = 2

EventsByKey = Callable[[bytes], list[Event]]


def resolved(command: AnyCommand | Usage, events_by_key: EventsByKey) -> AnyCommand | Usage:
    """Return a command with what it undoes; any other, and one without such a thing, unchanged.

    `events_by_key` gives the events that a key of the command's partition is bound to.
    """
    if isinstance(command, Reverse):
        return _with_record(command, events_by_key)
    if isinstance(command, ClawBack):
        return _with_arrival(command, events_by_key)
    return command


def _with_record(command: Reverse, events_by_key: EventsByKey) -> Reverse | ReverseUsage:
    for event in events_by_key(digest("usage", command.account, command.usage_id)):
        if isinstance(event, DataSpent):
            line = next(line for line in event.lines if line.usage_id == command.usage_id)
            sponsored = line.sponsored
            return ReverseUsage(
                key=command.key, account=command.account, line=line, reason=command.reason,
                quota=None if sponsored is None else sponsored.quota,
                paid_from=() if sponsored is None else _paid_from(sponsored, events_by_key),
            )  # fmt: skip
    return command


def _paid_from(sponsored: Sponsored, events_by_key: EventsByKey) -> tuple[LotTerms, ...]:
    """Return the lots that paid as they came: `kind:refill's transfer:leg` are their ids."""
    names = {part.lot_id for part in sponsored.slices}
    refills = {name.split(":")[1] for name in names if name.count(":") == PARTS_OF_ARRIVED}
    return tuple(
        lot
        for transfer_id in sorted(refills)
        for event in events_by_key(digest("ledger", sponsored.quota, f"arrive:{transfer_id}"))
        if isinstance(event, DataReceived)
        for lot in event.lots
        if lot.lot_id in names
    )


def _with_arrival(command: ClawBack, events_by_key: EventsByKey) -> ClawBack | ClawBackArrived:
    for event in events_by_key(digest("ledger", command.account, f"arrive:{command.transfer_id}")):
        if isinstance(event, DataReceived) and event.purpose in CLAWED_BACK:
            return ClawBackArrived(
                key=command.key, account=command.account, arrived=event, reason=command.reason
            )
    return command
