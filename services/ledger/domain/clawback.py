"""Clawback: a transfer is undone by a transfer the other way, of what is left of it."""

from collections.abc import Iterator

from msgspec.structs import replace

from services.ledger.domain import quotas
from services.ledger.domain.account import Account
from services.ledger.domain.closing import settle_closed
from services.ledger.domain.commands import ClawBack, ClawBackArrived, PutBack
from services.ledger.domain.context import Context, Meta, facts, known
from services.ledger.domain.lots import leg_of
from shared.contracts.ledger import DataClawedBack, DataTransferred, Event, Leg
from shared.errors import RefusedError

CLAWBACK = "clawback"
# Arrivals that made lots of their own. What only came back, or is a campaign's share in a
# partition, is one with what was there before.
CLAWED_BACK = ("gift", "red_packet", "award", "pack", "funding")


def refuse_unknown(
    account: Account | None, command: ClawBack, context: Context, meta: Meta
) -> Iterator[Event]:
    """Refuse to undo a transfer that has not arrived (what has comes as ClawBackArrived)."""
    del context, meta
    account = known(account, command.account)
    kinds = ", ".join(name.replace("_", " ") for name in CLAWED_BACK)
    raise RefusedError(
        "transfer_not_found",
        f"no transfer {command.transfer_id} has arrived at {account.account} as one of: {kinds}",
        404,
    )


def claw_back(
    account: Account | None, command: ClawBackArrived, context: Context, meta: Meta,
    transfer_id: str,
) -> Iterator[Event]:  # fmt: skip
    """Let what is free of the lots that arrived depart for the giver, whatever the date."""
    account, arrived = known(account, command.account), command.arrived
    there = [(account.lots.get(each.lot_id), each.granted) for each in arrived.lots]
    legs = [leg_of(lot, min(lot.free, came)) for lot, came in there if lot and lot.free]
    if not legs:
        raise RefusedError("nothing_left", "nothing is left of this transfer, or it is held")
    shortfall = sum(lot.granted for lot in arrived.lots) - sum(leg.bytes for leg in legs)
    yield DataTransferred(
        **facts(meta, context, account.account, command.reason), transfer_id=transfer_id,
        to=arrived.sender, purpose=CLAWBACK, legs=legs, partner=arrived.partner,
        campaign=arrived.campaign, undoes=arrived.transfer_id, shortfall_bytes=shortfall,
    )  # fmt: skip


def put_back(
    account: Account | None, command: PutBack, context: Context, meta: Meta
) -> Iterator[Event]:
    """Restore the slices that were clawed back; to closed lots, as their close would have."""
    account = known(account, command.account)
    moved, departed = command.transfer, command.departed
    yield DataClawedBack(
        **facts(meta, context, account.account, moved.reason),
        transfer_id=moved.transfer_id, undoes=departed.transfer_id, sender=moved.account,
        purpose=departed.purpose, legs=[_origin(leg, departed) for leg in moved.legs],
        shortfall_bytes=moved.shortfall_bytes, partner=moved.partner, campaign=moved.campaign,
        undone_correlation_id=departed.correlation_id,
    )  # fmt: skip
    yield from settle_closed(account, context, meta)
    if account.kind == "campaign":
        yield from quotas.go_on(account, context, meta)


def _origin(leg: Leg, departed: DataTransferred) -> Leg:
    """Return a part of an arrived lot as the leg that it came by: its lot's id ends with which."""
    index = int(leg.lot_id.rpartition(":")[2])
    return replace(departed.legs[index], bytes=leg.bytes)
