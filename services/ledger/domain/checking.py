"""What a gift would take and bring if it was made now: decided on copies, nothing is stored."""

from itertools import chain
from typing import Any

from msgspec.structs import replace

from services.ledger.domain.account import Account
from services.ledger.domain.commands import Transfer
from services.ledger.domain.context import Context, Meta
from services.ledger.domain.evolving import evolve
from services.ledger.domain.holds import time_out_due
from services.ledger.domain.opening import grant_due
from services.ledger.domain.transfers import arriving_lots, giftable, transfer
from shared.contracts.ledger import DataTransferred, LotTerms
from shared.errors import RefusedError

NOBODY = Meta(actor="ledger")


def up_to_date(account: Account, context: Context) -> Account:
    """Return the account after what a command would do first; it is changed, hand in a copy."""
    due = chain(
        grant_due(account, context.month, context, NOBODY), time_out_due(account, context, NOBODY)
    )
    for event in due:
        evolve(account, event)
    return account


def facts_of(account: Account, context: Context) -> dict[str, Any]:
    """Return what decides whether somebody may give or be given; instants in milliseconds.

    `opened_at` is the first instant of the month from which the account is active; `last_used_at`
    is 0 where it never used any data.
    """
    plan = context.plan(account.plan_in(context.month))
    since = account.active_from
    return {
        "account": account.account, "kind": account.kind, "status": account.status,
        "plan": account.plan_in(context.month),
        "plan_bytes": 0 if plan is None else plan.bytes_per_month,
        "opened_at": account.opened_at if since is None else context.calendar.month_start(since),
        "last_used_at": account.last_used_at,
        "available_bytes": account.available(context.now),
        "giftable_bytes": giftable(account, context.now),
        "received_bytes": _received(account, context.now),
    }  # fmt: skip


def _received(account: Account, now: int) -> int:
    """Return the bytes that can be used now and were a gift or a share of a red packet."""
    return sum(
        lot.free
        for lot in account.lots.values()
        if lot.kind in ("gift", "red_packet") and lot.valid_from <= now < lot.expires_at
    )


def check_gift(
    giver: Account | None, receiver: Account | None, command: Transfer, purpose: str,
    context: Context,
) -> dict[str, Any]:  # fmt: skip
    """Return which lots a gift would take, how its parts would arrive, or why it is refused.

    Both accounts are up to date. Without a receiver the terms are a newcomer's.
    """
    answer: dict[str, Any] = {"legs": [], "fee_bytes": 0, "code": None, "detail": None, "extra": {}}
    try:
        moved = next(transfer(giver, command, context, NOBODY, ""))
    except RefusedError as error:
        return answer | {"code": error.code, "detail": error.detail, "extra": error.extra}
    assert isinstance(moved, DataTransferred)
    lots = arriving_lots(receiver, replace(moved, purpose=purpose), context)
    given = [leg for leg in moved.legs if leg.to is None]
    fee = sum(leg.bytes for leg in moved.legs if leg.to is not None)
    legs = [
        {
            "lot_id": leg.lot_id, "kind": leg.kind, "bytes": leg.bytes,
            "expires_at": leg.expires_at, **_arrives(lot),
        }
        for leg, lot in zip(given, lots, strict=True)
    ]  # fmt: skip
    return answer | {"legs": legs, "fee_bytes": fee}


def _arrives(lot: LotTerms) -> dict[str, int]:
    return {"arrives_from": lot.valid_from, "arrives_until": lot.expires_at}
