"""What a campaign sponsors: the terms that tasks puts into every partition of the ledger.

An offer is a standing instruction, not an event: the event of the ledger that says it is known
names its version and the digest of its hosts, never a host (those stay out of every log).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Amount = Annotated[int, Meta(ge=1, le=2**53 - 1)]
ANY_TRAFFIC = "any"
OfferState = Literal["running", "paused", "ended"]
AtCap = Literal["fallback_to_user", "block"]
Minute = Annotated[int, Meta(ge=0, le=1440)]


class Hours(msgspec.Struct, frozen=True):
    """A time band of each bank day, half-open, in minutes from midnight; it may pass midnight."""

    begins: Minute
    ends: Minute

    def contains(self, minute: int) -> bool:
        """Say whether a minute of the day (0 … 1439) lies in the band."""
        if self.begins <= self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends

    @property
    def is_empty(self) -> bool:
        """Say whether no minute of a day lies in the band."""
        return not self.contains(self.begins % 1440)


class RewardTerms(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The terms of a lot that a subscriber gets: what it is, when it can be used, for what.

    `valid_from` in the future: pending, it can be neither used nor given away before.
    """

    kind: Literal["award", "reward", "pack"]
    valid_from: int
    expires_at: int
    scope: str | list[str] = "any"
    hours: Hours | None = None
    giftable: bool = False
    carries: bool = False


class Caps(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How many bytes an offer pays for at most; None: no limit.

    `per_subscriber_bytes`: of one subscriber in a month (of `occurred_at`);
    `per_subscriber_day_bytes`: of one subscriber in a day (of `occurred_at`); `per_day_bytes`: of
    all together on a bank day (of `recorded_at`). What all together may cost in all is the
    campaign's budget.
    """

    per_subscriber_bytes: Amount | None = None
    per_subscriber_day_bytes: Amount | None = None
    per_day_bytes: Amount | None = None


class Offer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True,
            forbid_unknown_fields=True):  # fmt: skip
    """One version of what a campaign sponsors; the highest version counts.

    Usage matches by `occurred_at` in [starts_at, ends_at) (milliseconds), by its rating group or by
    a host pattern (`didi.com` stands for itself and every subdomain); `rating_group` `any` matches
    all traffic. `listed`: only for the offer's members. Budget `escrow`: what the campaign was
    funded with; `unlimited`: the campaign is charged on credit.
    """

    campaign: str
    version: int
    partner: str
    sponsor_id: str
    asp_id: str
    rating_group: str
    hosts: list[str] = []
    starts_at: int
    ends_at: int | None = None
    state: OfferState = "running"
    listed: bool = False
    budget: Literal["escrow", "unlimited"] = "escrow"
    caps: Caps = Caps()
    at_cap: AtCap = "fallback_to_user"
    hours: Hours | None = None
    roaming: bool = False
