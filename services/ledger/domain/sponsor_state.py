"""How events of sponsored traffic change an account: sums and positions, no rules."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from services.ledger.domain.quota_state import FOREVER, EscrowState, QuotaState, Waiting
from shared.calendar import add_months
from shared.contracts.ledger import (
    CampaignEnding,
    CampaignExhausted,
    CampaignReplenished,
    DataReceived,
    DataTransferred,
    Event,
    QuotaMarked,
    QuotasRecalled,
    RecallAnswered,
    RecallDeferred,
    RecallNoted,
    RefillRequested,
    RequestNoted,
    Sponsored,
    SponsorshipCapped,
)

REFILL = "refill"
GIVE_BACK = "give_back"
REFUND = "refund"
# What lots are of that a quota made as it charged its campaign on credit.
CREDIT = "charge"
# So long a refill is kept for the records that wait for it: their senders try again within seconds.
KEPT_MS = 5_000
# Late usage of a month that is closed longer than this counts against no cap any more.
REMEMBERED_MONTHS = 3


def note_sponsored(account: Any, sponsored: Sponsored, change: int) -> None:
    """Count what a campaign paid for a subscriber in the periods of the offer's caps."""
    for period in sponsored.counted:
        name = f"{sponsored.campaign}|{period}"
        account.sponsored[name] = account.sponsored.get(name, 0) + change


def forget_periods(account: Any, closed: str) -> None:
    """Forget the periods that are long closed."""
    first = add_months(closed, 1 - REMEMBERED_MONTHS)
    account.sponsored = {
        name: count for name, count in account.sponsored.items() if _month(name) >= first
    }
    account.capped = [name for name in account.capped if _month(name) >= first]


def _month(name: str) -> str:
    return name.rpartition("|")[2][:7]


def _escrow(account: Any) -> EscrowState:
    """Return what a campaign knows of its quotas, to be changed."""
    if account.escrow is None:
        account.escrow = EscrowState()
    found: EscrowState = account.escrow
    return found


def note_departure(account: Any, event: DataTransferred) -> None:
    """Note what a campaign sends to a quota or partner, and what a quota returns of itself."""
    if event.purpose == REFILL:
        escrow = _escrow(account)
        moved = sum(leg.bytes for leg in event.legs)
        escrow.out[event.to] = escrow.out.get(event.to, 0) + moved
        escrow.refills[event.to] = escrow.refills.get(event.to, 0) + 1
        escrow.shares[event.to] = moved
        escrow.waiting = [each for each in escrow.waiting if each.quota != event.to]
        if escrow.waiting:
            escrow.asked_back = [each for each in escrow.asked_back if each != event.to]
        else:
            escrow.recalls, escrow.asked_back = 0, []
        if event.day is not None:
            if event.day != escrow.sent_day:
                escrow.sent_day, escrow.sent_bytes = event.day, 0
            escrow.sent_bytes += moved
    elif event.purpose == GIVE_BACK and event.recall:
        account.quota.recall = None
    elif event.purpose == GIVE_BACK:
        # Another day's rest: the campaign can pay again, so the quota may ask.
        account.quota.exhausted_until, account.quota.asked = 0, None
    elif event.purpose == REFUND:
        _escrow(account).refunds += 1


def note_arrival(account: Any, event: DataReceived) -> None:
    """Note what has come to a quota, and what has come back to a campaign."""
    moved = sum(terms.granted for terms in event.lots)
    if event.purpose == REFILL and account.quota is not None:
        _refilled(account, account.quota, event, moved)
    elif event.purpose == GIVE_BACK:
        escrow = _escrow(account)
        escrow.out[event.sender] = escrow.out.get(event.sender, 0) - moved
        escrow.shares.pop(event.sender, None)
        # It asked for what it lacked besides.
        escrow.waiting = [
            replace(each, bytes=each.bytes + moved) if each.quota == event.sender else each
            for each in escrow.waiting
        ]
        if event.day is not None and event.day == escrow.sent_day:
            escrow.sent_bytes -= moved
        _answered(escrow, event.sender, event.recall)


def _refilled(account: Any, quota: QuotaState, event: DataReceived, moved: int) -> None:
    if quota.asked:
        quota.needed, quota.spent_before = quota.asked, account.spent
    quota.asked, quota.last_refill, quota.day = None, moved, event.day
    quota.refills += 1
    quota.kept_until = event.recorded_at + KEPT_MS


def _answered(escrow: EscrowState, quota: str, recall: int) -> None:
    if recall == escrow.round and quota in escrow.awaited:
        escrow.awaited.remove(quota)


def _requested(account: Any, event: RefillRequested) -> None:
    account.quota.asked = event.bytes
    account.quota.requests += 1


def _request_noted(account: Any, event: RequestNoted) -> None:
    waiting = _escrow(account).waiting
    new = Waiting(event.quota, event.request_id, event.bytes)
    for place, each in enumerate(waiting):
        if each.quota == event.quota:
            waiting[place] = new
            return
    waiting.append(new)


def _recalled(account: Any, event: QuotasRecalled) -> None:
    escrow = _escrow(account)
    escrow.round, escrow.awaited = event.round, list(event.quotas)
    escrow.recalls += 1
    escrow.asked_back = sorted({*escrow.asked_back, *event.quotas})


def _recall_noted(account: Any, event: RecallNoted) -> None:
    _answered(_escrow(account), event.quota, event.round)


def _exhausted(account: Any, event: CampaignExhausted) -> None:
    escrow = _escrow(account)
    escrow.told = sorted({*escrow.told, *event.quotas})
    if event.last:
        return
    escrow.exhausted_until = FOREVER if event.until is None else event.until
    escrow.waiting, escrow.recalls, escrow.asked_back = [], 0, []


def _replenished(account: Any, event: CampaignReplenished) -> None:
    del event
    escrow = _escrow(account)
    escrow.exhausted_until, escrow.told = 0, []


def _ending(account: Any, event: CampaignEnding) -> None:
    del event
    _escrow(account).ending = True


def _marked(account: Any, event: QuotaMarked) -> None:
    account.quota.exhausted_until = event.exhausted_until
    account.quota.asked = None


def _capped(account: Any, event: SponsorshipCapped) -> None:
    account.capped.append(f"{event.campaign}|{event.cap}|{event.period}")


def _recall_deferred(account: Any, event: RecallDeferred) -> None:
    account.quota.recall = event.round


def _recall_answered(account: Any, event: RecallAnswered) -> None:
    del event
    account.quota.recall = None


SPONSOR_EVENTS: dict[type[Event], Callable[[Any, Any], None]] = {
    RefillRequested: _requested,
    RequestNoted: _request_noted,
    QuotasRecalled: _recalled,
    RecallDeferred: _recall_deferred,
    RecallAnswered: _recall_answered,
    RecallNoted: _recall_noted,
    CampaignExhausted: _exhausted,
    CampaignReplenished: _replenished,
    CampaignEnding: _ending,
    QuotaMarked: _marked,
    SponsorshipCapped: _capped,
}
