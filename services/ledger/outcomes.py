"""What the ledger answers to each command and usage record."""

from collections.abc import Callable
from typing import Any

import msgspec

from services.ledger.domain.commands import AnyCommand, Usage
from services.ledger.domain.context import Meta
from shared.calendar import Calendar
from shared.contracts.ledger import (
    AccountOpened,
    DataAdjusted,
    DataCarriedOver,
    DataEarned,
    DataExpired,
    DataHeld,
    DataReceived,
    DataSpent,
    DataTransferred,
    Event,
    HoldRefused,
    HoldReleased,
    PlanChanged,
    TransferRefused,
    UsageLine,
    UsageReversed,
)
from shared.errors import RefusedError

# Nothing is stored, and nothing is wrong: the same record will be charged soon.
RETRY = "quota_refilling"


class EventRef(msgspec.Struct, frozen=True):
    """An event that a command made: `account:version` and its type."""

    id: str
    type: str


class Outcome(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The durable outcome of one key: done or refused; `repeated` when it was bound before.

    `request_id` is that of the request that first did it.
    """

    key: str
    account: str
    status: str
    repeated: bool = False
    code: str | None = None
    detail: str | None = None
    extra: dict[str, Any] = {}
    events: list[EventRef] = []
    result: dict[str, Any] = {}
    request_id: str = ""


class UsageOutcome(msgspec.Struct, kw_only=True, gc=False):
    """The durable outcome of one usage record; small, there are many."""

    usage_id: str
    status: str
    repeated: bool = False
    spent_bytes: int = 0
    unfunded_bytes: int = 0
    sponsored_bytes: int = 0
    request_id: str = ""
    code: str | None = None
    detail: str | None = None
    extra: dict[str, Any] | None = None


def refused(what: AnyCommand | Usage, error: RefusedError, meta: Meta) -> Outcome | UsageOutcome:
    """Return the outcome of a refusal; its key stays free."""
    outcome: Outcome | UsageOutcome
    if isinstance(what, Usage):
        outcome = UsageOutcome(usage_id=what.usage_id, status="refused")
    else:
        outcome = Outcome(key=what.key, account=what.account, status="refused")
    if error.code == RETRY:
        outcome.status = "retry"
    outcome.code, outcome.detail, outcome.extra = error.code, error.detail, error.extra
    outcome.request_id = meta.correlation_id
    return outcome


def _lots(event: DataEarned) -> dict[str, Any]:
    earned = sum(lot.granted for lot in event.lots)
    return {"earned_bytes": earned, "lots": [lot.lot_id for lot in event.lots]}


def _departed(event: DataTransferred) -> dict[str, Any]:
    legs = [{"lot_id": leg.lot_id, "bytes": leg.bytes} for leg in event.legs]
    result: dict[str, Any] = {"transfer_id": event.transfer_id, "to": event.to, "legs": legs}
    if fee := sum(leg.bytes for leg in event.legs if leg.to is not None):
        result["fee_bytes"] = fee
    if event.undoes is not None:
        result |= {"undoes": event.undoes, "shortfall_bytes": event.shortfall_bytes}
    return result


def _adjusted(event: DataAdjusted) -> dict[str, Any]:
    taken = sum(part.bytes for part in event.slices)
    return {"adjusted_bytes": taken - sum(lot.granted for lot in event.lots)}


def _held(event: DataHeld, calendar: Calendar) -> dict[str, Any]:
    return {"hold_id": event.hold_id, "deadline": calendar.text(event.deadline)}


# What a caller wants to know of an event that its command made.
_RESULTS: dict[type[Event], Callable[[Any], dict[str, Any]]] = {
    AccountOpened: lambda event: {"kind": event.kind, "plan": event.plan},
    PlanChanged: lambda event: {"plan": event.plan, "from_month": event.from_month},
    DataEarned: _lots,
    DataTransferred: _departed,
    DataReceived: lambda event: {"transfer_id": event.transfer_id},
    UsageReversed: lambda event: {"restored_bytes": sum(leg.bytes for leg in event.legs)},
    DataAdjusted: _adjusted,
}


def result_of(events: list[Event], calendar: Calendar) -> dict[str, Any]:
    """Return what a caller wants to know of the events that its command made."""
    result: dict[str, Any] = {}
    carried = expired = 0
    for event in events:
        if isinstance(event, DataHeld):
            result.update(_held(event, calendar))
        elif type(event) in _RESULTS:
            result.update(_RESULTS[type(event)](event))
        elif isinstance(event, DataCarriedOver):
            carried += event.lot.granted
        elif isinstance(event, DataExpired):
            expired += sum(part.bytes for part in event.slices)
    if carried or expired:
        result.update(carried_bytes=carried, expired_bytes=expired)
    return result


def repeat_usage(what: Usage, event: DataSpent) -> UsageOutcome:
    """Return the first outcome of a usage record again, read from the event that charged it."""
    line = next(line for line in event.lines if line.usage_id == what.usage_id)
    return outcome_of(line, event.correlation_id, repeated=True)


def outcome_of(line: UsageLine, request_id: str, *, repeated: bool = False) -> UsageOutcome:
    """Return the outcome of a usage record that was charged."""
    sponsored = 0 if line.sponsored is None else line.sponsored.bytes
    return UsageOutcome(
        usage_id=line.usage_id, status="done", repeated=repeated, request_id=request_id,
        spent_bytes=line.bytes - line.unfunded_bytes - sponsored,
        unfunded_bytes=line.unfunded_bytes, sponsored_bytes=sponsored,
    )  # fmt: skip


def repeat_command(
    what: AnyCommand, events: list[Event], version: int, calendar: Calendar
) -> Outcome:
    """Return the first outcome of a command again, read from the events that it made."""
    first = events[0]
    if isinstance(first, HoldRefused | TransferRefused):
        return Outcome(
            key=what.key, account=what.account, status="refused", repeated=True, code=first.code,
            detail=first.detail, request_id=first.correlation_id,
        )  # fmt: skip
    refs = [EventRef(f"{what.account}:{version + n}", event.TYPE) for n, event in enumerate(events)]
    # A hold that ends with its account is told to who asked for the hold.
    asked = next((each for each in events if not isinstance(each, HoldReleased)), first)
    return Outcome(
        key=what.key, account=what.account, status="done", repeated=True, events=refs,
        result=result_of(events, calendar), request_id=asked.correlation_id,
    )  # fmt: skip
