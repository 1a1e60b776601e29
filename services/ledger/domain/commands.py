"""What can be asked of the ledger. Those in `PUBLIC` are anybody's; the rest are its own."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.ledger.domain.fields import (
    AccountId,
    CampaignId,
    HoldId,
    Key,
    Month,
    PartnerId,
    Purpose,
    Reason,
    SubscriberId,
    Time,
    TransferId,
)
from services.ledger.domain.rules import Bytes, GivenThresholds
from shared.contracts.ledger import DataReceived, DataTransferred, LotTerms, UsageLine
from shared.contracts.offers import RewardTerms


class Command(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"
):
    """What every command has: a key, unique per caller and account."""

    key: Key
    account: AccountId
    reason: Reason | None = None


class OpenAccount(Command, frozen=True, kw_only=True, tag="open_account"):
    """Open an account: a subscriber with a plan, a partner, or a partner's campaign.

    Refusals, in order: account_exists, plan_required, plan_not_allowed, plan_unknown,
    active_from_in_future, active_from_too_old, partner_required, partner_not_allowed.
    """

    plan: Annotated[str, Meta(max_length=64)] | None = None
    active_from: Month | None = None
    partner: PartnerId | None = None


class Buy(Command, frozen=True, kw_only=True, tag="buy"):
    """Create a pack: for a subscriber, or as a partner's prepaid purchase.

    Without `expires_at` a subscriber's pack is a monthly one (it ends with the month and carries
    over), a partner's lasts as long as the rules say.
    Refusals, in order: account_not_found, account_closed, account_kind, time_invalid,
    expires_in_past.
    """

    bytes: Bytes
    expires_at: Time | None = None


class Fund(Command, frozen=True, kw_only=True, tag="fund"):
    """Move bytes from a partner into one of its campaigns (the escrow that awards are paid from).

    Refusals, in order: account_not_found, account_closed, account_suspended, insufficient_data.
    """

    account: PartnerId
    campaign: CampaignId
    bytes: Bytes


class Award(Command, frozen=True, kw_only=True, tag="award"):
    """Pay a subscriber out of a campaign.

    Refusals, in order: account_not_found, account_closed, account_suspended, insufficient_data.
    """

    account: CampaignId
    subscriber: SubscriberId
    bytes: Bytes


class Fee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator takes of a transfer: on top where the sender pays, else out of it."""

    bytes: Bytes
    payer: Literal["sender", "receiver"] = "sender"


class Transfer(Command, frozen=True, kw_only=True, tag="transfer"):
    """Give bytes to another subscriber; they keep the terms of the giver's lots.

    A fee goes to the operator when the transfer has arrived, and comes back with it.

    Refusals, in order: account_not_found, account_closed, account_suspended, same_account,
    fee_exceeds_gift, insufficient_data.
    """

    account: SubscriberId
    to: SubscriberId
    bytes: Bytes
    # Unset is not written: without a fee the body, and so its hash, is what it always was.
    fee: Fee | UnsetType = UNSET


class Hold(Command, frozen=True, kw_only=True, tag="hold"):
    """Pin a subscriber's giftable bytes until `deadline`; they are used for nothing else meanwhile.

    Refusals, in order: account_not_found, account_closed, account_suspended, time_invalid,
    deadline_in_past, deadline_too_far, insufficient_data.
    """

    account: SubscriberId
    bytes: Bytes
    deadline: Time
    purpose: Purpose = "gift"


class Post(Command, frozen=True, kw_only=True, tag="post"):
    """Send held bytes (all that is left of the hold without `bytes`) to a subscriber.

    A fee is held bytes too: on top of `bytes` where the sender pays it. Without `bytes` it is part
    of what is left, whoever pays.

    Refusals, in order: account_not_found, same_account, hold_not_found, fee_exceeds_gift,
    hold_exceeded.
    """

    hold_id: HoldId
    to: SubscriberId
    bytes: Bytes | None = None
    fee: Fee | UnsetType = UNSET


