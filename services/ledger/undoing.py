"""Commands that undo something are given it, as the log has it, before they are decided."""

from collections.abc import Callable

from services.ledger.domain.commands import (
    AnyCommand,
    ClawBack,
    ClawBackArrived,
    Reverse,
    ReverseUsage,
    Usage,
)
from shared.contracts.ledger import DataReceived, DataSpent, Event
from shared.ids import digest

UNDOING = (Reverse, ClawBack)

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
            return ReverseUsage(
                key=command.key, account=command.account, line=line, reason=command.reason,
                quota=None if line.sponsored is None else line.sponsored.quota,
            )  # fmt: skip
    return command


def _with_arrival(command: ClawBack, events_by_key: EventsByKey) -> ClawBack | ClawBackArrived:
    for event in events_by_key(digest("ledger", command.account, f"arrive:{command.transfer_id}")):
        if isinstance(event, DataReceived):
            return ClawBackArrived(
                key=command.key, account=command.account, arrived=event, reason=command.reason
            )
    return command
