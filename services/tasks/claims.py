"""The use cases of tasks that are done: completions, observations, tokens, clawbacks, reads."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import tuple_row

from services.tasks import claim_pages
from services.tasks.claim_rows import ToldBy
from services.tasks.clawbacks import ClawBack
from services.tasks.completions import Asked, Outcome, TakeCompletions, Told, told_now
from services.tasks.domain.claim import Claim, unknown_claim
from services.tasks.domain.tasks.completion import Token, check_invitation
from services.tasks.domain.tasks.kinds import AdWatched, LuckyDraw, Share
from services.tasks.draw_seeds import DrawSeeds
from services.tasks.observing import Doing, DoTask, Known, task_of
from services.tasks.store import Store
from services.tasks.tokens import Issue, Tokens
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate, rebuild
from shared.sagas.requests import Answer, Asking
from shared.sagas.writer import Writer

# Answers of old have no app.
ANSWER = """
SELECT answer, claims FROM answers WHERE partner = %s AND asp_id IN (%s, '') AND request_id = %s
"""
KEPT_MS = 180 * 86_400_000
PURGE = "DELETE FROM answers WHERE answered_at < %s"


class Claims:
    """What is done for rewards, in this process. Threads may share it.

    `writer` gives the service's writer, which is started at first use.
    """

    def __init__(self, store: Store, writer: Callable[[], Writer]) -> None:
        self.store = store
        self.tokens = Tokens(store)
        self.draw_seeds = DrawSeeds(store)
        self._writer = writer

    # Partners.

    def complete(self, partner: str, asp_id: str, asked: list[Asked]) -> list[Outcome]:
        """Take in what a partner has seen; a refusal is an answer. Raises UnavailableError."""
        return self._writer().run(TakeCompletions(partner, asp_id, asked))

    def completion(self, by: ToldBy) -> Told:
        """Return how a completion stands now. Raises RefusedError completion_not_found."""
        answer, ids = self._answer(by)
        return told_now(by.request_id, answer, self._claims(ids))

    def claw_back_completion(self, asking: Asking, by: ToldBy) -> Answer:
        """Take back what came of a completion. Raises completion_not_found, `claw_back`'s."""
        found = self._answer(by)
        if not found[1]:
            raise RefusedError("nothing_to_claw_back", "the completion was refused")
        return self._writer().run(ClawBack(asking, found[1], asking.body[-1]))

    def claw_back(self, asking: Asking, claim: UUID, reason: str) -> Answer:
        """Take a reward back by hand. Raises claim_not_found, what `Claim.claw_back` refuses."""
        return self._writer().run(ClawBack(asking, [claim], reason))

    def _answer(self, by: ToldBy) -> tuple[bytes, list[UUID]]:
        with self.store.connection() as conn:
            row = conn.cursor(row_factory=tuple_row).execute(ANSWER, by).fetchone()
        if row is None:
            raise unknown_completion(by.request_id)
        return bytes(row[0]), row[1]

    def _claims(self, ids: list[UUID]) -> list[Claim]:
        events = self.store.events(ids) if ids else {}
        return [rebuild(events[each]) for each in ids]

    def purge(self) -> int:
        """Forget what partners were answered more than 180 days ago; return how much."""
        with self.store.connection() as conn:
            return conn.execute(PURGE, (self.store.clock.now() - KEPT_MS,)).rowcount

    # The bank's own observation.

    def enter(self, issue: Issue) -> tuple[str, Token, bool]:
        """Give out an entrance to a campaign.

        Raises RefusedError self_referral and the campaign's, ConflictError.
        """
        if issue.invited_by is not None:
            check_invitation(issue.subscriber, issue.invited_by)
        with self.store.glance() as turn:
            task_of(turn, issue.campaign)
        return self.tokens.issue(issue)

    def start(self, issue: Issue) -> tuple[str, Token, bool]:
        """Start an ad, or make the link that is shared today (by the task's kind).

        Raises RefusedError not_started and the campaign's, ConflictError.
        """
        with self.store.glance() as turn:
            task = task_of(turn, issue.campaign, issue.task)
            today = turn.calendar.day_of(turn.now)
        if isinstance(task, Share):
            key = ("share", issue.subscriber, today)
            return self.tokens.issue(msgspec.structs.replace(issue, use="share", key=key))
        if isinstance(task, AdWatched):
            return self.tokens.issue(msgspec.structs.replace(issue, use="ad"))
        raise RefusedError("not_started", "this task has no start: it is done at once")

    def visit(self, text: str, visitor: str) -> tuple[Token, int]:
        """Count a visitor of a shared link. Raises RefusedError token_unknown, own_visit."""
        token = self.tokens.find([text]).get(text)
        if token is None or token.use != "share":
            raise RefusedError("token_unknown", "there is no such link", 404)
        if visitor == token.device:
            raise RefusedError("own_visit", "who shares a link is no visitor of it")
        return token, self.tokens.visit(token, visitor)

    def do(self, asking: Asking, campaign: str, task: str, doing: Doing) -> Answer:
        """Do a task that the bank sees. Raises what the task, limits and campaign refuse."""
        token, visitors = None, 0
        if doing.token is not None:
            token = self.tokens.find([doing.token]).get(doing.token)
            if token is not None and token.use == "share":
                visitors = self.tokens.visitors(token)
        if doing.entry is not None:
            self._commit_draw(campaign, task)
        now = self.store.clock.now()
        happened = (campaign, doing.subscriber, now)
        entrance = self.tokens.entrances([happened]).get(happened)
        known = Known(token, entrance, visitors)
        return self._writer().run(DoTask(asking, campaign, task, doing, known))

    def draw_of(self, campaign: str, task: str, day: str | None) -> dict[str, Any]:
        """Return a draw's commitment of a day up to tomorrow; its seed once the day is over.

        Raises RefusedError task_not_found, no_draw and the campaign's.
        """
        with self.store.glance() as turn:
            found = task_of(turn, campaign, task, running=False)
        if not isinstance(found, LuckyDraw):
            raise RefusedError("no_draw", f"task {task} is no lucky draw", 404)
        return self.draw_seeds.told(campaign, task, day)

    def _commit_draw(self, campaign: str, task: str) -> None:
        """Let today's seed of a draw be there before the turn that draws."""
        today, _ = self.draw_seeds.days
        if self.draw_seeds.is_committed(campaign, task, today):
            return
        found = None
        # What stands against it is for the turn to say: the request may be a repeat.
        with suppress(RefusedError), self.store.glance() as turn:
            found = task_of(turn, campaign, task)
        if isinstance(found, LuckyDraw):
            self.draw_seeds.commit(campaign, task, today)

    # Reads.

    def claim(self, claim: UUID) -> tuple[Claim, list[Aggregate.Event]]:
        """Return a claim and its events. Raises RefusedError claim_not_found."""
        events = self.store.events([claim]).get(claim, [])
        found = rebuild(events)
        if not isinstance(found, Claim):
            raise unknown_claim(claim.hex)
        return found, events

    def page(self, asked: dict[str, Any], limit: int) -> tuple[list[Claim], Any]:
        """Return a page of claims, newest first, and where the next begins."""
        return claim_pages.page(self.store, asked, limit)


def unknown_completion(request_id: str) -> RefusedError:
    """Return the refusal of an unknown request id."""
    return RefusedError(
        "completion_not_found", f"no completion was told by request id {request_id}", 404
    )
