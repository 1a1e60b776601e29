"""Quotas of a campaign's escrow: refilled, recalled, exhausted; never more than was funded.

Every quota's partition pays from its own share, so that a record and its payment are one
transaction. A quota that is short asks the campaign. What the campaign cannot cover it recalls from
the other quotas; when they have answered, requests are served oldest first, with exactly what they
need. A quota that was served meanwhile is recalled again, and answers when the records that waited
for its share have been charged: they may never be sent once more, so it waits for some seconds.
When all others have nothing the first that cannot be covered gets the last bytes and may split a
record. The others go on waiting, as it may leave some; only when a recall has brought nothing more
the campaign is exhausted: so one record is split, not one in each partition, and nobody pays for a
record while a quota has bytes that nobody uses.
"""

from collections.abc import Iterator
from typing import Any

from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    EndCampaign,
    GiveBack,
    MarkQuota,
    NoteRecall,
    Refill,
)
from services.ledger.domain.context import Context, Meta, facts, known
from services.ledger.domain.lots import leg_of
from services.ledger.domain.quota_state import FOREVER, EscrowState, QuotaState
from services.ledger.domain.sponsor_state import CREDIT, GIVE_BACK, REFILL, REFUND
from shared.contracts.ledger import (
    CampaignEnding,
    CampaignExhausted,
    CampaignReplenished,
    DataTransferred,
    Event,
    Leg,
    QuotaMarked,
    QuotasRecalled,
    RecallAnswered,
    RecallDeferred,
    RecallNoted,
    RequestNoted,
)
from shared.ids import digest

# A refill is this part of what the campaign has, so that every quota gets one and few are needed.
SHARE = 8
# So often quotas are recalled for the same requests; then somebody has to be served.
MOST_RECALLS = 8


def escrow_of(account: Account) -> EscrowState:
    """Return what a campaign knows of its quotas; nothing yet without any."""
    return account.escrow or EscrowState()


def spendable(account: Account, now: int) -> int:
    """Return the bytes that an escrow or quota can pay now."""
    return sum(lot.free for lot in account.lots.values() if lot.valid_from <= now < lot.expires_at)


def take(account: Account, amount: int, context: Context) -> list[Leg]:
    """Choose legs of at most so many bytes, in the order of use."""
    legs, left = [], amount
    usable = [
        lot for lot in account.lots.values()
        if lot.free > 0 and lot.valid_from <= context.now < lot.expires_at
    ]  # fmt: skip
    for lot in context.rules.in_order(usable):
        taken = min(lot.free, left)
        if taken:
            legs.append(leg_of(lot, taken))
            left -= taken
    return legs


def refill(
    account: Account | None, command: Refill, context: Context, meta: Meta
) -> Iterator[Event]:
    """Answer a quota's request: a transfer, or a note that it waits, or that nothing is left.

    One that was made before the last refill had come is not answered: the quota asks again.
    """
    account = known(account, command.account)
    escrow = escrow_of(account)
    if command.refills < escrow.refills.get(command.quota, 0):
        return
    if not _pays(account) or escrow.exhausted_until > context.now:
        if command.bytes:
            yield _exhausted(account, [command.quota], context, meta)
        return
    if not command.bytes:
        share = _have(account, escrow, context) // SHARE
        if share and not escrow.waiting:
            yield _sent(account, command.quota, command.request_id, share, context, meta)
        return
    yield RequestNoted(
        **facts(meta, context, account.account), quota=command.quota,
        request_id=command.request_id, bytes=command.bytes,
    )  # fmt: skip
    yield from serve(account, context, meta)


def _pays(account: Account) -> bool:
    """Say whether a campaign sends bytes to its quotas at all."""
    return account.status == "active" and not escrow_of(account).ending


