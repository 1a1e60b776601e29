"""What the bank sees itself: sign-ins, ads watched, shared links, referrals, quizzes, draws."""

import secrets
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.claiming import Desk, Where, seed_for
from services.tasks.completions import Hash, Subscriber, TokenText
from services.tasks.domain.tasks import completion as done
from services.tasks.domain.tasks.completion import Earned, Stock, Token
from services.tasks.domain.tasks.draws import SEED_BYTES
from services.tasks.domain.tasks.kinds import (
    AdWatched,
    LuckyDraw,
    Quiz,
    Referral,
    Share,
    SignIn,
    Task,
)
from services.tasks.running import running_campaign
from services.tasks.turn import Needs, Turn
from shared.errors import InvalidError, RefusedError
from shared.mistakes import shaped
from shared.sagas.requests import Asking, Request

Entry = Annotated[str, shaped(r"^[A-Za-z0-9_-]{1,64}\Z", "1 to 64 letters, digits, _ or -")]


class Doing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That somebody does a task; what else it takes depends on the task's kind.

    An ad: the `token` of its start. A quiz: `answers`, each a choice's place from 0. A draw: the
    `entry`. The device and the address are hashes.
    """

    subscriber: Subscriber
    token: TokenText | None = None
    answers: list[Annotated[int, Meta(ge=0, le=19)]] | None = None
    entry: Entry | None = None
    device: Hash | None = None
    address: Hash | None = None


class Known(msgspec.Struct, frozen=True):
    """What is known of who does a task: its token, its way to us, a shared link's visitors."""

    token: Token | None = None
    entrance: Token | None = None
    visitors: int = 0


class DoTask(Request):
    """Do a task that the bank sees; a refusal leaves the key free."""

    def __init__(
        self, asking: Asking, campaign: str, task: str, doing: Doing, known: Known
    ) -> None:
        super().__init__(asking)
        self._campaign = campaign
        self._task = task
        self._doing = doing
        self._known = known
        told = Where(doing.device, doing.address)
        self._where = told.or_of(known.token).or_of(known.entrance)
        # Not in the turn: a turn that is run again must draw the same.
        self._seed = secrets.token_bytes(SEED_BYTES)

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.campaigns.add(self._campaign)
        claims, doing = needs.claims, self._doing
        claims.campaigns.add(self._campaign)
        claims.people.add((self._campaign, doing.subscriber))
        if self._where.device is not None:
            claims.devices.add((self._campaign, self._where.device))
        if self._where.address is not None:
            claims.addresses.add((self._campaign, self._where.address))

    def act(self, turn: Turn) -> UUID:
        """Do it. Raises what the task, limits and the campaign's state refuse."""
        running = running_campaign(turn, self._campaign)
        task = running.task(self._task)
        desk = Desk(turn, running, self.asking.caller)
        seed = seed_for(self._seed, self.asking.subject.hex)
        who, entrance = self._doing.subscriber, self._known.entrance
        if isinstance(task, Referral):
            if task.after:
                detail = f"it follows by itself from what the friend does: {', '.join(task.after)}"
                raise RefusedError("referral_follows", detail)
            return desk.refer(task, who, entrance, seed, self._where)[0].id
        claims = desk.take(task, self._earned(task, desk, seed), self._where)
        if claims[0].bytes:
            desk.refer_after(task.name, who, entrance, seed)
        return claims[0].id

    def _earned(self, task: Task, desk: Desk, seed: bytes) -> list[Earned]:
        tallies, who = desk.turn.claims.tallies, self._doing.subscriber
        of = (desk.on.campaign, task.name, who)
        if isinstance(task, SignIn):
            last = tallies.last_sign_in(*of)
            desk.check_new(task, "signed_in", who, desk.on.today)
            return done.sign_in(task, who, last, desk.on, seed)
        if isinstance(task, AdWatched):
            token = self._token_of("ad", task)
            desk.check_new(task, "watched", who, token.token_id)
            before = done.Watched(tallies.today(*of), tallies.last_watched(who))
            return [done.ad_watched(task, token, before, desk.on, seed)]
        if isinstance(task, Share):
            token = self._token_of("share", task)
            return [done.shared(task, token, self._known.visitors, desk.on, seed)]
        if isinstance(task, Quiz):
            answers = _given(self._doing.answers, "answers")
            desk.check_new(task, "solved", who)
            return [done.quiz(task, who, answers, tallies.today(*of), desk.on, seed)]
        if isinstance(task, LuckyDraw):
            return [self._drawn(task, desk, tallies.today(*of))]
        raise RefusedError("not_seen_by_bank", "what completes this task is told by the partner")

    def _drawn(self, task: LuckyDraw, desk: Desk, drawn_today: int) -> Earned:
        entry = _given(self._doing.entry, "entry")
        desk.check_new(task, "drawn", self._doing.subscriber, entry)
        seed = desk.turn.claims.draw_seed(desk.on.campaign, task.name, desk.on.today)
        if seed is None:
            raise RefusedError(
                "draw_not_ready", "the day's seed is being made, try again at once", 503
            )
        gone = desk.turn.claims.tallies.gone(desk.on.campaign, task.name)
        stock = Stock(seed, gone)
        return done.lucky_draw(task, self._doing.subscriber, entry, drawn_today, stock, desk.on)

    def _token_of(self, use: str, task: Task) -> Token:
        """Return the token that was given. Raises RefusedError token_unknown, token_of_another."""
        token = self._known.token
        if token is None or (token.use, token.campaign, token.task) != (
            use, self._campaign, task.name,
        ):  # fmt: skip
            raise RefusedError("token_unknown", "the task gave out no such token")
        if token.subscriber != self._doing.subscriber:
            raise RefusedError("token_of_another", "the token was given to another subscriber")
        return token


def task_of(turn: Turn, campaign: str, task: str | None = None, *, running: bool = True) -> Any:
    """Return a task of a campaign (or the campaign) as a glance sees it.

    Raises RefusedError as `running_campaign`, where it need not run: campaign_not_found.
    """
    turn.needs.campaigns.add(campaign)
    turn.read()
    found = running_campaign(turn, campaign, must_run=running)
    return found if task is None else found.task(task)


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise InvalidError(f"this task needs `{name}`", pointer=f"$.{name}")
    return value
