"""What a completion comes to: claims that earn, claims that are noted, or a refusal.

A claim's id follows from campaign, task, step, subscriber and occurrence, so that a thing can be
claimed once by construction:

| task         | steps             | occurrence                                   |
| ------------ | ----------------- | -------------------------------------------- |
| registration | registered        | (none: once)                                 |
| first_order  | ordered           | (none: once)                                 |
| install      | installed         | (none: once)                                 |
| survey       | surveyed          | (none: once)                                 |
| sign_in      | signed_in, bonus  | the bank's day                               |
| ad_watched   | watched           | the token's id                               |
| share        | shared            | the bank's day of the link                   |
| referral     | referrer          | the friend                                   |
| referral     | friend            | (none: once)                                 |
| quiz         | solved            | (none: once)                                 |
| quiz         | tried             | the bank's day and the number of the try     |
| lucky_draw   | drawn             | the entry's id                               |
"""

from typing import Literal

import msgspec

from services.tasks.domain.tasks.draws import commitment_of, prize_at, roll_of
from services.tasks.domain.tasks.kinds import (
    NOTHING,
    AdWatched,
    Common,
    FirstOrder,
    Install,
    LuckyDraw,
    PartnerTask,
    Quiz,
    Referral,
    Registration,
    Share,
    SignIn,
    Survey,
)
from services.tasks.domain.tasks.limits import day_after
from services.tasks.domain.tasks.rewards import DAY_MS, Reward, amount_of
from services.tasks.domain.tasks.rules import TaskRules
from services.tasks.domain.tasks.streak import SignedIn, place_today
from shared.calendar import Calendar
from shared.contracts.tasks import DrawResult
from shared.errors import RefusedError
from shared.ids import digest

HOUR_MS = 3_600_000
# A clock may be a little fast.
FUTURE_MS = 5 * 60_000
# Partners tell whole seconds: what happened within the second of the entrance came of it.
SECOND_MS = 1_000
PARTNER_STEPS: dict[type[PartnerTask], str] = {
    Registration: "registered", FirstOrder: "ordered", Install: "installed", Survey: "surveyed",
}  # fmt: skip


def claim_name(campaign: str, task: str, step: str, subscriber: str, occurrence: str = "") -> str:
    """Return the id of a claim (32 hex digits); there is but one of a thing."""
    return digest("task-claim", campaign, task, step, subscriber, occurrence).hex()


