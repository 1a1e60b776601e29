"""What campaigns pay of a batch's usage: from their quotas in this partition, before the user does.

A record and what a campaign pays of it are one transaction of one partition. A quota that is short
while its campaign is not exhausted puts the record off (`quota_refilling`): nothing of it is
stored, and the quota asks for more at the end of the batch.
"""

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from services.ledger.desk import Desk
from services.ledger.domain.account import Account
from services.ledger.domain.commands import ReverseUsage, Usage
from services.ledger.domain.context import HOUSEKEEPING, Context, Meta, facts
from services.ledger.domain.evolving import spend_line, spend_nothing_kept
from services.ledger.domain.lots import Lot, leg_of, open_lot
from services.ledger.domain.offers import OfferBook, Room, covers
from services.ledger.domain.quotas import quota_of_account, returned, spendable, take
from services.ledger.domain.sponsor_state import CREDIT
from services.ledger.domain.usage import LINES_PER_EVENT_MAX
from services.ledger.outcomes import RETRY
from shared.calendar import add_months
from shared.contracts.ledger import (
    AccountOpened,
    Leg,
    LotTerms,
    RefillRequested,
    Slice,
    Source,
    Sponsored,
    SponsorshipCapped,
    UsageLine,
    UsageReversed,
)
from shared.contracts.offers import Offer
from shared.errors import RefusedError
from shared.ids import quota_of

if TYPE_CHECKING:
    from services.ledger.batch import Batch

Members = AbstractSet[tuple[str, str]]


