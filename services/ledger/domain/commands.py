"""What can be asked of the ledger. Those in `PUBLIC` are anybody's; the rest are its own."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.ledger.domain.rules import Bytes, GivenThresholds
from shared.contracts.ledger import DataReceived, DataTransferred, LotTerms, UsageLine
from shared.contracts.offers import RewardTerms
from shared.mistakes import shaped

# A plain `$` also matches before a line break at the end.
END = r"$(?!\n)"
# PostgreSQL's text and jsonb take no NUL: an event with one could not even be parked.
ONE_LINE = rf"^[^\x00-\x1f\x7f]*{END}"
NO_NUL = r"^[^\x00]*$"
LINE_WORDS = "one line without control characters"
NAME_WORDS = "the name of 1 to 64 letters, digits or . _ -"
DIGITS_WORDS = "32 hexadecimal digits such as 0123456789abcdef0123456789abcdef"

Key = Annotated[
    str,
    shaped(
        ONE_LINE,
        LINE_WORDS,
        min_length=1,
        max_length=128,
        description="the caller's key: a repeat does nothing twice",
    ),
]
SubscriberId = Annotated[
    str,
    shaped(
        rf"^[A-Za-z0-9_-]{{1,64}}{END}",
        "1 to 64 letters, digits, _ or -, such as a50e2f674b137b04",
        description="a subscriber",
    ),
]
PartnerId = Annotated[
    str,
    shaped(
        rf"^partner:[A-Za-z0-9._-]{{1,64}}{END}",
        f"partner:NAME such as partner:didi, {NAME_WORDS}",
        description="a partner, partner:NAME",
    ),
]
CampaignId = Annotated[
    str,
    shaped(
        rf"^campaign:[A-Za-z0-9._-]{{1,64}}{END}",
        f"campaign:NAME such as campaign:didi-august, {NAME_WORDS}",
        description="a campaign, campaign:NAME",
    ),
]
AccountId = Annotated[
    str,
    shaped(
        rf"^((partner|campaign):[A-Za-z0-9._-]{{1,64}}|[A-Za-z0-9_-]{{1,64}}){END}",
        "1 to 64 letters, digits, _ or - for a subscriber such as a50e2f674b137b04,"
        " partner:NAME or campaign:NAME",
        description="a subscriber, or partner:NAME, or campaign:NAME",
    ),
]
Month = Annotated[
    str,
    shaped(
        rf"^[0-9]{{4}}-(0[1-9]|1[0-2]){END}",
        "a month such as 2015-08",
        description="a calendar month, YYYY-MM",
    ),
]
Time = Annotated[str, Meta(max_length=40, description="ISO 8601; without a zone it is the bank's")]
HoldId = Annotated[
    str,
    shaped(
        rf"^[0-9a-f]{{32}}{END}",
        DIGITS_WORDS,
        description="the `hold_id` that the hold's result names",
    ),
]
TransferId = Annotated[
    str,
    shaped(
        rf"^[0-9a-f]{{32}}{END}",
        DIGITS_WORDS,
        description="the `transfer_id` that its result names",
    ),
]
Purpose = Annotated[str, shaped(rf"^(gift|red_packet){END}", "gift or red_packet")]
Reason = Annotated[
    str, shaped(NO_NUL, "text without the character NUL", min_length=1, max_length=500)
]


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