class Release(Command, frozen=True, kw_only=True, tag="release"):
    """Let what is left of a hold go free, back into the same lots.

    Refusals, in order: account_not_found, hold_not_found.
    """

    hold_id: HoldId


class Suspend(Command, frozen=True, kw_only=True, tag="suspend"):
    """Stop use and giving; lots run on, and what was held before is still posted or released.

    A campaign's quotas give back what they have, and pay again once it is resumed.
    Refusals, in order: account_not_found, account_closed.
    """


class Resume(Command, frozen=True, kw_only=True, tag="resume"):
    """Let a suspended account go on. Refusals, in order: account_not_found, account_closed."""


class CloseAccount(Command, frozen=True, kw_only=True, tag="close_account"):
    """End an account: holds are released, lots expire, arrivals are refused.

    Refusals, in order: account_not_found, account_closed, campaign_has_quotas.
    """


class ChangePlan(Command, frozen=True, kw_only=True, tag="change_plan"):
    """Choose another plan, from the next cycle on.

    Refusals, in order: account_not_found, account_closed, plan_not_allowed, plan_unknown.
    """

    plan: Annotated[str, Meta(max_length=64)]


class Adjust(Command, frozen=True, kw_only=True, tag="adjust"):
    """Give or take bytes by hand; the reason is kept with the actor's name.

    Given bytes are a lot of kind adjustment, to the end of the month without `expires_at`; a
    partner or campaign can pay with them.
    Taking is refused where there is not as much, and knows no `expires_at`.
    Refusals, in order: account_not_found, account_closed, expires_at_not_allowed,
    insufficient_data, time_invalid, expires_in_past.
    """

    direction: Literal["give", "take"]
    bytes: Bytes
    reason: Reason
    expires_at: Time | None = None


class Reverse(Command, frozen=True, kw_only=True, tag="reverse"):
    """Undo a usage record: the same slices come back to the same lots, also after a close.

    A record is reversed once, whoever asks.
    Refusals, in order: account_not_found, usage_not_found, already_reversed.
    """

    usage_id: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Reason


class ClawBack(Command, frozen=True, kw_only=True, tag="claw_back"):
    """Undo a transfer that has arrived at `account`: what is left of it goes back to the giver.

    It goes back into the lots that it was taken from, also after their close. What the receiver has
    used, or holds, stays: the result names it as `shortfall_bytes`. A transfer is clawed back once.
    A refund, and what moves between a campaign and its quotas, is not.
    Refusals, in order: account_not_found, transfer_not_found, already_clawed_back, nothing_left.
    """

    transfer_id: TransferId
    reason: Reason


class SetThresholds(Command, frozen=True, kw_only=True, tag="set_thresholds"):
    """Announce this account's balance at thresholds of its own; without any, at the rules' ones.

    Refusals, in order: account_not_found, account_closed.
    """

    account: SubscriberId
    thresholds: GivenThresholds | None = None


class CloseMonth(Command, frozen=True, kw_only=True, tag="close_month"):
    """Close a month of one account: carry over or expire what is left.

    Closing again is done, with nothing.

    Refusals, in order: account_not_found, month_running.
    """

    month: Month


class Arrive(msgspec.Struct, frozen=True, kw_only=True):
    """Let a transfer of another account arrive at this one (from the log, never from outside)."""

    key: str
    account: str
    transfer: DataTransferred
    reason: str | None = None


class TakeBack(msgspec.Struct, frozen=True, kw_only=True):
    """Put a refused transfer back into the giver's lots (from the log, never from outside)."""

    key: str
    account: str
    transfer: DataTransferred
    code: str
    reason: str | None = None


class TakeFee(msgspec.Struct, frozen=True, kw_only=True):
    """Let the fee of a transfer that has arrived come to the operator (from the log)."""

    key: str
    account: str
    arrived: DataReceived
    reason: str | None = None


class ReverseUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Undo a usage record that was found in the log (what `reverse` comes to).

    `quota` is the account that paid what was sponsored of it, `paid_from` the lots out of which it
    did, on the terms on which they came: it forgets its empty ones.
    """

    key: str
    account: str
    line: UsageLine
    quota: str | None = None
    paid_from: tuple[LotTerms, ...] = ()
    reason: str | None = None


class ClawBackArrived(msgspec.Struct, frozen=True, kw_only=True):
    """Undo a transfer whose arrival was found in the log (what `claw_back` comes to)."""

    key: str
    account: str
    arrived: DataReceived
    reason: str | None = None


class AwardOnTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Pay a subscriber out of a campaign, or a partner's pool, on terms that tasks has promised.

    Refusals, in order: account_not_found, account_closed, account_suspended, insufficient_data.
    """

    key: str
    account: str
    subscriber: str
    bytes: Bytes
    terms: RewardTerms
    reason: str | None = None


class PutBack(msgspec.Struct, frozen=True, kw_only=True):
    """Put what was clawed back of a transfer into the giver's lots (from the log)."""

    key: str
    account: str
    transfer: DataTransferred
    departed: DataTransferred
    reason: str | None = None


class Refill(msgspec.Struct, frozen=True, kw_only=True):
    """Let a campaign answer a quota that needs bytes (from the log)."""

    key: str
    account: str
    quota: str
    request_id: str
    bytes: int
    refills: int = 0
    reason: str | None = None


class GiveBack(msgspec.Struct, frozen=True, kw_only=True):
    """Let a quota answer its campaign's recall (from the log); at once if it is `final`."""

    key: str
    account: str
    round: int
    final: bool = False
    reason: str | None = None


class NoteRecall(msgspec.Struct, frozen=True, kw_only=True):
    """Let a campaign know that a recalled quota had nothing left (from the log)."""

    key: str
    account: str
    quota: str
    round: int
    reason: str | None = None


class MarkQuota(msgspec.Struct, frozen=True, kw_only=True):
    """Let a quota know until when its campaign is exhausted, 0 for not any more (from the log)."""

    key: str
    account: str
    exhausted_until: int
    reason: str | None = None


class EndCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """End a campaign's escrow: what is left goes back to its partner (asked by tasks' log)."""

    key: str
    account: str
    reason: str | None = None


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """Do what is due by the clock: plan lots, holds that time out (a job of the ledger)."""

    key: str
    account: str
    reason: str | None = None


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """Close a month of one account (a job of the ledger; the account knows what is closed)."""

    key: str
    account: str
    month: str
    reason: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One usage record to be charged: `bytes` used at `occurred_at` (milliseconds UTC)."""

    usage_id: str
    account: str
    bytes: int
    occurred_at: int
    rating_group: str | None = None
    # Serves to find the rating group, and is stored nowhere.
    host: str | None = None
    roaming: bool = False


PUBLIC: tuple[type[Command], ...] = (
    OpenAccount, Suspend, Resume, CloseAccount, ChangePlan, Buy, Fund, Award, Transfer, Hold, Post,
    Release, Adjust, Reverse, ClawBack, SetThresholds, CloseMonth,
)  # fmt: skip
PublicCommand = (
    OpenAccount | Suspend | Resume | CloseAccount | ChangePlan | Buy | Fund | Award | Transfer
    | Hold | Post | Release | Adjust | Reverse | ClawBack | SetThresholds | CloseMonth
)  # fmt: skip
AnyCommand = (
    PublicCommand | Arrive | TakeBack | TakeFee | PutBack | ReverseUsage | ClawBackArrived
    | AwardOnTerms | Refill | GiveBack | NoteRecall | MarkQuota | EndCampaign | Touch | Close
)  # fmt: skip
# What the log asks must not get lost by a refusal.
FROM_LOG = (Arrive, TakeBack, PutBack, TakeFee, Refill, GiveBack, NoteRecall, MarkQuota)
# What a job asks is asked again until it is done, so it needs no key to be done once.
KEYLESS = (Touch, Close)