class Paid(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a record that an offer matches."""

    sponsored: Sponsored | None
    capped: SponsorshipCapped | None
    rest_to_user: bool = True


class Sponsors:
    """The offers of a partition, as one batch sees them."""

    def __init__(self, book: OfferBook, members: Members, partition: int) -> None:
        self.book = book
        self._members = members
        self._partition = partition
        # What records that were put off lack, by quota.
        self._short: dict[str, int] = {}
        # The quota of each campaign that has paid in this batch.
        self._quotas: dict[str, Desk] = {}

    def grouped(self, usage: Usage) -> Usage:
        """Return a record with the rating group of its host, where it has none."""
        group = self.book.rating_group(usage)
        return usage if group == usage.rating_group else replace(usage, rating_group=group)

    def pay(self, batch: "Batch", account: Account, usage: Usage, meta: Meta) -> Paid | None:
        """Let the first offer that can pay (a part of) a record pay it; None: none matches.

        Raises RefusedError quota_refilling, sponsorship_blocked.
        """
        found: Paid | None = None
        for offer in self.book.paying(usage.rating_group, usage.host):
            if not covers(offer, usage, batch.context.calendar):
                continue
            if offer.listed and (offer.campaign, usage.account) not in self._members:
                continue
            paid = self._pay(batch, offer, account, usage, meta)
            if paid.sponsored is not None or not paid.rest_to_user:
                return paid
            found = found or paid
        return found

    def _pay(
        self, batch: "Batch", offer: Offer, account: Account, usage: Usage, meta: Meta
    ) -> Paid:
        room = Room(offer, account, usage, batch.context.calendar)
        sponsored: Sponsored | None = None
        if room.free:
            desk = self._quotas.get(offer.campaign) or self._quota(batch, offer)
            if desk.line_meta is not meta or len(desk.lines) == LINES_PER_EVENT_MAX:
                batch.make_room(desk, meta)
            on_credit = offer.budget == "unlimited"
            amount = room.free if on_credit else self._amount(batch, desk, offer, room)
            if amount:
                sponsored = _charge(batch, desk, offer, usage, amount, room.counted)
        rest = usage.bytes - (0 if sponsored is None else sponsored.bytes)
        if not rest:
            return Paid(sponsored, None, rest_to_user=False)
        blocks = offer.at_cap == "block"
        if blocks and sponsored is None:
            raise RefusedError(
                "sponsorship_blocked",
                f"{offer.campaign} pays no more of this traffic, and lets none of it be used",
                campaign=offer.campaign,
            )
        return Paid(sponsored, _notice(batch, offer, account, usage, room), not blocks)

    def _amount(self, batch: "Batch", desk: Desk, offer: Offer, room: Room) -> int:
        """Return how much the quota pays of what the subscriber's caps leave.

        Raises RefusedError quota_refilling.
        """
        state = desk.state
        assert state is not None
        now, quota = batch.context.now, quota_of_account(state)
        if offer.caps.per_day_bytes is not None and quota.day not in (None, batch.context.day):
            self._return_rest(batch, desk)
        have = _have(desk, state, batch.context)
        if have >= room.free:
            return room.free
        if quota.exhausted_until > now:
            room.cap, room.period = "budget", batch.context.month
            return have
        name = state.account
        self._short[name] = self._short.get(name, 0) + room.free
        raise RefusedError(RETRY, "the campaign's share is being refilled: send the record again")

    def _return_rest(self, batch: "Batch", desk: Desk) -> None:
        """Give back what is left of another day's share."""
        state = desk.state
        assert state is not None
        batch.flush(desk)
        legs = take(state, spendable(state, batch.context.now), batch.context)
        if legs:
            batch.append(desk, returned(state, legs, 0, batch.context, HOUSEKEEPING))

    def _quota(self, batch: "Batch", offer: Offer) -> Desk:
        """Return the desk of an offer's quota here; its first use opens the account."""
        desk = batch.desk(quota_of(offer.campaign, self._partition))
        if desk.state is None:
            opened = AccountOpened(
                **facts(HOUSEKEEPING, batch.context, desk.account_id),
                kind="quota",
                partner=offer.partner,
            )
            batch.append(desk, opened)
        desk.offer = offer
        self._quotas[offer.campaign] = desk
        return desk

    def ask_for_more(self, batch: "Batch") -> None:
        """Let quotas that were short, or are getting low, ask their campaigns."""
        for desk in list(batch.desks.values()):
            if desk.offer is None or desk.offer.budget == "unlimited" or desk.state is None:
                continue
            quota, now = quota_of_account(desk.state), batch.context.now
            have = spendable(desk.state, now)
            lacks = max(0, self._short.get(desk.account_id, 0) - have)
            low = quota.asked is None and have < quota.last_refill // 2
            asks = lacks > (quota.asked or 0) if lacks else low
            if not asks or quota.exhausted_until > now:
                continue
            batch.flush(desk)
            batch.append(
                desk,
                RefillRequested(
                    **facts(HOUSEKEEPING, batch.context, desk.account_id),
                    campaign=quota.campaign, bytes=lacks,
                    request_id=f"{desk.account_id}:{quota.requests + 1}", refills=quota.refills,
                ),
            )  # fmt: skip


def _have(desk: Desk, state: Account, context: Context) -> int:
    """Return what a quota can pay now, and see that its lots are in the order of use."""
    if desk.order is None:
        desk.order = context.rules.in_order(list(state.lots.values()))
        desk.have = spendable(state, context.now)
    return desk.have


def _charge(
    batch: "Batch", desk: Desk, offer: Offer, usage: Usage, amount: int, counted: list[str]
) -> Sponsored:
    """Take a part of a record out of the quota's lots; on credit what they lack."""
    state, context = desk.state, batch.context
    assert state is not None
    # Nothing there: what is created on credit is used up at once, so no lot has to be kept.
    all_new = not state.lots and offer.budget == "unlimited"
    if all_new:
        slices = [Slice(credit_lot_id(context), amount)]
        state.earned += amount
        desk.credit += amount
    else:
        slices = _drawn(desk, state, offer, amount, context)
    line = UsageLine(
        usage_id=usage.usage_id, bytes=amount, occurred_at=usage.occurred_at, slices=slices,
        rating_group=usage.rating_group, subscriber=usage.account,
    )  # fmt: skip
    if all_new:
        spend_nothing_kept(state, line)
    else:
        spend_line(state, line)
        desk.have -= amount
    desk.lines.append(line)
    return Sponsored(
        campaign=offer.campaign, quota=desk.account_id, bytes=amount, offer_version=offer.version,
        slices=slices, counted=counted,
    )  # fmt: skip


def _drawn(desk: Desk, state: Account, offer: Offer, amount: int, context: Context) -> list[Slice]:
    """Return which of a quota's lots pay; on credit with what they lack."""
    if offer.budget == "unlimited":
        _borrow(desk, state, amount, offer, context)
    _have(desk, state, context)
    return _slices(desk.order or [], amount, context.now)


def _slices(lots: list[Lot], amount: int, now: int) -> list[Slice]:
    slices, left = [], amount
    for lot in lots:
        if lot.remaining <= 0 or not lot.valid_from <= now < lot.expires_at:
            continue
        taken = min(lot.remaining, left)
        slices.append(Slice(lot.lot_id, taken))
        left -= taken
        if not left:
            break
    return slices


def _borrow(desk: Desk, state: Account, amount: int, offer: Offer, context: Context) -> None:
    """Create what the quota lacks for a charge; its event is written with the lines."""
    lacks = amount - _have(desk, state, context)
    if lacks <= 0:
        return
    if desk.borrowed is None or desk.borrowed.lot_id not in state.lots:
        _open_credit(desk, state, offer, context)
    lot = desk.borrowed
    assert lot is not None
    lot.granted += lacks
    lot.remaining += lacks
    state.earned += lacks
    desk.have += lacks
    desk.credit += lacks


def _open_credit(desk: Desk, state: Account, offer: Offer, context: Context) -> None:
    """Put the month's lot for charges on credit among the quota's lots, at first or again."""
    if desk.borrowed is None:
        terms = credit_lot(0, offer, context)
        desk.borrowed = state.lots.get(terms.lot_id) or Lot(
            lot_id=terms.lot_id, kind=terms.kind, granted=0, remaining=0,
            valid_from=terms.valid_from, expires_at=terms.expires_at, granted_at=context.now,
            source=terms.source,
        )  # fmt: skip
    lot = desk.borrowed
    if lot.lot_id not in state.lots:
        # It was used up and forgotten: it begins again, as the event will tell.
        lot.granted = 0
        state.lots[lot.lot_id] = lot
        if all(each is not lot for each in desk.order or ()):
            desk.order = [*(desk.order or []), lot]


def credit_lot_id(context: Context) -> str:
    """Return the name of the month's lot on credit."""
    return f"{CREDIT}:{context.month}"


def credit_lot(amount: int, offer: Offer, context: Context) -> LotTerms:
    """Return what is created on credit: one lot a month, which grows with each charge."""
    return LotTerms(
        lot_id=credit_lot_id(context), kind=CREDIT, granted=amount,
        valid_from=context.calendar.month_start(context.month), expires_at=context.purchase_ends_at,
        source=Source(type="credit", partner=offer.partner, campaign=offer.campaign),
    )  # fmt: skip


def _notice(
    batch: "Batch", offer: Offer, account: Account, usage: Usage, room: Room
) -> SponsorshipCapped | None:
    """Return what the subscriber is told when a record falls to it, once per cap and period."""
    if f"{offer.campaign}|{room.cap}|{room.period}" in account.capped:
        return None
    return SponsorshipCapped(
        **facts(HOUSEKEEPING, batch.context, usage.account), campaign=offer.campaign,
        cap=room.cap, period=room.period, offer_version=offer.version,
    )  # fmt: skip


def reversed_quota(
    quota: Account, command: ReverseUsage, context: Context, meta: Meta
) -> UsageReversed:
    """Return what a reversal does to the quota that paid: the same slices come back."""
    line, sponsored = command.line, command.line.sponsored
    assert sponsored is not None
    legs = [_leg_back(quota, part, command, context) for part in reversed(sponsored.slices)]
    return UsageReversed(
        **facts(meta, context, quota.account, command.reason), usage_id=line.usage_id, legs=legs,
        subscriber=command.account, rating_group=line.rating_group, partner=quota.partner,
        campaign=sponsored.campaign,
    )  # fmt: skip


def _leg_back(quota: Account, part: Slice, command: ReverseUsage, context: Context) -> Leg:
    """Return a slice as a leg to the lot that paid it, which lives as long as it did before."""
    lot = quota.lots.get(part.lot_id)
    if lot is None:
        came = next((each for each in command.paid_from if each.lot_id == part.lot_id), None)
        lot = open_lot(came or _credited(part, command, context), context.now)
    return leg_of(lot, part.bytes)


def _credited(part: Slice, command: ReverseUsage, context: Context) -> LotTerms:
    """Return the terms of a lot of charges on credit, of which the quota has forgotten all."""
    kind, _, month = part.lot_id.partition(":")
    ends_at = context.calendar.month_end(add_months(month, context.rules.purchase_valid_months))
    return LotTerms(
        lot_id=part.lot_id, kind=kind, granted=0, expires_at=ends_at,
        valid_from=context.calendar.month_start(month),
        source=Source(type="reversal", id=command.line.usage_id),
    )  # fmt: skip
