"""A campaign's terms: whom it is for, what it may cost, what is done for it, what it sponsors.

    DraftTerms     as an operator writes them (a JSON file): times as text, host patterns in clear
    CampaignTerms  as the log has them: times in milliseconds, the host patterns' digest alone

Host patterns are kept in the table `content_lists`, in numbered versions; no event has one.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.tasks.domain.grants import Grant, grant_mistake
from services.tasks.domain.tasks.kinds import Task, task_mistake, with_pending_days
from services.tasks.domain.tasks.limits import ClaimLimits
from services.tasks.domain.tasks.rewards import Part
from services.tasks.domain.usable import hours_mistake
from shared.calendar import Calendar
from shared.contracts.audiences import EVERYONE, Audience
from shared.contracts.offers import ANY_TRAFFIC, Amount, AtCap, Caps, Hours
from shared.errors import InvalidError, RefusedError
from shared.mistakes import shaped

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
Name = Annotated[
    str, shaped(rf"^{NAME}\Z", "1 to 64 small letters, digits, . _ or -, such as rides-august")
]
# An app (`aspId`) or sponsor (`sponsorId`) as the partner's systems call it.
ForeignId = Annotated[
    str,
    shaped(
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", "1 to 64 letters, digits, . _ or -, such as didi-app"
    ),
]
RatingGroup = Annotated[
    str,
    shaped(
        r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z", "1 to 64 letters, digits, . _ : or -, such as didi"
    ),
]
# A host stands for itself and for all its subdomains.
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
Host = Annotated[
    str,
    shaped(
        rf"^{LABEL}(\.{LABEL})+\Z",
        "a host such as didi.com, without protocol, port or path",
        max_length=253,
    ),
]
HOSTS_MAX = 500
Text = Annotated[str, Meta(max_length=200)]
TimeText = Annotated[str, Meta(max_length=40)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Budget(Part, frozen=True, omit_defaults=True, kw_only=True):
    """What a campaign may cost; what is left out has no limit of its own.

    `total_bytes`: it can't be funded with more. `unlimited`: it needs no funding, the partner is
    charged on credit for what its offer sponsors (rewards are paid from funding alone).
    `per_day_bytes`: of a bank day, of claims or of an offer. `per_subscriber_bytes`: of claims.
    `per_device_claims`, `per_address_claims`: acts that earn, each with all that it brings.
    """

    total_bytes: Amount | None = None
    unlimited: bool = False
    per_day_bytes: Amount | None = None
    per_subscriber_bytes: Amount | None = None
    per_device_claims: Count | None = None
    per_address_claims: Count | None = None

    def __post_init__(self) -> None:
        if self.unlimited and self.total_bytes is not None:
            raise ValueError("a budget has `total_bytes` or is `unlimited`, not both")

    @property
    def claim_limits(self) -> ClaimLimits:
        """Return the limits of claims."""
        return ClaimLimits(
            total_bytes=self.total_bytes, per_day_bytes=self.per_day_bytes,
            per_subscriber_bytes=self.per_subscriber_bytes,
            per_device_claims=self.per_device_claims, per_address_claims=self.per_address_claims,
        )  # fmt: skip


class Content(Part, frozen=True):
    """A version of a campaign's list of host patterns, and the SHA-256 that stands for it (hex)."""

    version: Annotated[int, Meta(ge=1)]
    hosts_digest: str
    count: int


class OfferTerms(Part, frozen=True, omit_defaults=True, kw_only=True):
    """Which traffic a campaign pays for: by rating group, host patterns, or `any` rating group.

    `listed`: only of the members of the audience's list, or of whom its rule found. `at_cap`:
    whether the user pays, after a notice, or nobody. In a draft `hosts` are given; in the log
    `content` stands for them.
    """

    rating_group: RatingGroup
    hosts: Annotated[tuple[Host, ...], Meta(max_length=HOSTS_MAX)] = ()
    content: Content | None = None
    listed: bool = False
    caps: Caps = Caps()
    at_cap: AtCap = "fallback_to_user"
    hours: Hours | None = None
    roaming: bool = False

    @property
    def is_by_content(self) -> bool:
        """Say whether the traffic is told apart by what it is: anything else than all of it."""
        return self.rating_group != ANY_TRAFFIC


class _Terms(Part, frozen=True, omit_defaults=True, kw_only=True):
    title: Text = ""
    audience: Audience = EVERYONE
    budget: Budget = Budget()
    tasks: Annotated[list[Task], Meta(max_length=100)] = msgspec.field(default_factory=list)
    offer: OfferTerms | None = None
    grants: Annotated[tuple[Grant, ...], Meta(max_length=20)] = ()


class DraftTerms(_Terms, frozen=True, omit_defaults=True, kw_only=True):
    """The terms as they are written down; times are ISO 8601, without a zone in the bank's."""

    starts_at: TimeText
    ends_at: TimeText | None = None


