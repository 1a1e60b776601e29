"""The kinds of tasks as a campaign's terms have them, each with its defaults.

A task belongs to one version of a campaign's terms, so its numbers are versioned with them. Who may
tell that it was done: the partner by a signed call, or the bank by its own observation; a client's
word is never enough.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from msgspec.structs import replace

from services.tasks.domain.tasks.rewards import MIB, Part, Range, Reward
from shared.contracts.offers import Amount
from shared.mistakes import shaped

Name = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9_-]{0,63}\Z", "1 to 64 small letters, digits, _ or -, such as sign-in"
    ),
]
Title = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
ODDS = 10_000
NOTHING = "nothing"
# A partner's event, or a friend's first act, may turn out to be none; what the bank sees is one.
PENDING_DAYS = 3
TellsIt = Literal["partner", "bank"]


class Common(Part, frozen=True, kw_only=True):
    """What every task has: its name, which never means another task in its campaign.

    `PENDING_DAYS`: how long its rewards are pending where a draft does not say.
    """

    TOLD_BY: ClassVar[TellsIt] = "bank"
    PENDING_DAYS: ClassVar[int] = 0

    name: Name
    title: Title = ""


class PartnerTask(Common, frozen=True, kw_only=True):
    """Something that the partner sees; `attributed`: it earns only if it came of our entrance."""

    TOLD_BY: ClassVar[TellsIt] = "partner"
    PENDING_DAYS: ClassVar[int] = PENDING_DAYS

    attributed: bool = True


class Registration(PartnerTask, frozen=True, kw_only=True, tag_field="kind", tag="registration"):
    """The subscriber registered with the partner, once."""

    reward: Reward = Reward(bytes=60 * MIB, kind="award", pending_days=PENDING_DAYS)


class FirstOrder(PartnerTask, frozen=True, kw_only=True, tag_field="kind", tag="first_order"):
    """The subscriber's first order (ride, purchase) with the partner, once."""

    reward: Reward


class Install(PartnerTask, frozen=True, kw_only=True, tag_field="kind", tag="install"):
    """The subscriber installed and opened the partner's app, once."""

    reward: Reward


class Survey(PartnerTask, frozen=True, kw_only=True, tag_field="kind", tag="survey"):
    """The subscriber filled in the partner's survey, once."""

    reward: Reward
    attributed: bool = False


class SignIn(Common, frozen=True, kw_only=True, tag_field="kind", tag="sign_in"):
    """Once per day of the bank; on the last day of a streak there is a bonus, and it restarts."""

    reward: Reward = Reward(bytes=Range(least=5 * MIB, most=15 * MIB))
    streak_days: Annotated[int, Meta(ge=2, le=366)] = 7
    bonus_bytes: Amount | None = 50 * MIB


class AdWatched(Common, frozen=True, kw_only=True, tag_field="kind", tag="ad_watched"):
    """An ad was watched: a token is given at its start and redeemed after its time."""

    reward: Reward
    watch_s: Seconds = 15
    redeem_within_s: Seconds = 3600
    per_day: Count = 20


class Share(Common, frozen=True, kw_only=True, tag_field="kind", tag="share"):
    """A shared link was opened by so many distinct visitors; one link per subscriber and day."""

    reward: Reward
    visitors: Count = 1


class Referral(Common, frozen=True, kw_only=True, tag_field="kind", tag="referral"):
    """A friend came by invitation and did its first qualifying act: both sides are rewarded.

    `after`: the tasks whose completion by the friend counts; without them the bank tells it.
    """

    PENDING_DAYS: ClassVar[int] = PENDING_DAYS

    reward: Reward = Reward(bytes=10 * MIB, pending_days=PENDING_DAYS)
    friend_reward: Reward = Reward(bytes=10 * MIB, pending_days=PENDING_DAYS)
    per_month: Count = 5
    after: tuple[Name, ...] = ()


class Question(Part, frozen=True, kw_only=True):
    """A question with its choices; `answer` is the right one's place, from 0."""

    text: Text
    choices: Annotated[list[Text], Meta(min_length=2, max_length=20)]
    answer: Annotated[int, Meta(ge=0, le=19)]


class Quiz(Common, frozen=True, kw_only=True, tag_field="kind", tag="quiz"):
    """Enough questions were answered rightly, once; a try costs one of the day's tries."""

    reward: Reward
    questions: Annotated[list[Question], Meta(min_length=1, max_length=50)]
    correct: Count | None = None
    tries_per_day: Count = 1

    @property
    def needed(self) -> int:
        """Return how many answers have to be right."""
        return self.correct or len(self.questions)


class Prize(Part, frozen=True, kw_only=True):
    """A prize with its odds in basis points, and how many there are (None: no end)."""

    name: Name
    odds: BasisPoints
    bytes: Amount
    stock: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class LuckyDraw(Common, frozen=True, kw_only=True, tag_field="kind", tag="lucky_draw"):
    """A draw for prizes: one per entry, few a day; what no prize's odds cover wins nothing.

    The odds of the prizes and of `nothing` sum to 10,000. Stock and budget beat odds.
    """

    prizes: Annotated[list[Prize], Meta(min_length=1, max_length=100)]
    nothing: BasisPoints = 0
    terms: Reward = Reward(bytes=1)
    per_day: Count = 3


Task = (
    Registration | FirstOrder | Install | Survey | SignIn | AdWatched | Share | Referral | Quiz
    | LuckyDraw
)  # fmt: skip


def with_pending_days(task: Task) -> Task:
    """Return a draft's task as the log has it: each reward says how long it is pending."""
    rewards = {
        name: reward.pending_by_default(task.PENDING_DAYS)
        for name, reward in _rewards(task).items()
    }
    return replace(task, **rewards)


def _rewards(task: Task) -> dict[str, Reward]:
    """Return what a task earns, by the names of its fields."""
    found = {name: getattr(task, name) for name in task.__struct_fields__}
    return {name: each for name, each in found.items() if isinstance(each, Reward)}


def task_mistake(tasks: list[Task]) -> str | None:
    """Return what is wrong with a campaign's tasks, None if nothing is."""
    names = [task.name for task in tasks]
    for task in tasks:
        if names.count(task.name) > 1:
            return f"two tasks have the name {task.name}"
        found = _mistake(task, names)
        if found is not None:
            return f"task {task.name}: {found}"
    return None


def _mistake(task: Task, names: list[str]) -> str | None:
    for field, reward in _rewards(task).items():
        mistake = reward.mistake()
        if mistake is not None:
            return f"its `{field}`: {mistake}"
    if isinstance(task, LuckyDraw):
        return _draw_mistake(task)
    if isinstance(task, Quiz):
        if any(each.answer >= len(each.choices) for each in task.questions):
            return "a question's `answer` is none of its choices"
        if task.needed > len(task.questions):
            return "`correct` is more than there are questions"
    if isinstance(task, Referral):
        unknown = sorted({*task.after} - ({*names} - {task.name}))
        if unknown:
            return f"`after` names no other task of this campaign: {', '.join(unknown)}"
    return None


def _draw_mistake(task: LuckyDraw) -> str | None:
    names = [prize.name for prize in task.prizes]
    if len({*names, NOTHING}) <= len(names):
        return f"its prizes need names of their own, and none may be called {NOTHING}"
    total = sum(prize.odds for prize in task.prizes) + task.nothing
    if total != ODDS:
        return f"the odds come to {total} basis points, they must come to {ODDS}"
    return None