class Token(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What we gave out: the entrance to a campaign, an ad's start, a link to share.

    `token_id` is public; the token itself is a secret of whoever has it.
    """

    token_id: str
    use: Literal["entrance", "ad", "share"]
    campaign: str
    task: str
    subscriber: str
    issued_at: int
    invited_by: str | None = None
    device: str | None = None
    address: str | None = None


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when a completion is decided: in which campaign's dates, by which rules."""

    campaign: str
    starts_at: int = 0
    ends_at: int | None = None
    now: int
    calendar: Calendar
    rules: TaskRules

    def name(self, task: Common, step: str, subscriber: str, occurrence: str = "") -> str:
        """Return a claim's id in this campaign."""
        return claim_name(self.campaign, task.name, step, subscriber, occurrence)

    @property
    def today(self) -> str:
        """Return the bank's day."""
        return self.calendar.day_of(self.now)


class Earned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A claim that comes of a completion; noted with a `code` where it earns nothing."""

    step: str
    subscriber: str
    occurrence: str = ""
    reward: Reward | None = None
    bytes: int = 0
    code: str = ""
    place: int = 0
    draw: DrawResult | None = None
    attributed_at: int = 0


def _earn(step: str, subscriber: str, reward: Reward, seed: bytes = b"", **more: object) -> Earned:
    amount = amount_of(reward, seed)
    return Earned(step=step, subscriber=subscriber, reward=reward, bytes=amount, **more)  # type: ignore[arg-type]


# What a partner tells.


def partner_event(
    task: PartnerTask, subscriber: str, happened_at: int, entrance: Token | None,
    on: Occasion, seed: bytes,
) -> Earned:  # fmt: skip
    """Return what a partner's event earns: nothing where it needs attribution and has none.

    Refusals, in order: completion_in_future, completion_too_late, completion_before_campaign,
    completion_after_campaign.
    """
    check_arrival(happened_at, on)
    check_dates(happened_at, on)
    step = PARTNER_STEPS[type(task)]
    issued_at = 0 if entrance is None else entrance.issued_at
    if task.attributed:
        code = ""
        if entrance is None or issued_at // SECOND_MS * SECOND_MS > happened_at:
            code, issued_at = "not_attributed", 0
        elif happened_at - issued_at > on.rules.attribution_days * DAY_MS:
            code = "attribution_expired"
        if code:
            return Earned(step=step, subscriber=subscriber, code=code, attributed_at=issued_at)
    reward: Reward = task.reward  # type: ignore[attr-defined]
    return _earn(step, subscriber, reward, seed, attributed_at=issued_at)


def check_arrival(happened_at: int, on: Occasion) -> None:
    """Raise RefusedError completion_in_future or completion_too_late."""
    if happened_at > on.now + FUTURE_MS:
        raise RefusedError("completion_in_future", "what has not happened yet can't be completed")
    if on.now - happened_at > on.rules.arrive_within_hours * HOUR_MS:
        raise RefusedError(
            "completion_too_late",
            f"a completion arrives within {on.rules.arrive_within_hours} h of happening",
        )


def check_dates(happened_at: int, on: Occasion) -> None:
    """Raise RefusedError completion_before_campaign or completion_after_campaign."""
    if happened_at < on.starts_at:
        begins = on.calendar.text(on.starts_at)
        raise RefusedError(
            "completion_before_campaign", f"the campaign counts what happens from {begins} on",
            starts_at=begins,
        )  # fmt: skip
    if on.ends_at is not None and happened_at >= on.ends_at:
        ends = on.calendar.text(on.ends_at)
        raise RefusedError(
            "completion_after_campaign", f"the campaign counts what happens before {ends}",
            ends_at=ends,
        )  # fmt: skip


# What the bank observes.


def sign_in(
    task: SignIn, subscriber: str, last: SignedIn | None, on: Occasion, seed: bytes
) -> list[Earned]:
    """Return what today's sign-in earns; on a streak's last day its bonus too."""
    place = place_today(on.today, last, task.streak_days)
    found = [_earn("signed_in", subscriber, task.reward, seed, occurrence=on.today, place=place)]
    if place == task.streak_days and task.bonus_bytes is not None:
        bonus = task.reward.of(task.bonus_bytes)
        found.append(_earn("bonus", subscriber, bonus, occurrence=on.today))
    return found


class Watched(msgspec.Struct, frozen=True):
    """How many ads of a task somebody watched today; when the last of any task (0: none lately)."""

    today: int = 0
    last_at: int = 0


def ad_watched(task: AdWatched, token: Token, before: Watched, on: Occasion, seed: bytes) -> Earned:
    """Return what an ad earns that was watched from its token's start until now.

    One is watched after the other: its time begins when the one before was watched, however many
    tokens were given out at once. Raises RefusedError token_expired, ad_not_watched, ads_day_limit.
    """
    if on.now - token.issued_at > task.redeem_within_s * 1000:
        raise RefusedError("token_expired", f"a token is good for {task.redeem_within_s} s")
    watched_ms = on.now - max(token.issued_at, before.last_at)
    if watched_ms < task.watch_s * 1000:
        left_s = -(-(task.watch_s * 1000 - watched_ms) // 1000)
        raise RefusedError("ad_not_watched", f"the ad runs for {left_s} s more", left_s=left_s)
    check_day("ads_day_limit", before.today, task.per_day, "ads", on)
    return _earn("watched", token.subscriber, task.reward, seed, occurrence=token.token_id)


def shared(task: Share, token: Token, visitors: int, on: Occasion, seed: bytes) -> Earned:
    """Return what a shared link earns that so many distinct valid visitors opened.

    Raises RefusedError not_enough_visitors.
    """
    if visitors < task.visitors:
        raise RefusedError(
            "not_enough_visitors",
            f"{visitors} of {task.visitors} visitors have opened the link", visitors=visitors,
        )  # fmt: skip
    day = on.calendar.day_of(token.issued_at)
    return _earn("shared", token.subscriber, task.reward, seed, occurrence=day)


def referral(
    task: Referral, friend: str, entrance: Token | None, month_count: int, seed: bytes
) -> list[Earned]:
    """Return what a friend's first qualifying act earns: for the friend, and for who invited it.

    A referrer who has had its successes of the month gets nothing, its friend does.
    Raises RefusedError not_invited, self_referral.
    """
    if entrance is None or entrance.invited_by is None:
        raise RefusedError("not_invited", "the subscriber did not come by an invitation")
    check_invitation(friend, entrance.invited_by)
    issued_at = entrance.issued_at
    found = [
        _earn("friend", friend, task.friend_reward, seed, attributed_at=issued_at),
        _earn("referrer", entrance.invited_by, task.reward, seed, occurrence=friend,
              attributed_at=issued_at),
    ]  # fmt: skip
    if month_count >= task.per_month:
        found[1] = msgspec.structs.replace(
            found[1], reward=None, bytes=0, code="referrals_month_limit"
        )
    return found


def check_invitation(friend: str, invited_by: str) -> None:
    """Raise RefusedError self_referral."""
    if friend == invited_by:
        raise RefusedError("self_referral", "nobody invites themselves")


def quiz(
    task: Quiz, subscriber: str, answers: list[int], tries_today: int, on: Occasion, seed: bytes
) -> Earned:
    """Return what answers earn, one for each question; wrong ones are a try, and noted.

    Raises RefusedError quiz_answers_malformed, quiz_tries_limit.
    """
    if len(answers) != len(task.questions):
        raise RefusedError(
            "quiz_answers_malformed", f"there are {len(task.questions)} questions to answer"
        )
    check_day("quiz_tries_limit", tries_today, task.tries_per_day, "tries", on)
    right = sum(
        question.answer == answer for question, answer in zip(task.questions, answers, strict=True)
    )
    if right < task.needed:
        occurrence = f"{on.today}/{tries_today + 1}"
        return Earned(
            step="tried", subscriber=subscriber, occurrence=occurrence, code="quiz_not_solved"
        )
    return _earn("solved", subscriber, task.reward, seed)


class Stock(msgspec.Struct, frozen=True):
    """What a draw is decided by: the day's secret seed, and how many of each prize are gone."""

    seed: bytes
    gone: dict[str, int]


def lucky_draw(
    task: LuckyDraw, subscriber: str, entry: str, drawn_today: int, stock: Stock, on: Occasion
) -> Earned:
    """Return what an entry wins; what wins nothing, or a prize that is gone, is noted.

    Raises RefusedError draws_day_limit.
    """
    check_day("draws_day_limit", drawn_today, task.per_day, "draws", on)
    roll = roll_of(stock.seed, on.name(task, "drawn", subscriber, entry))
    prize = prize_at(task, roll)
    result = DrawResult(
        roll=roll, prize=NOTHING if prize is None else prize.name,
        seed_commitment=commitment_of(stock.seed),
    )  # fmt: skip
    if prize is None or _is_gone(prize.stock, stock.gone.get(prize.name, 0)):
        code = "no_prize" if prize is None else "prize_out_of_stock"
        return Earned(step="drawn", subscriber=subscriber, occurrence=entry, code=code, draw=result)
    reward = task.terms.of(prize.bytes)
    return _earn("drawn", subscriber, reward, occurrence=entry, draw=result)


def _is_gone(stock: int | None, gone: int) -> bool:
    return stock is not None and gone >= stock


def over_budget(earned: Earned, refusal: RefusedError) -> Earned:
    """Return what a claim that a limit refuses comes to: a draw is noted. Raises the refusal."""
    if earned.draw is None:
        raise refusal
    return msgspec.structs.replace(earned, reward=None, bytes=0, code="prize_over_budget")


def check_day(code: str, used: int, most: int, what: str, on: Occasion) -> None:
    """Raise RefusedError with this code where the day's number is reached."""
    if used >= most:
        begins = on.calendar.text(day_after(on.now, on.calendar))
        raise RefusedError(
            code, f"{most} {what} a day are taken; again from {begins} on",
            limit=most, allowed_from=begins,
        )  # fmt: skip
