"""Transfers between accounts: departure, arrival or refusal, return; gifts, funding, awards."""

from collections.abc import Iterator

from msgspec.structs import replace

from services.ledger.domain import quotas
from services.ledger.domain.account import Account
from services.ledger.domain.closing import settle_closed
from services.ledger.domain.commands import (
    Arrive,
    Award,
    AwardOnTerms,
    Fund,
    TakeBack,
    Transfer,
)
from services.ledger.domain.context import Context, Meta, active, facts, known
from services.ledger.domain.fees import split_fee, together, with_fee
from services.ledger.domain.lots import Lot, leg_of
from shared.contracts.ledger import (
    ANY_SCOPE,
    ArrivalRefused,
    DataExpired,
    DataReceived,
    DataTransferred,
    Event,
    Leg,
    LotTerms,
    Slice,
    Source,
    TransferReturned,
)
from shared.contracts.offers import RewardTerms
from shared.errors import RefusedError

DAY_MS = 86_400_000
ARRIVING_KIND = {"gift": "gift", "red_packet": "red_packet", "award": "award"}
RECEIVER_KIND = {
    "gift": "subscriber",
    "red_packet": "subscriber",
    "award": "subscriber",
    "pack": "subscriber",
    "funding": "campaign",
    "refill": "quota",
    "give_back": "campaign",
    "refund": "partner",
}
# What comes back goes into the lot that it was taken from.
BACK = ("give_back", "refund")


def transfer(
    account: Account | None, command: Transfer, context: Context, meta: Meta, transfer_id: str
) -> Iterator[Event]:
    """Let a subscriber's giftable bytes depart for another subscriber."""
    account = active(known(account, command.account))
    if command.to == command.account:
        raise RefusedError("same_account", "giver and receiver are the same")
    amount, fee_bytes = with_fee(command.bytes, command.fee)
    legs = split_fee(take_legs(account, amount, context), fee_bytes)
    yield DataTransferred(
        **facts(meta, context, account.account, command.reason),
        transfer_id=transfer_id, to=command.to, purpose="gift", legs=legs,
    )  # fmt: skip


def fund(
    account: Account | None, command: Fund, context: Context, meta: Meta, transfer_id: str
) -> Iterator[Event]:
    """Let a partner's bytes depart for the escrow of its campaign."""
    account = active(known(account, command.account))
    legs = take_legs(account, command.bytes, context)
    yield DataTransferred(
        **facts(meta, context, account.account, command.reason),
        transfer_id=transfer_id, to=command.campaign, purpose="funding", legs=legs,
        partner=account.account, campaign=command.campaign,
    )  # fmt: skip


def award(
    account: Account | None, command: Award, context: Context, meta: Meta, transfer_id: str
) -> Iterator[Event]:
    """Let a campaign's bytes depart for a subscriber."""
    account = active(known(account, command.account))
    legs = take_legs(account, command.bytes, context)
    yield DataTransferred(
        **facts(meta, context, account.account, command.reason),
        transfer_id=transfer_id, to=command.subscriber, purpose="award", legs=legs,
        partner=account.partner, campaign=account.account,
    )  # fmt: skip


def award_on_terms(
    account: Account | None, command: AwardOnTerms, context: Context, meta: Meta, transfer_id: str
) -> Iterator[Event]:
    """Let bytes of a campaign or partner depart for a subscriber, to arrive on given terms."""
    account = active(known(account, command.account))
    legs = take_legs(account, command.bytes, context)
    of_campaign = account.kind == "campaign"
    yield DataTransferred(
        **facts(meta, context, account.account, command.reason),
        transfer_id=transfer_id, to=command.subscriber,
        purpose="pack" if command.terms.kind == "pack" else "award", legs=legs,
        partner=account.partner if of_campaign else account.account,
        campaign=account.account if of_campaign else None, terms=command.terms,
    )  # fmt: skip


def giftable(account: Account, now: int) -> int:
    """Return the bytes that the account could give away now."""
    return sum(lot.free for lot in account.lots.values() if _can_leave(lot, now))


def take_legs(account: Account, amount: int, context: Context) -> list[Leg]:
    """Choose what to give, in the order of use. Raises RefusedError insufficient_data."""
    lots = [lot for lot in account.lots.values() if _can_leave(lot, context.now)]
    legs, left = [], amount
    for lot in context.rules.in_order(lots):
        taken = min(lot.free, left)
        legs.append(leg_of(lot, taken))
        left -= taken
        if not left:
            return legs
    raise RefusedError(
        "insufficient_data",
        f"{amount} bytes asked, {amount - left} can be given",
        available_bytes=amount - left,
    )


def _can_leave(lot: Lot, now: int) -> bool:
    return (
        lot.giftable
        and lot.scope == ANY_SCOPE
        and lot.free > 0
        and lot.valid_from <= now < lot.expires_at
    )


