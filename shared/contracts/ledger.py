"""Public events of the ledger, in the order of an account's life.

An event's stored state is this contract's JSON. Amounts are bytes, instants are milliseconds since
1970-01-01Z, months are `YYYY-MM` in the bank's time zone. Events only grow: a new field gets a
default, a new meaning gets a new event.
"""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from shared.contracts.offers import Hours, RewardTerms

ANY_SCOPE = "any"
# Every kind that a lot can have.
LOT_KINDS = (
    "plan", "pack", "carry", "voucher", "gift", "red_packet", "reward", "award", "adjustment",
    "fee",
)  # fmt: skip
# The operator's account that takes fees.
FEES_ACCOUNT = "operator:fees"
# The name of the stream that tells the rules' versions; no account can have it.
RULES_STREAM = "rules:book"
# The name of the stream that tells what campaigns sponsor; no account can have it.
OFFERS_STREAM = "offers:book"


class Source(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a lot came from."""

    type: str
    id: str = ""
    partner: str | None = None
    campaign: str | None = None


class LotTerms(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A lot as it is created: `granted` bytes, usable in [valid_from, expires_at)."""

    lot_id: str
    kind: str
    granted: int
    valid_from: int
    expires_at: int
    scope: str | list[str] = ANY_SCOPE
    giftable: bool = False
    carries: bool = False
    source: Source
    parent_lot: str | None = None
    hours: Hours | None = None


class Slice(msgspec.Struct, frozen=True, gc=False):
    """A part of a lot."""

    lot_id: str
    bytes: int


class Thresholds(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an account's balance is announced, once per crossing; all off by default.

    Percent of the month's plan used, bytes that are left (usable now), days before bytes expire
    (those that will not be carried over).
    """

    plan_used_percent: list[Annotated[int, Meta(ge=1, le=100)]] = []
    low_balance_bytes: Annotated[int, Meta(ge=1, le=2**53 - 1)] | None = None
    expiring_days: list[Annotated[int, Meta(ge=1, le=366)]] = []


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What every event says: whose, when in bank time, by whom, for what."""

    TYPE: ClassVar[str] = ""
    SAGAS: ClassVar[bool] = False

    account: str
    recorded_at: int
    actor: str
    correlation_id: str = ""
    causation_id: str = ""
    reason: str | None = None
    rule_version: int = 0


class AccountOpened(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """An account exists from now on; `active_from` is its first month with a plan lot."""

    TYPE: ClassVar[str] = "bank.ledger.account_opened.v1"

    kind: str
    plan: str | None = None
    active_from: str | None = None
    partner: str | None = None


class PlanChanged(Event, frozen=True, omit_defaults=True, kw_only=True):
    """From `from_month` on the account has another plan."""

    TYPE: ClassVar[str] = "bank.ledger.plan_changed.v1"

    plan: str
    from_month: str


class AccountSuspended(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Nothing is used or given from now on; lots run on."""

    TYPE: ClassVar[str] = "bank.ledger.account_suspended.v1"


class AccountResumed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The account is active again."""

    TYPE: ClassVar[str] = "bank.ledger.account_resumed.v1"


class AccountClosed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The account has ended; its holds were released and its lots have expired."""

    TYPE: ClassVar[str] = "bank.ledger.account_closed.v1"


class DataEarned(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Bytes were created: plan lots of `months`, a pack, a partner's purchase."""

    TYPE: ClassVar[str] = "bank.ledger.data_earned.v1"

    lots: list[LotTerms]
    months: list[str] = []


class Sponsored(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What a campaign paid of a usage record: `slices` of its `quota`'s lots, under an offer.

    `counted` are the periods (a month, a day) in which it counts against the subscriber's caps.
    """

    campaign: str
    quota: str
    bytes: int
    offer_version: int
    slices: list[Slice]
    counted: list[str] = []


class UsageLine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One usage record and which lots paid.

    `bytes` = slices + `unfunded_bytes` + `sponsored.bytes`. On a quota's account: what it paid of
    the record of `subscriber`.
    """

    usage_id: str
    bytes: int
    occurred_at: int
    slices: list[Slice] = []
    unfunded_bytes: int = 0
    rating_group: str | None = None
    late: bool = False
    sponsored: Sponsored | None = None
    subscriber: str | None = None


class DataSpent(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Usage was charged; at most 200 lines. `partner` and `campaign` are a quota's."""

    TYPE: ClassVar[str] = "bank.ledger.data_spent.v1"

    lines: list[UsageLine]
    partner: str | None = None
    campaign: str | None = None


class Leg(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A part of a giver's lot on its way, with the lot's terms.

    A leg with a `to` of its own goes there when the transfer has arrived: a fee, to the operator.
    """

    lot_id: str
    bytes: int
    kind: str
    valid_from: int
    expires_at: int
    scope: str | list[str] = ANY_SCOPE
    giftable: bool = False
    carries: bool = False
    source: Source
    to: str | None = None
    parent_lot: str | None = None
    hours: Hours | None = None


class UsageReversed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A usage record was undone: the same slices are back in their lots (terms with them).

    What a campaign paid of it is back in its quota, by an event of the same batch on the quota's
    account (there `subscriber` tells whose record it was).
    """

    TYPE: ClassVar[str] = "bank.ledger.usage_reversed.v1"

    usage_id: str
    legs: list["Leg"] = []
    unfunded_bytes: int = 0
    sponsored: Sponsored | None = None
    subscriber: str | None = None
    rating_group: str | None = None
    partner: str | None = None
    campaign: str | None = None


class DataAdjusted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An operator gave (`lots`) or took (`slices`) bytes by hand, for a reason."""

    TYPE: ClassVar[str] = "bank.ledger.data_adjusted.v1"

    lots: list[LotTerms] = []
    slices: list[Slice] = []


class DataHeld(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Slices of lots are pinned until `deadline`: posted, released or timed out by then."""

    TYPE: ClassVar[str] = "bank.ledger.data_held.v1"
    SAGAS: ClassVar[bool] = True

    hold_id: str
    purpose: str
    deadline: int
    slices: list[Slice]


class HoldRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A hold that somebody waits for was refused; on a stream of the hold's own id."""

    TYPE: ClassVar[str] = "bank.ledger.hold_refused.v1"
    SAGAS: ClassVar[bool] = True

    hold_id: str
    code: str
    detail: str = ""


class HoldReleased(Event, frozen=True, omit_defaults=True, kw_only=True):
    """What was left of a hold is free again (`cause`: released, timed_out); changes no sum."""

    TYPE: ClassVar[str] = "bank.ledger.hold_released.v1"
    SAGAS: ClassVar[bool] = True

    hold_id: str
    cause: str
    slices: list[Slice]


class DataTransferred(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Bytes left this account for another.

    `purpose`: gift, red_packet, funding, award, clawback, refill (a campaign to a quota), give_back
    (a quota to its campaign), refund (a campaign that has ended to its partner).

    A leg with a `to` of its own is a fee: it counts as transferred too, and goes on to the operator
    when the other legs have arrived. A clawback takes back what is left of an earlier transfer;
    `shortfall_bytes` are not. `terms` are those on which an award or pack arrives; `day` is the
    bank day for which a refill under a daily cap is, `recall` the round that a give-back answers.
    """

    TYPE: ClassVar[str] = "bank.ledger.data_transferred.v1"
    SAGAS: ClassVar[bool] = True

    transfer_id: str
    to: str
    purpose: str
    legs: list[Leg]
    partner: str | None = None
    campaign: str | None = None
    hold_id: str | None = None
    undoes: str | None = None
    shortfall_bytes: int = 0
    terms: RewardTerms | None = None
    day: str | None = None
    recall: int = 0


class TransferRefused(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A transfer, or a post, that somebody waits for was refused; on a stream of its own id.

    Nothing left the giver (`account`); `code` is the command's refusal, `hold_id` the post's hold.
    """

    TYPE: ClassVar[str] = "bank.ledger.transfer_refused.v1"
    SAGAS: ClassVar[bool] = True

    transfer_id: str
    to: str
    code: str
    detail: str = ""
    hold_id: str | None = None


class DataReceived(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A transfer arrived. Counts as *received*; an award's arrival is an earning in public.

    `fee_legs` go on to the operator, whose own arrival (`purpose`: fee) has the same `transfer_id`.
    """

    TYPE: ClassVar[str] = "bank.ledger.data_received.v1"
    SAGAS: ClassVar[bool] = True

    transfer_id: str
    sender: str
    purpose: str
    lots: list[LotTerms]
    partner: str | None = None
    campaign: str | None = None
    fee_legs: list[Leg] = []
    day: str | None = None
    recall: int = 0


class ArrivalRefused(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A transfer can't arrive; on the transfer's own stream, `account` is the giver."""

    TYPE: ClassVar[str] = "bank.ledger.arrival_refused.v1"
    SAGAS: ClassVar[bool] = True

    transfer_id: str
    to: str
    code: str


class TransferReturned(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A refused transfer came back into the lots it was taken from, its fee with it.

    Counts as *returned*.
    """

    TYPE: ClassVar[str] = "bank.ledger.transfer_returned.v1"
    SAGAS: ClassVar[bool] = True

    transfer_id: str
    to: str
    purpose: str
    code: str
    legs: list[Leg]
    partner: str | None = None
    campaign: str | None = None


class DataClawedBack(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What was left of a transfer is back in the lots it was taken from. Counts as *received*.

    `transfer_id` is the clawback's, `undoes` the transfer's, whose `purpose` this is. Its saga is
    `undone_correlation_id`, whoever asked for the clawback.
    """

    TYPE: ClassVar[str] = "bank.ledger.data_clawed_back.v1"
    SAGAS: ClassVar[bool] = True

    transfer_id: str
    undoes: str
    sender: str
    purpose: str
    legs: list[Leg]
    shortfall_bytes: int = 0
    partner: str | None = None
    campaign: str | None = None
    undone_correlation_id: str = ""


class DataCarriedOver(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The close of `month` moved what was left of lots into one carry lot; changes no sum.

    `lot` holds the carry lot's terms; its `granted` is what this event moved. The same carry lot
    may grow by a later event (late returns).
    """

    TYPE: ClassVar[str] = "bank.ledger.data_carried_over.v1"

    month: str
    month_ends_at: int
    slices: list[Slice]
    lot: LotTerms


class DataExpired(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What was left of lots is gone; `month` is set where the close of a month took it."""

    TYPE: ClassVar[str] = "bank.ledger.data_expired.v1"

    month: str | None = None
    month_ends_at: int = 0
    slices: list[Slice]


class MonthClosed(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A month was closed in which nothing was left to carry over or to expire."""

    TYPE: ClassVar[str] = "bank.ledger.month_closed.v1"

    month: str
    month_ends_at: int


class ThresholdsSet(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An account has thresholds of its own from now on; without any, the rules' ones again."""

    TYPE: ClassVar[str] = "bank.ledger.thresholds_set.v1"

    thresholds: Thresholds | None = None


# The threshold of partners and campaigns, and its percents; at zero nothing more is paid.
FUNDS_LEFT = "funds_left"
FUNDS_LEFT_PERCENT = (20, 5)


class ThresholdCrossed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A balance crossed a threshold: told once, and again only after it was above it meanwhile.

    `plan_used`: of the month's plan lot no more than `level_bytes` is left. `low_balance`: no more
    than that can be used now. `expiring`: `slices` end within so many days, by `expires_at`.
    `funds_left`: of what a partner or campaign had when it last bought, or was funded, less than so
    many percent are left; the next purchase or funding begins anew.
    """

    TYPE: ClassVar[str] = "bank.ledger.threshold_crossed.v1"

    threshold: str
    value: int
    available_bytes: int
    level_bytes: int = 0
    lot_id: str | None = None
    slices: list[Slice] = []
    expires_at: int = 0

    @property
    def name(self) -> str:
        """Return the edge's name: the threshold and its value."""
        return f"{self.threshold}:{self.value}"


class RefillRequested(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A quota needs `bytes` more than it has; 0: it is low, and nothing waits for it.

    `refills`: how many have come so far; where more are on their way, the request is out of date.
    """

    TYPE: ClassVar[str] = "bank.ledger.refill_requested.v1"
    SAGAS: ClassVar[bool] = True

    campaign: str
    request_id: str
    bytes: int
    refills: int = 0


class QuotasRecalled(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign (`account`) asks these quotas for what they have left; each answers once.

    `final`: at once, the campaign ends; else when the records that wait for it have been charged.
    """

    TYPE: ClassVar[str] = "bank.ledger.quotas_recalled.v1"
    SAGAS: ClassVar[bool] = True

    round: int
    quotas: list[str]
    final: bool = False


class RecallDeferred(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A quota (`account`) answers a recall when records that wait were charged, or by `until`."""

    TYPE: ClassVar[str] = "bank.ledger.recall_deferred.v1"

    round: int
    until: int


class RecallAnswered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A quota (`account`) has nothing left to give back."""

    TYPE: ClassVar[str] = "bank.ledger.recall_answered.v1"
    SAGAS: ClassVar[bool] = True

    campaign: str
    round: int


class CampaignExhausted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign (`account`) can pay no more: nothing is left in it and in its quotas.

    With `until` (milliseconds) only what may be spent on this bank day is. `last`: something may be
    left, but the quotas that are told have got the last of it.
    """

    TYPE: ClassVar[str] = "bank.ledger.campaign_exhausted.v1"
    SAGAS: ClassVar[bool] = True

    quotas: list[str]
    until: int | None = None
    last: bool = False


class CampaignReplenished(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign that was exhausted can pay again."""

    TYPE: ClassVar[str] = "bank.ledger.campaign_replenished.v1"
    SAGAS: ClassVar[bool] = True

    quotas: list[str]


class CampaignEnding(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign pays nothing more: its quotas give back, then the rest goes to the partner."""

    TYPE: ClassVar[str] = "bank.ledger.campaign_ending.v1"

    partner: str


class RequestNoted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A quota's request waits at the campaign (`account`) until recalled quotas have answered."""

    TYPE: ClassVar[str] = "bank.ledger.request_noted.v1"

    quota: str
    request_id: str
    bytes: int


class RecallNoted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A recalled quota has answered the campaign (`account`) that it has nothing left."""

    TYPE: ClassVar[str] = "bank.ledger.recall_noted.v1"

    quota: str
    round: int


class QuotaMarked(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A quota (`account`) knows that its campaign is exhausted (until then), or not any more (0).

    `until` is milliseconds; no later than the end of 9999 where there is no end.
    """

    TYPE: ClassVar[str] = "bank.ledger.quota_marked.v1"

    campaign: str
    exhausted_until: int


class SponsorshipCapped(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign no longer pays (all of) a subscriber's traffic; told once per campaign and period.

    `cap`: month, day (the subscriber's own), budget (the campaign's).
    """

    TYPE: ClassVar[str] = "bank.ledger.sponsorship_capped.v1"

    campaign: str
    cap: str
    period: str
    offer_version: int


class OfferPublished(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A partition knows a version of what a campaign sponsors.

    It lies on a stream of its own, in every partition; `account` is always `offers:book`. The hosts
    that it matches are in no log: `hosts_digest` stands for them (SHA-256, hex).
    """

    TYPE: ClassVar[str] = "bank.ledger.offer_published.v1"

    campaign: str
    version: int
    offer: dict[str, Any]
    hosts_digest: str


class RulesPublished(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A version of the rules was put: in force from `effective_from` on.

    It lies on a stream of its own, in every partition; `account` is always `rules:book`.
    """

    TYPE: ClassVar[str] = "bank.ledger.rules_published.v1"

    version: int
    effective_from: int
    rules: dict[str, Any]


EVENTS: tuple[type[Event], ...] = (
    AccountOpened, PlanChanged, AccountSuspended, AccountResumed, AccountClosed, DataEarned,
    DataSpent, UsageReversed, DataAdjusted, DataHeld, HoldRefused, HoldReleased, DataTransferred,
    TransferRefused, DataReceived, ArrivalRefused, TransferReturned, DataClawedBack,
    DataCarriedOver, DataExpired, MonthClosed, ThresholdsSet, ThresholdCrossed, RulesPublished,
    RefillRequested, RequestNoted, QuotasRecalled, RecallDeferred, RecallAnswered, RecallNoted,
    CampaignExhausted,
    CampaignReplenished, CampaignEnding, QuotaMarked, SponsorshipCapped, OfferPublished,
)  # fmt: skip
# These lie on streams of their own and change no account.
WITHOUT_ACCOUNT = (ArrivalRefused, HoldRefused, TransferRefused, OfferPublished, RulesPublished)
EVENT_BY_TYPE: dict[str, type[Event]] = {event.TYPE: event for event in EVENTS}
SAGA_TYPES = [event.TYPE for event in EVENTS if event.SAGAS]


def decode_data(event_type: str, data: Any) -> Event:
    """Read an envelope's decoded `data`. Raises KeyError, msgspec.ValidationError."""
    return msgspec.convert(data, EVENT_BY_TYPE[event_type])
