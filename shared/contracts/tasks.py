"""Public events of tasks: partners and their orders, campaigns, claims of rewards.

An event's stored state is this contract's JSON. Amounts are bytes, money is whole fen, instants
milliseconds since 1970-01-01Z. `correlation_id` is the id of what the event is about (a claim, an
order, a campaign's or partner's stream), as 32 hex digits. `account` is the ledger's account that
is concerned: of a claim the one that pays. What the ledger acts on lies in lane `sagas` too. Events
only grow: a new field gets a default, a new meaning gets a new event.

No phone number, device, address or host name is in here: devices and addresses come hashed, host
patterns stay in a table beside the log.
"""

from typing import Any, ClassVar, Literal

import msgspec

from shared.contracts.ledger import Event
from shared.contracts.offers import RewardTerms

LOG = "tasks_00"
RewardKind = Literal["award", "reward", "pack"]


class DrawResult(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """How an entry was drawn: its roll (0 … 9,999), the prize on which it lies (or `nothing`).

    `seed_commitment` is the SHA-256 of the day's secret seed; it was published before.
    """

    roll: int
    prize: str
    seed_commitment: str


# Partners.


class PartnerRegistered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A partner exists: the ledger opens its account `partner:NAME`."""

    TYPE: ClassVar[str] = "bank.tasks.partner_registered.v1"
    SAGAS: ClassVar[bool] = True

    partner: str
    sponsor_id: str
    title: str = ""


class PartnerSuspended(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The partner's calls are refused from now on."""

    TYPE: ClassVar[str] = "bank.tasks.partner_suspended.v1"


class PartnerResumed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The partner's calls are taken again."""

    TYPE: ClassVar[str] = "bank.tasks.partner_resumed.v1"


class AppAdded(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The partner has an app."""

    TYPE: ClassVar[str] = "bank.tasks.app_added.v1"

    asp_id: str
    title: str = ""


class KeyIssued(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A signing key of an app is valid from now on (its secret is in no log)."""

    TYPE: ClassVar[str] = "bank.tasks.key_issued.v1"

    asp_id: str
    key_id: str


class KeyRetired(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A signing key is valid until `valid_until` only."""

    TYPE: ClassVar[str] = "bank.tasks.key_retired.v1"

    asp_id: str
    key_id: str
    valid_until: int


class ContractSigned(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A version of the contract: in force on [starts_at, ends_at)."""

    TYPE: ClassVar[str] = "bank.tasks.contract_signed.v1"

    contract_version: int
    starts_at: int
    ends_at: int
    terms_version: str


class PricesSet(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A version of the partner's prices, from the bank day `from_day` (YYYY-MM-DD) on.

    Fen for 1 GiB, by kind of spend: `award`, `sponsored`, `pack`.
    """

    TYPE: ClassVar[str] = "bank.tasks.prices_set.v1"

    price_version: int
    from_day: str
    fen_per_gib: dict[str, int]


class DataBought(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The partner paid for data: the ledger creates `bytes` on its account."""

    TYPE: ClassVar[str] = "bank.tasks.data_bought.v1"
    SAGAS: ClassVar[bool] = True

    order_id: str
    bytes: int
    expires_at: int | None = None
    price_version: int = 0
    amount_fen: int = 0


# Campaigns.


class CampaignDrafted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign was written down (`account`: campaign:NAME); nothing happens yet."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_drafted.v1"

    campaign: str
    partner: str
    asp_id: str
    version: int
    terms: dict[str, Any]


class CampaignChanged(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign has new terms: they count from now on, what was claimed keeps its own."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_changed.v1"

    campaign: str
    version: int
    terms: dict[str, Any]


class CampaignApproved(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An operator approved a version: the ledger opens the campaign's account (once)."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_approved.v1"
    SAGAS: ClassVar[bool] = True

    campaign: str
    partner: str
    version: int


class CampaignFunded(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The partner puts bytes into a campaign's escrow (`account`: partner:NAME)."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_funded.v1"
    SAGAS: ClassVar[bool] = True

    campaign: str
    funding_id: str
    bytes: int


class FundingArrived(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The bytes are in the campaign's escrow."""

    TYPE: ClassVar[str] = "bank.tasks.funding_arrived.v1"

    campaign: str
    funding_id: str
    bytes: int


class FundingRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The partner could not pay, or the bytes came back: nothing was funded."""

    TYPE: ClassVar[str] = "bank.tasks.funding_refused.v1"

    campaign: str
    funding_id: str
    bytes: int
    code: str
    detail: str = ""


class CampaignStarted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign runs (for the first time, or again after a pause)."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_started.v1"

    campaign: str
    version: int


class CampaignPaused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign gives and pays nothing until it is started again."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_paused.v1"

    campaign: str
    version: int


class CampaignEnded(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A campaign is over: what is left in escrow and quotas goes back to the partner. Final."""

    TYPE: ClassVar[str] = "bank.tasks.campaign_ended.v1"
    SAGAS: ClassVar[bool] = True

    campaign: str
    partner: str
    version: int


class AudienceAsked(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Whom a campaign's rule finds is to be taken again; until then the list of before counts.

    The first start and a new rule ask by themselves. `taking` counts all of them, from 1.
    """

    TYPE: ClassVar[str] = "bank.tasks.audience_asked.v1"

    campaign: str
    taking: int
    list_name: str


class AudienceTaken(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Whom a campaign's rule found is a version of a list now: claims of others are refused."""

    TYPE: ClassVar[str] = "bank.tasks.audience_taken.v1"

    campaign: str
    taking: int
    list_name: str
    list_version: int
    members: int


class AudienceRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Nobody was taken (`audience_too_small`: the rule finds fewer than 50)."""

    TYPE: ClassVar[str] = "bank.tasks.audience_refused.v1"

    campaign: str
    taking: int
    list_name: str
    code: str


# Claims: what a subscriber has a right to, once.


class ClaimAccepted(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A completion earned a reward: the ledger transfers it from `account` (a campaign).

    `place` is the day of a sign-in's streak, from 1; `attributed_at` is when the subscriber came by
    our entrance (0: it did not).
    """

    TYPE: ClassVar[str] = "bank.tasks.claim_accepted.v1"
    SAGAS: ClassVar[bool] = True

    claim_id: str
    campaign: str
    partner: str
    version: int
    task: str
    step: str
    subscriber: str
    bytes: int
    terms: RewardTerms
    happened_at: int = 0
    occurrence: str = ""
    attributed_at: int = 0
    place: int = 0
    draw: DrawResult | None = None


class ClaimNoted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A completion was taken in but earns nothing (`code` says why, such as `not_attributed`)."""

    TYPE: ClassVar[str] = "bank.tasks.claim_noted.v1"

    claim_id: str
    campaign: str
    partner: str
    version: int
    task: str
    step: str
    subscriber: str
    code: str
    happened_at: int = 0
    occurrence: str = ""
    attributed_at: int = 0
    draw: DrawResult | None = None


class ClaimPaid(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The reward has arrived. Final, but for a clawback."""

    TYPE: ClassVar[str] = "bank.tasks.claim_paid.v1"

    claim_id: str
    transfer_id: str


class ClaimRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The campaign could not pay, or the reward could not arrive (it came back). Final."""

    TYPE: ClassVar[str] = "bank.tasks.claim_refused.v1"

    claim_id: str
    code: str
    detail: str = ""


class ClawbackAsked(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A paid reward is to be taken back (`account`: the subscriber): what is left of it."""

    TYPE: ClassVar[str] = "bank.tasks.clawback_asked.v1"
    SAGAS: ClassVar[bool] = True

    claim_id: str
    transfer_id: str


class ClaimClawedBack(Event, frozen=True, omit_defaults=True, kw_only=True):
    """What was left of a reward is the campaign's again; `shortfall_bytes` had been used. Final.

    Whoever took it back: tasks, or an operator in the ledger. One that took nothing may be followed
    by one that did.
    """

    TYPE: ClassVar[str] = "bank.tasks.claim_clawed_back.v1"

    claim_id: str
    taken_bytes: int
    shortfall_bytes: int


# Packs and pools.


class PackPublished(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The catalogue has a new version of a pack (`account`: operator:catalogue), with its prices.

    Orders from now on are for it; older ones keep their own bytes, terms and amount.
    """

    TYPE: ClassVar[str] = "bank.tasks.pack_published.v1"

    pack: str
    pack_version: int
    terms: dict[str, Any]


class PackOrdered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A partner ordered packs, or a pool, at the price of the day; unpaid it gives nothing.

    `bytes` are of all `count` packs together. `pool_id`: the order of the pool that this tops up.
    """

    TYPE: ClassVar[str] = "bank.tasks.pack_ordered.v1"

    order_id: str
    pack: str
    pack_version: int
    count: int
    bytes: int
    amount_fen: int
    pool_id: str = ""
    terms: dict[str, Any] = msgspec.field(default_factory=dict)


class PackOrderPaid(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An order was paid: the ledger creates its bytes on the partner's account (`account`)."""

    TYPE: ClassVar[str] = "bank.tasks.pack_order_paid.v1"
    SAGAS: ClassVar[bool] = True

    order_id: str
    bytes: int
    expires_at: int | None = None


class PackOrderCancelled(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An unpaid order was given up. Final."""

    TYPE: ClassVar[str] = "bank.tasks.pack_order_cancelled.v1"

    order_id: str


class CodesMade(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Packs of an order lie in codes now, which nobody but who asked has seen; until `expires_at`.

    `batch` names them together; a code's hash stays in a table beside the log.
    """

    TYPE: ClassVar[str] = "bank.tasks.codes_made.v1"

    order_id: str
    batch: str
    count: int
    expires_at: int


class CodesExpired(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Codes of an order were not used in time: their packs are in the inventory again."""

    TYPE: ClassVar[str] = "bank.tasks.codes_expired.v1"

    order_id: str
    count: int


class PoolOpened(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An order of a pool was paid, or a part of another pool (`parent_id`) was handed down."""

    TYPE: ClassVar[str] = "bank.tasks.pool_opened.v1"

    pool_id: str
    partner: str
    order_id: str
    bytes: int
    title: str = ""
    parent_id: str = ""
    member_limit_bytes: int | None = None
    alarm_percent: int = 0
    terms: dict[str, Any] = msgspec.field(default_factory=dict)


class PoolGrew(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A pool was topped up, by an order of its own or because members joined."""

    TYPE: ClassVar[str] = "bank.tasks.pool_grew.v1"

    pool_id: str
    order_id: str
    bytes: int


class PoolHandedDown(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A part of a pool is a pool of its own now, below it; that one takes nothing else of it."""

    TYPE: ClassVar[str] = "bank.tasks.pool_handed_down.v1"

    pool_id: str
    child_id: str
    bytes: int


class PoolLow(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A pool has no more than its alarm's share left; told once until it is topped up."""

    TYPE: ClassVar[str] = "bank.tasks.pool_low.v1"

    pool_id: str
    total_bytes: int
    left_bytes: int


class PackIssued(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """A pack goes to a subscriber: the ledger transfers it from `account` (partner or campaign).

    `code_id`: by a code. `pool_id`: drawn from a pool. `grant` and `cycle`: what a campaign gives
    each of its members once per month `YYYY-MM`; earlier `attempt`s of that were refused.
    """

    TYPE: ClassVar[str] = "bank.tasks.pack_issued.v1"
    SAGAS: ClassVar[bool] = True

    issue_id: str
    order_id: str
    partner: str
    subscriber: str
    bytes: int
    terms: RewardTerms
    campaign: str | None = None
    code_id: str | None = None
    pool_id: str | None = None
    grant: str | None = None
    cycle: str | None = None
    attempt: int = 1


class PackDelivered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The pack has arrived. Final, but for a clawback."""

    TYPE: ClassVar[str] = "bank.tasks.pack_delivered.v1"

    issue_id: str
    transfer_id: str


class PackIssueRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The pack could not be paid or could not arrive; it is in the inventory again. Final."""

    TYPE: ClassVar[str] = "bank.tasks.pack_issue_refused.v1"

    issue_id: str
    code: str
    detail: str = ""


class PackClawedBack(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An operator took back in the ledger what was left of a pack: its payer's again. Final.

    `shortfall_bytes` had been used. The order, pool or grant that it came of counts it as given.
    """

    TYPE: ClassVar[str] = "bank.tasks.pack_clawed_back.v1"

    issue_id: str
    taken_bytes: int
    shortfall_bytes: int


# Lists of members.


class MembersChanged(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A list of subscribers has a new version (`account`: operator:lists); who is on it is a table.

    `digest` is the SHA-256 of what was added and removed.
    """

    TYPE: ClassVar[str] = "bank.tasks.members_changed.v1"

    list_name: str
    version: int
    added: int
    removed: int
    members: int
    digest: str


EVENTS: tuple[type[Event], ...] = (
    PartnerRegistered, PartnerSuspended, PartnerResumed, AppAdded, KeyIssued, KeyRetired,
    ContractSigned, PricesSet, DataBought, CampaignDrafted, CampaignChanged, CampaignApproved,
    CampaignFunded, FundingArrived, FundingRefused, CampaignStarted, CampaignPaused, CampaignEnded,
    ClaimAccepted, ClaimNoted, ClaimPaid, ClaimRefused, ClawbackAsked, ClaimClawedBack,
    PackPublished, PackOrdered, PackOrderPaid, PackOrderCancelled, CodesMade, CodesExpired,
    PoolOpened, PoolGrew, PoolHandedDown, PoolLow, PackIssued, PackDelivered, PackIssueRefused,
    PackClawedBack, MembersChanged, AudienceAsked, AudienceTaken, AudienceRefused,
)  # fmt: skip
EVENT_BY_TYPE: dict[str, type[Event]] = {event.TYPE: event for event in EVENTS}
SAGA_TYPES = [event.TYPE for event in EVENTS if event.SAGAS]


def decode_data(event_type: str, data: Any) -> Event:
    """Read an envelope's decoded `data`. Raises KeyError, msgspec.ValidationError."""
    return msgspec.convert(data, EVENT_BY_TYPE[event_type])
