"""What a completion earns: how many bytes, and on which terms they arrive."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from services.tasks.domain.usable import carry_mistake, use_mistake
from shared.contracts.offers import Amount, Hours, RewardTerms

KIB, MIB = 1 << 10, 1 << 20
DAY_MS = 86_400_000
# An award and a reward are alike: for whoever gets them, and for the month's cap. They tell in
# reports what a partner's event earned, and what the bank's own tasks gave.
Kind = Literal["award", "reward"]
Days = Annotated[int, Meta(ge=1, le=3660)]
PendingDays = Annotated[int, Meta(ge=0, le=90)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a campaign's terms: a misspelt name is an error, not a rule that silently lacks."""


class Range(Part, frozen=True):
    """An amount that is drawn: `least` to `most`, in whole steps above `least`."""

    least: Amount
    most: Amount
    step: Amount = MIB

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError("`least` of a reward is above its `most`")


class Reward(Part, frozen=True):
    """What is earned: bytes that can be used `valid_days` long, after `pending_days`.

    A draft that leaves `pending_days` out means its kind of task's own; terms in the log say them,
    and where an old one does not it means none.
    """

    bytes: Amount | Range
    kind: Kind = "reward"
    valid_days: Days = 30
    pending_days: PendingDays | UnsetType = UNSET
    giftable: bool = False
    carries: bool = False
    scope: Literal["any"] | list[str] = "any"
    hours: Hours | None = None

    @property
    def bytes_max(self) -> int:
        """Return the most that this reward can be."""
        return self.bytes.most if isinstance(self.bytes, Range) else self.bytes

    def of(self, amount: int) -> "Reward":
        """Return a reward on the same terms of another amount."""
        return replace(self, bytes=amount)

    def mistake(self) -> str | None:
        """Return what is wrong with it if it is put now, None if nothing is."""
        return use_mistake(self.scope, self.hours) or carry_mistake(
            carries=self.carries, ends_with_month=False
        )

    def pending_by_default(self, days: int) -> "Reward":
        """Return this reward, pending for so many days where it does not say how many."""
        return replace(self, pending_days=days) if self.pending_days is UNSET else self


def amount_of(reward: Reward, seed: bytes) -> int:
    """Return how many bytes a reward is; the same seed draws the same."""
    if not isinstance(reward.bytes, Range):
        return reward.bytes
    choices = (reward.bytes.most - reward.bytes.least) // reward.bytes.step + 1
    return reward.bytes.least + draw(seed, choices) * reward.bytes.step


def draw(seed: bytes, choices: int) -> int:
    """Draw evenly from 0 … choices - 1; of 2**256 values the bias is nil."""
    return int.from_bytes(hashlib.sha256(seed).digest()) % choices


def lot_terms(reward: Reward, now: int) -> RewardTerms:
    """Return the terms of the lot that arrives; one that is pending begins in the future."""
    pending_days = 0 if reward.pending_days is UNSET else reward.pending_days
    valid_from = now + pending_days * DAY_MS
    return RewardTerms(
        kind=reward.kind, valid_from=valid_from,
        expires_at=valid_from + reward.valid_days * DAY_MS, scope=reward.scope,
        hours=reward.hours, giftable=reward.giftable, carries=reward.carries,
    )  # fmt: skip