def serve(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Serve waiting requests, oldest first; recall the other quotas where they cannot be."""
    while (escrow := escrow_of(account)).waiting and not escrow.awaited:
        first, have = escrow.waiting[0], _have(account, escrow, context)
        if have >= first.bytes:
            # After a recall the last bytes are shared out: nobody gets more than it needs.
            share = first.bytes if escrow.recalls else max(first.bytes, have // SHARE)
            yield _sent(account, first.quota, first.request_id, share, context, meta)
            continue
        others = _to_recall(escrow, first.quota)
        if others:
            yield QuotasRecalled(
                **facts(meta, context, account.account), round=escrow.round + 1, quotas=others
            )
        elif have:
            yield _sent(account, first.quota, first.request_id, have, context, meta)
            yield _exhausted(account, [first.quota], context, meta, last=True)
        else:
            quotas = sorted({*escrow.out, *(each.quota for each in escrow.waiting)})
            yield _exhausted(account, quotas, context, meta)


def _to_recall(escrow: EscrowState, requester: str) -> list[str]:
    """Return the other quotas that may have bytes: not recalled, or served after that."""
    if escrow.recalls >= MOST_RECALLS:
        return []
    return sorted(
        quota for quota, out in escrow.out.items()
        if out > 0 and quota != requester and quota not in escrow.asked_back
    )  # fmt: skip


def _have(account: Account, escrow: EscrowState, context: Context) -> int:
    """Return what may be sent out now: what is there, within the day's cap."""
    have = spendable(account, context.now)
    cap = context.day_cap(account.account)
    if cap is None:
        return have
    sent = escrow.sent_bytes if escrow.sent_day == context.day else 0
    return max(0, min(have, cap - sent))


def _sent(
    account: Account, quota: str, request_id: str, amount: int, context: Context, meta: Meta
) -> DataTransferred:
    capped = context.day_cap(account.account) is not None
    return DataTransferred(
        **facts(meta, context, account.account), transfer_id=digest("refill", request_id).hex(),
        to=quota, purpose=REFILL, legs=take(account, amount, context), partner=account.partner,
        campaign=account.account, day=context.day if capped else None,
    )  # fmt: skip


def _exhausted(
    account: Account, quotas: list[str], context: Context, meta: Meta, *, last: bool = False
) -> CampaignExhausted:  # fmt: skip
    # What is left that may not be sent out today can be tomorrow.
    today = _pays(account) and spendable(account, context.now) > 0
    return CampaignExhausted(
        **facts(meta, context, account.account), quotas=quotas, last=last,
        until=context.calendar.day_end(context.now) if today else None,
    )  # fmt: skip


def give_back(
    account: Account | None, command: GiveBack, context: Context, meta: Meta
) -> Iterator[Event]:
    """Let all that a quota has left depart for its campaign, or say that there is nothing.

    What records still wait for is not given back yet, unless the recall is final.
    """
    account = known(account, command.account)
    quota = quota_of_account(account)
    if not command.final and _is_waited_for(account, quota, context):
        yield RecallDeferred(
            **facts(meta, context, account.account), round=command.round, until=quota.kept_until
        )
        return
    yield _answer(account, quota, command.round, context, meta)


def _is_waited_for(account: Account, quota: QuotaState, context: Context) -> bool:
    """Say whether records that were put off may still come for what a quota has.

    Where they have come and it was too little, it waits for more: others may use it first.
    """
    charged = account.spent - quota.spent_before
    return (
        not quota.asked and context.now < quota.kept_until and charged < quota.needed
        and spendable(account, context.now) > 0
    )  # fmt: skip


def _answer(
    account: Account, quota: QuotaState, recall: int, context: Context, meta: Meta
) -> Event:
    legs = take(account, FOREVER, context)
    if legs:
        return returned(account, legs, recall, context, meta)
    return RecallAnswered(
        **facts(meta, context, account.account), campaign=quota.campaign, round=recall
    )


def answer_deferred(account: Account, context: Context, meta: Meta) -> Event | None:
    """Return the answer to a recall that was deferred, None where it has to be waited for."""
    quota = account.quota
    if quota is None or quota.recall is None or _is_waited_for(account, quota, context):
        return None
    return _answer(account, quota, quota.recall, context, meta)


def give_back_reversed(
    account: Account, usage_id: str, context: Context, meta: Meta
) -> DataTransferred | None:
    """Return the departure of what a reversal brought to a quota whose campaign's offer has ended.

    Nobody would recall it. What was charged on credit was never the campaign's: it stays.
    """
    quota = quota_of_account(account)
    if context.is_sponsoring(quota.campaign):
        return None
    found = take(account, FOREVER, context)
    legs = [leg for leg in found if account.lots[leg.lot_id].kind != CREDIT]
    return returned(account, legs, 0, context, meta, usage_id) if legs else None


def returned(
    account: Account, legs: list[Leg], recall: int, context: Context, meta: Meta, after: str = ""
) -> DataTransferred:
    """Return the departure of a quota's bytes for its campaign; `after` a record's reversal."""
    quota = quota_of_account(account)
    told = [account.account, str(quota.requests), str(recall), quota.day or ""]
    name = digest("give-back", *told, *([after] if after else []))
    return DataTransferred(
        **facts(meta, context, account.account), transfer_id=name.hex(), to=quota.campaign,
        purpose=GIVE_BACK, legs=legs, partner=quota.partner, campaign=quota.campaign,
        day=quota.day, recall=recall,
    )  # fmt: skip


def note_recall(
    account: Account | None, command: NoteRecall, context: Context, meta: Meta
) -> Iterator[Event]:
    """Note that a recalled quota had nothing left, and go on once all have answered."""
    account = known(account, command.account)
    yield RecallNoted(
        **facts(meta, context, account.account), quota=command.quota, round=command.round
    )
    yield from go_on(account, context, meta)


def go_on(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Serve who waits, or end: whatever a campaign can do now that something has arrived."""
    escrow = escrow_of(account)
    if account.status == "closed":
        return
    if escrow.ending:
        yield from _refund(account, context, meta)
        return
    if account.status == "suspended":
        return
    if escrow.told and _have(account, escrow, context):
        yield CampaignReplenished(**facts(meta, context, account.account), quotas=escrow.told)
    yield from serve(account, context, meta)


def suspend(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Call back what a suspended campaign's quotas have; nobody who waits gets anything now."""
    escrow = escrow_of(account)
    if escrow.ending:
        return
    yield from _call_back(escrow, facts(meta, context, account.account))


def _call_back(escrow: EscrowState, common: dict[str, Any]) -> Iterator[Event]:
    quotas = sorted(quota for quota, out in escrow.out.items() if out > 0)
    if escrow.waiting:
        waiting = [each.quota for each in escrow.waiting]
        yield CampaignExhausted(**common, quotas=waiting)
    if quotas:
        yield QuotasRecalled(**common, round=escrow.round + 1, quotas=quotas, final=True)


def end_campaign(
    account: Account | None, command: EndCampaign, context: Context, meta: Meta
) -> Iterator[Event]:
    """Stop paying: recall every quota; once all have answered the rest goes to the partner."""
    account = known(account, command.account)
    escrow = escrow_of(account)
    if escrow.ending:
        return
    common = facts(meta, context, account.account, command.reason)
    yield CampaignEnding(**common, partner=account.partner or "")
    yield from _call_back(escrow, common)
    yield from _refund(account, context, meta)


def _refund(account: Account, context: Context, meta: Meta) -> Iterator[Event]:
    """Send what is there to the partner once no quota owes an answer; also what comes later."""
    escrow = escrow_of(account)
    legs = [] if escrow.awaited else take(account, FOREVER, context)
    if not legs:
        return
    name = digest("refund", account.account, str(escrow.refunds))
    yield DataTransferred(
        **facts(meta, context, account.account), transfer_id=name.hex(),
        to=account.partner or "", purpose=REFUND, legs=legs, partner=account.partner,
        campaign=account.account,
    )  # fmt: skip


def mark(
    account: Account | None, command: MarkQuota, context: Context, meta: Meta
) -> Iterator[Event]:
    """Let a quota know that its campaign is exhausted, or is not any more."""
    account = known(account, command.account)
    quota = quota_of_account(account)
    if quota.exhausted_until != command.exhausted_until or quota.asked is not None:
        yield QuotaMarked(
            **facts(meta, context, account.account), campaign=quota.campaign,
            exhausted_until=command.exhausted_until,
        )  # fmt: skip


def quota_of_account(account: Account) -> QuotaState:
    """Return what a quota's account knows of its campaign."""
    assert account.quota is not None
    return account.quota