class CampaignTerms(_Terms, frozen=True, omit_defaults=True, kw_only=True):
    """The terms of one version: in force on [starts_at, ends_at), in milliseconds."""

    starts_at: int
    ends_at: int | None = None

    def is_current(self, at: int) -> bool:
        """Say whether an instant lies within the campaign's dates."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def stored(self) -> dict[str, Any]:
        """Return the terms as an event has them."""
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


def read_terms(stored: dict[str, Any]) -> CampaignTerms:
    """Read terms from an event."""
    return msgspec.convert(stored, CampaignTerms)


def terms_of(
    draft: DraftTerms, calendar: Calendar, content_before: Content | None
) -> CampaignTerms:
    """Return the terms that a draft means. Raises InvalidError.

    The list of hosts keeps its version while it is the same as before.
    """
    starts_at = _time(draft.starts_at, "starts_at", calendar)
    ends_at = None if draft.ends_at is None else _time(draft.ends_at, "ends_at", calendar)
    mistake = _mistake(draft, starts_at, ends_at)
    if mistake is not None:
        raise InvalidError(mistake)
    offer = draft.offer
    if offer is not None:
        content = content_of(offer.hosts, content_before)
        offer = msgspec.structs.replace(offer, hosts=(), content=content)
    return CampaignTerms(
        title=draft.title, audience=draft.audience, budget=draft.budget,
        tasks=[with_pending_days(task) for task in draft.tasks], offer=offer, grants=draft.grants,
        starts_at=starts_at, ends_at=ends_at,
    )  # fmt: skip


def content_of(hosts: Sequence[str], before: Content | None) -> Content | None:
    """Return the version of a list of hosts: that before where it says the same, else the next."""
    if not hosts:
        return None
    found = hosts_digest(hosts)
    if before is not None and before.hosts_digest == found:
        return before
    return Content(
        version=before.version + 1 if before else 1, hosts_digest=found, count=len({*hosts})
    )


def hosts_digest(hosts: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of a list of hosts, whatever their order."""
    return hashlib.sha256("\n".join(sorted({*hosts})).encode()).hexdigest()


def _time(text: str, name: str, calendar: Calendar) -> int:
    try:
        return calendar.parse(text)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"`{name}` is no ISO 8601 time: {error}", pointer=f"$.{name}") from error


def _mistake(draft: DraftTerms, starts_at: int, ends_at: int | None) -> str | None:
    if ends_at is not None and ends_at <= starts_at:
        return "`ends_at` is not after `starts_at`"
    if not draft.tasks and not draft.grants and draft.offer is None:
        return "a campaign needs `tasks`, `grants` or an `offer`"
    listed = not draft.audience.all
    return (
        (draft.offer and _offer_mistake(draft.offer, draft.budget, listed=listed))
        or _budget_mistake(draft)
        or task_mistake(draft.tasks)
        or grant_mistake(draft.grants, listed=listed)
    )


def _offer_mistake(offer: OfferTerms, budget: Budget, *, listed: bool) -> str | None:
    if offer.content is not None:
        return "`offer.content` is made by the bank: give `hosts`"
    if offer.hosts and not offer.is_by_content:
        return f"an offer of `{ANY_TRAFFIC}` traffic has no `hosts`"
    if offer.listed and not listed:
        return "a `listed` offer needs an `audience` that is a list or a rule"
    if listed and not offer.listed:
        return "an offer of a campaign that is not for all must be `listed`: true"
    if budget.unlimited and (offer.caps.per_day_bytes or budget.per_day_bytes):
        return "a cap of a day for all together needs a budget of `total_bytes`"
    return None if offer.hours is None else hours_mistake(offer.hours)


def _budget_mistake(draft: DraftTerms) -> str | None:
    """Return which limit of the budget would not hold for all that the campaign gives."""
    budget, offers = draft.budget, draft.offer is not None
    if budget.per_day_bytes is not None and (draft.grants or (draft.tasks and offers)):
        return (
            "`budget.per_day_bytes` is for a campaign of `tasks` alone or of an `offer` alone:"
            " each counts for itself, and `grants` are given whatever the day"
        )
    if budget.per_subscriber_bytes is not None and not draft.tasks:
        return (
            "`budget.per_subscriber_bytes` limits `tasks`, and there are none: an `offer` has"
            " `caps` of its own, `grants` have their `bytes`"
        )
    return None


def check_content_allowed(terms: DraftTerms, *, neutral: bool) -> None:
    """Raise RefusedError content_offers_forbidden for an offer by content in a neutral country."""
    if neutral and terms.offer is not None and terms.offer.is_by_content:
        raise RefusedError(
            "content_offers_forbidden",
            "offers that depend on what is looked at are not allowed here; awards, and offers of"
            " all traffic, are",
        )  # fmt: skip