def arrive(
    account: Account | None, command: Arrive, context: Context, meta: Meta
) -> Iterator[Event]:
    """Answer a transfer once: it arrives, or its arrival is refused."""
    moved = command.transfer
    refusal = _refusal(account, moved)
    if refusal is not None:
        yield ArrivalRefused(
            **facts(meta, context, moved.account),
            transfer_id=moved.transfer_id, to=moved.to, code=refusal,
        )  # fmt: skip
        return
    lots = arriving_lots(account, moved, context)
    common = facts(meta, context, moved.to, moved.reason)
    yield DataReceived(
        **common, transfer_id=moved.transfer_id, sender=moved.account, purpose=moved.purpose,
        lots=lots, partner=moved.partner, campaign=moved.campaign,
        fee_legs=[leg for leg in moved.legs if leg.to is not None],
        day=moved.day, recall=moved.recall,
    )  # fmt: skip
    gone = [Slice(lot.lot_id, lot.granted) for lot in lots if lot.expires_at <= context.now]
    if gone:
        yield DataExpired(**common, slices=gone)
    if account is not None and moved.purpose in BACK:
        yield from settle_closed(account, context, meta)
    if account is not None and account.kind == "campaign":
        yield from quotas.go_on(account, context, meta)


def _refusal(account: Account | None, moved: DataTransferred) -> str | None:
    if account is None:
        return "account_not_found"
    if account.status == "closed" and moved.purpose not in BACK:
        return "account_closed"
    if account.kind != RECEIVER_KIND[moved.purpose]:
        return "account_kind"
    if moved.purpose == "funding" and account.partner != moved.account:
        return "campaign_of_other_partner"
    return None


def arriving_lots(
    account: Account | None, moved: DataTransferred, context: Context
) -> list[LotTerms]:
    """Return the lots that a transfer makes where it arrives; a fee is none of them."""
    lots = [_arriving(moved, index, leg) for index, leg in enumerate(moved.legs) if leg.to is None]
    if moved.terms is not None:
        return lots
    return [_on_arrival(account, lot, context) for lot in lots]


def _arriving(moved: DataTransferred, index: int, leg: Leg) -> LotTerms:
    kind = ARRIVING_KIND.get(moved.purpose, leg.kind)
    if moved.terms is not None:
        return _on_terms(moved, moved.terms, index, leg)
    lot = LotTerms(
        lot_id=f"{kind}:{moved.transfer_id}:{index}",
        kind=kind,
        granted=leg.bytes,
        valid_from=leg.valid_from,
        expires_at=leg.expires_at,
        scope=leg.scope,
        hours=leg.hours,
        giftable=moved.purpose == "funding",
        source=Source(
            type=moved.purpose, id=moved.transfer_id, partner=moved.partner, campaign=moved.campaign
        ),
        parent_lot=leg.lot_id,
    )
    if moved.purpose in BACK:
        return replace(lot, lot_id=leg.parent_lot or lot.lot_id, giftable=True, parent_lot=None)
    return lot


def _on_terms(moved: DataTransferred, terms: RewardTerms, index: int, leg: Leg) -> LotTerms:
    """Return the lot of an award on the terms that were promised with it."""
    return LotTerms(
        lot_id=f"{terms.kind}:{moved.transfer_id}:{index}",
        kind=terms.kind,
        granted=leg.bytes,
        valid_from=terms.valid_from,
        expires_at=terms.expires_at,
        scope=terms.scope,
        giftable=terms.giftable,
        carries=terms.carries,
        hours=terms.hours,
        source=Source(
            type=moved.purpose, id=moved.transfer_id, partner=moved.partner, campaign=moved.campaign
        ),
        parent_lot=leg.lot_id,
    )


def _on_arrival(account: Account | None, lot: LotTerms, context: Context) -> LotTerms:
    """Return an arriving lot on the terms that the rules give its kind."""
    rule = context.rules.arriving.get(lot.kind)  # type: ignore[call-overload]
    # What has expired on its way (a hold outlives its lots) arrives as that, and expires.
    if rule is None or rule.terms == "preserve" or lot.expires_at <= context.now:
        return lot
    now, calendar = context.now, context.calendar
    if rule.terms == "later_of_two":
        lots = account.lots.values() if account is not None else ()
        own = [one.expires_at for one in lots if one.kind == lot.kind]
        return replace(lot, expires_at=max(lot.expires_at, *own) if own else lot.expires_at)
    end = calendar.month_end(context.month)
    expires_at = end if rule.terms == "end_of_month" else now + rule.days * DAY_MS
    return replace(lot, valid_from=now, expires_at=expires_at)


def take_back(
    account: Account | None, command: TakeBack, context: Context, meta: Meta
) -> Iterator[Event]:
    """Restore the slices of a refused transfer; to closed lots, as their close would have."""
    account = known(account, command.account)
    moved = command.transfer
    yield TransferReturned(
        **facts(meta, context, account.account),
        transfer_id=moved.transfer_id, to=moved.to, purpose=moved.purpose, code=command.code,
        legs=together(moved.legs), partner=moved.partner, campaign=moved.campaign,
    )  # fmt: skip
    yield from settle_closed(account, context, meta)
    if account.kind == "campaign":
        yield from quotas.go_on(account, context, meta)
