"""How what was earned becomes claims, within one turn: each once, and none beyond a limit."""

from typing import Literal
from uuid import UUID

import msgspec

from services.tasks.domain.claim import Claim, For
from services.tasks.domain.tasks.completion import (
    Earned,
    Occasion,
    Token,
    claim_name,
    over_budget,
    referral,
)
from services.tasks.domain.tasks.kinds import Common, Referral, Task
from services.tasks.domain.tasks.limits import ClaimLimits, Earning, refuse_earning
from services.tasks.turn import Turn
from shared.errors import RefusedError
from shared.ids import digest

# Whether it is known for whom a campaign is: not yet, or never where its rule finds too few.
AudienceIs = Literal["known", "due", "too_small"]
NOT_TAKEN = "audience_not_taken"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign whose tasks can be done now, in its version in force."""

    campaign: str
    partner: str
    asp_id: str
    version: int
    starts_at: int
    ends_at: int | None
    limits: ClaimLimits
    tasks: dict[str, Task]
    # The list of those whom it is for; None: for everybody that comes.
    members_of: str | None = None
    audience: AudienceIs = "known"

    def task(self, name: str) -> Task:
        """Return a task by its name. Raises RefusedError task_not_found."""
        found = self.tasks.get(name)
        if found is None:
            detail = f"campaign {self.campaign} has no task {name}"
            raise RefusedError("task_not_found", detail, 404)
        return found


class Where(msgspec.Struct, frozen=True):
    """From where somebody does a task: hashes that the caller made, None where it knows none."""

    device: str | None = None
    address: str | None = None

    def or_of(self, token: Token | None) -> "Where":
        """Return this, and what it does not know from where a token was given."""
        if token is None:
            return self
        return Where(self.device or token.device, self.address or token.address)


# What an act brings besides was done nowhere: devices and addresses are limited in acts.
NOWHERE = Where()


class Desk:
    """Takes claims of one campaign in one turn, by somebody's word (`actor`)."""

    def __init__(self, turn: Turn, running: Running, actor: str, *, causation_id: str = "") -> None:
        self.turn = turn
        self.running = running
        self.meta = turn.meta(actor, causation_id=causation_id)
        self.on = Occasion(
            campaign=running.campaign, starts_at=running.starts_at, ends_at=running.ends_at,
            now=turn.now, calendar=turn.calendar, rules=turn.rules,
        )  # fmt: skip

    def take(
        self, task: Common, found: list[Earned], where: Where, happened_at: int = 0
    ) -> list[Claim]:
        """Let claims begin; what else comes of a completion is left out where a limit refuses it.

        All of them are one act of its device and address. Raises RefusedError already_claimed, or
        what limits say, of the first one.
        """
        whose = For(
            campaign=self.running.campaign, partner=self.running.partner,
            version=self.running.version, task=task.name, happened_at=happened_at,
        )  # fmt: skip
        first, *others = found
        self._check_audience(first.subscriber)
        claims = [self._claim(whose, first, where)]
        for earned in others:
            try:
                claims.append(self._claim(whose, earned, NOWHERE))
            except RefusedError:
                continue
        return claims

    def _check_audience(self, subscriber: str) -> None:
        """Raise RefusedError audience_not_taken, audience_too_small, not_in_audience."""
        running = self.running
        if running.audience == "due":
            detail = "whom the campaign is for is being found out, try again soon"
            raise RefusedError("audience_not_taken", detail, 503)
        if running.audience == "too_small":
            raise RefusedError(
                "audience_too_small", "the campaign is for too few to be for anybody"
            )
        members_of = running.members_of
        if members_of is None:
            return
        if not self.turn.lists.members_among(members_of, [subscriber]):
            raise RefusedError("not_in_audience", "the campaign is for others")

    def check_new(self, task: Common, step: str, subscriber: str, occurrence: str = "") -> None:
        """Raise RefusedError already_claimed where there is such a claim."""
        self._check_new(self.on.name(task, step, subscriber, occurrence))

    def _check_new(self, claim_id: str) -> None:
        if self.turn.claims.is_claimed(UUID(hex=claim_id)):
            raise RefusedError(
                "already_claimed", "this has been claimed before", 409, claim_id=claim_id
            )

    def _claim(self, whose: For, earned: Earned, where: Where) -> Claim:
        claim_id = claim_name(
            whose.campaign, whose.task, earned.step, earned.subscriber, earned.occurrence
        )
        self._check_new(claim_id)
        refusal = self._over_limit(earned, where)
        if refusal is not None:
            earned = over_budget(earned, refusal)
        claim = Claim.begin(whose, earned, self.meta)
        self.turn.add(claim)
        self.turn.claims.begin(claim, where.device, where.address)
        return claim

    def _over_limit(self, earned: Earned, where: Where) -> RefusedError | None:
        """Return which limit refuses that this is earned now, None if none does."""
        if earned.reward is None:
            return None
        used = self.turn.claims.tallies.used(
            self.running.campaign, earned.subscriber, where.device, where.address
        )
        earning = Earning(earned.bytes, self.turn.now)
        return refuse_earning(
            earning, self.running.limits, self.turn.rules, used, self.turn.calendar
        )

    def refer(
        self, task: Referral, friend: str, entrance: Token | None, seed: bytes, where: Where
    ) -> list[Claim]:
        """Reward both sides of a referral for what the friend does from somewhere.

        Raises RefusedError as `referral` and limits do.
        """
        return self.take(task, self._sides(task, friend, entrance, seed), where)

    def _sides(
        self, task: Referral, friend: str, entrance: Token | None, seed: bytes
    ) -> list[Earned]:
        """Return what the friend and the referrer earn. Raises RefusedError as `referral`."""
        inviter = None if entrance is None else entrance.invited_by
        month_count = 0
        if inviter is not None:
            campaign, claims = self.running.campaign, self.turn.claims
            claims.read_person(campaign, inviter)
            month_count = claims.tallies.earned_this_month(campaign, task.name, "referrer", inviter)
        return referral(task, friend, entrance, month_count, seed)

    def refer_after(
        self, done: str, friend: str, entrance: Token | None, seed: bytes
    ) -> list[Claim]:
        """Reward the referrals that a friend's completion of the task `done` brings, if any.

        They are part of that act, which has been held against the limits of its device. A limit
        that only the friend meets costs the referrer nothing.
        """
        claims: list[Claim] = []
        if entrance is None or entrance.invited_by is None:
            return claims
        for task in self.running.tasks.values():
            if isinstance(task, Referral) and done in task.after:
                try:
                    sides = self._sides(task, friend, entrance, seed)
                    claims += self.take(task, self._noted_friend(sides), NOWHERE)
                except RefusedError:
                    continue
        return claims

    def _noted_friend(self, sides: list[Earned]) -> list[Earned]:
        """Return both sides of a referral, the friend's noted where a limit refuses it alone.

        Noted it counts as rewarded: by whatever the friend does later nobody else invited it.
        """
        friend, referrer = sides
        refusal = self._over_limit(friend, NOWHERE)
        if refusal is None or referrer.reward is None or self._over_limit(referrer, NOWHERE):
            return sides
        return [msgspec.structs.replace(friend, reward=None, bytes=0, code=refusal.code), referrer]


def seed_for(seed: bytes, *of: str) -> bytes:
    """Return a seed for one thing, of a request's secret one."""
    return digest(seed.hex(), *of)
