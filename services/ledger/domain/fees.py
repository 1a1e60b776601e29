"""Fees: legs of a transfer that go on to the operator once the other legs have arrived."""

from collections.abc import Iterator

from msgspec import UnsetType
from msgspec.structs import replace

from services.ledger.domain.account import Account
from services.ledger.domain.commands import Fee, TakeFee
from services.ledger.domain.context import Context, Meta, facts
from shared.contracts.ledger import (
    FEES_ACCOUNT,
    AccountOpened,
    DataReceived,
    Event,
    Leg,
    LotTerms,
    Source,
)
from shared.errors import RefusedError

FEE = "fee"


def with_fee(amount: int, fee: Fee | UnsetType) -> tuple[int, int]:
    """Return what leaves the giver in all, and how much of that is the fee.

    Raises RefusedError fee_exceeds_gift where the receiver would get nothing.
    """
    if isinstance(fee, UnsetType):
        return amount, 0
    if fee.payer == "sender":
        return amount + fee.bytes, fee.bytes
    check_fee(amount, fee.bytes)
    return amount, fee.bytes


def check_fee(amount: int, fee_bytes: int) -> None:
    """Refuse a fee that leaves the receiver nothing. Raises RefusedError fee_exceeds_gift."""
    if fee_bytes >= amount:
        raise RefusedError(
            "fee_exceeds_gift",
            f"the fee of {fee_bytes} bytes leaves nothing of {amount}",
            fee_bytes=fee_bytes,
        )


def split_fee(legs: list[Leg], fee_bytes: int) -> list[Leg]:
    """Return the legs with those of the fee behind them: it takes the bytes that end first."""
    if not fee_bytes:
        return legs
    taken: list[Leg] = []
    kept: list[Leg] = []
    for leg in sorted(legs, key=lambda each: each.expires_at):
        part = min(leg.bytes, fee_bytes)
        fee_bytes -= part
        if part:
            taken.append(replace(leg, bytes=part, to=FEES_ACCOUNT))
        if leg.bytes > part:
            kept.append(replace(leg, bytes=leg.bytes - part))
    return kept + taken


def together(legs: list[Leg]) -> list[Leg]:
    """Return legs as they go back: what a fee took of a lot is one with the rest again."""
    back: list[Leg] = []
    for leg in legs:
        one = replace(leg, to=None)
        for place, other in enumerate(back):
            if replace(other, bytes=one.bytes) == one:
                back[place] = replace(other, bytes=other.bytes + one.bytes)
                break
        else:
            back.append(one)
    return back


def take_fee(
    account: Account | None, command: TakeFee, context: Context, meta: Meta
) -> Iterator[Event]:
    """Let a fee arrive; the operator's account is opened by its first one.

    A month's fees are one lot, so that the account stays small however many there are.
    """
    arrived = command.arrived
    common = facts(meta, context, command.account)
    if account is None:
        yield AccountOpened(**common, kind="operator")
    yield DataReceived(
        **common, transfer_id=arrived.transfer_id, sender=arrived.sender, purpose=FEE,
        lots=[_fee_lot(account, arrived.fee_legs, context)],
    )  # fmt: skip


def _fee_lot(account: Account | None, legs: list[Leg], context: Context) -> LotTerms:
    """Return what a fee adds to the month's lot, on the terms that the lot began with."""
    name = f"{FEE}:{context.month}"
    lot = account.lots.get(name) if account is not None else None
    return LotTerms(
        lot_id=name,
        kind=FEE,
        granted=sum(leg.bytes for leg in legs),
        valid_from=context.calendar.month_start(context.month),
        expires_at=lot.expires_at if lot is not None else context.purchase_ends_at,
        source=Source(type=FEE, id=context.month),
    )
