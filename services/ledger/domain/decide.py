"""From a command to events: one generator per command, each refusal before the first event.

The caller evolves the account after each event it takes, so that the next one sees it.
"""

from collections.abc import Callable, Iterator
from typing import Any

from services.ledger.domain import (
    clawback,
    closing,
    correcting,
    fees,
    holds,
    lifecycle,
    monitors,
    opening,
    quotas,
    transfers,
)
from services.ledger.domain import commands as asked
from services.ledger.domain.account import Account
from services.ledger.domain.context import Context, Meta
from shared.contracts.ledger import Event

Decision = Callable[[Account | None, Any, Context, Meta], Iterator[Event]]
NamingDecision = Callable[[Account | None, Any, Context, Meta, str], Iterator[Event]]

DECISIONS: dict[type, Decision] = {
    asked.OpenAccount: opening.open_account,
    asked.Suspend: lifecycle.suspend,
    asked.Resume: lifecycle.resume,
    asked.CloseAccount: lifecycle.close_account,
    asked.ChangePlan: lifecycle.change_plan,
    asked.Release: holds.release,
    asked.SetThresholds: monitors.set_thresholds,
    asked.CloseMonth: closing.close_month,
    asked.Close: closing.close_month,
    asked.Arrive: transfers.arrive,
    asked.TakeBack: transfers.take_back,
    asked.TakeFee: fees.take_fee,
    asked.Reverse: correcting.refuse_unknown,
    asked.ReverseUsage: correcting.reverse_usage,
    asked.ClawBack: clawback.refuse_unknown,
    asked.PutBack: clawback.put_back,
    asked.Refill: quotas.refill,
    asked.GiveBack: quotas.give_back,
    asked.NoteRecall: quotas.note_recall,
    asked.MarkQuota: quotas.mark,
    asked.EndCampaign: quotas.end_campaign,
}
# These name something new (a lot, a transfer, a hold) by the command's id.
NAMING_DECISIONS: dict[type, NamingDecision] = {
    asked.Buy: opening.buy,
    asked.Fund: transfers.fund,
    asked.Award: transfers.award,
    asked.AwardOnTerms: transfers.award_on_terms,
    asked.Transfer: transfers.transfer,
    asked.Hold: holds.hold,
    asked.Post: holds.post,
    asked.Adjust: correcting.adjust,
    asked.ClawBackArrived: clawback.claw_back,
}


def decide(
    account: Account | None,
    command: asked.AnyCommand,
    context: Context,
    meta: Meta,
    command_id: str = "",
) -> Iterator[Event]:
    """Yield the events of a command. Raises RefusedError before the first one.

    `command_id` is unique in the whole bank; transfers and purchases are named by it.
    """
    if isinstance(command, asked.Touch):
        return iter(())
    naming = NAMING_DECISIONS.get(type(command))
    if naming is not None:
        return naming(account, command, context, meta, command_id)
    return DECISIONS[type(command)](account, command, context, meta)
