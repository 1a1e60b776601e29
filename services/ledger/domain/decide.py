"""From a command to events: one generator per command, each refusal before the first event.

The caller evolves the account after each event it takes, so that the next one sees it.
"""

from collections.abc import Iterator

from services.ledger.domain import closing, holds, opening, transfers
from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    AnyCommand,
    Arrive,
    Award,
    Buy,
    CloseMonth,
    Fund,
    Hold,
    OpenAccount,
    Post,
    Release,
    TakeBack,
    Touch,
    Transfer,
)
from services.ledger.domain.context import Context, Meta
from shared.contracts.ledger import Event


def decide(  # noqa: C901, PLR0911 One case per command.
    account: Account | None,
    command: AnyCommand,
    context: Context,
    meta: Meta,
    command_id: str = "",
) -> Iterator[Event]:
    """Yield the events of a command. Raises RefusedError before the first one.

    `command_id` is unique in the whole bank; transfers and purchases are named by it.
    """
    match command:
        case OpenAccount():
            return opening.open_account(account, command, context, meta)
        case Buy():
            return opening.buy(account, command, context, meta, command_id)
        case Fund():
            return transfers.fund(account, command, context, meta, command_id)
        case Award():
            return transfers.award(account, command, context, meta, command_id)
        case Transfer():
            return transfers.transfer(account, command, context, meta, command_id)
        case Hold():
            return holds.hold(account, command, context, meta, command_id)
        case Post():
            return holds.post(account, command, context, meta, command_id)
        case Release():
            return holds.release(account, command, context, meta)
        case CloseMonth():
            return closing.close_month(account, command, context, meta)
        case Arrive():
            return transfers.arrive(account, command, context, meta)
        case TakeBack():
            return transfers.take_back(account, command, context, meta)
        case Touch():
            return iter(())
