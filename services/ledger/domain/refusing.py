"""Refusals that a saga waits for: told as events, on a stream of the command's own id."""

from services.ledger.domain.commands import (
    AnyCommand,
    AwardOnTerms,
    ClawBack,
    ClawBackArrived,
    Fund,
    Hold,
    Post,
    Transfer,
)
from services.ledger.domain.context import Context, Meta, facts
from shared.contracts.ledger import Event, HoldRefused, TransferRefused
from shared.errors import RefusedError


def refusal_event(
    command: AnyCommand, error: RefusedError, context: Context, meta: Meta, command_id: str
) -> Event | None:
    """Return the event that tells a refusal to who waits for it.

    None for a release: whatever ended its hold has been told already.
    """
    common = facts(meta, context, command.account, command.reason)
    told = common | {"code": error.code, "detail": error.detail}
    if isinstance(command, Hold):
        return HoldRefused(**told, hold_id=command_id)
    if isinstance(command, Transfer | Post):
        hold_id = command.hold_id if isinstance(command, Post) else None
        return TransferRefused(**told, transfer_id=command_id, to=command.to, hold_id=hold_id)
    to = _receiver(command)
    if to is not None:
        return TransferRefused(**told, transfer_id=command_id, to=to)
    return None


def _receiver(command: AnyCommand) -> str | None:
    """Return to whom a command of tasks would have moved bytes (of a clawback, where known)."""
    if isinstance(command, AwardOnTerms):
        return command.subscriber
    if isinstance(command, Fund):
        return command.campaign
    if isinstance(command, ClawBackArrived):
        return command.arrived.sender
    return "" if isinstance(command, ClawBack) else None
