"""An ask: somebody asks a friend for data, who answers with a gift, says no, or lets it expire.

    made -> answered (-> made) | declined | expired

An answer whose gift came to nothing was none: until the deadline the ask is open again.

Gifting's own clock ends it; nothing is held. The deadline decides: from it on no answer counts.
"""

from collections.abc import Iterator
from typing import Any, Self

import msgspec

from services.gifting.domain.checks import (
    Facts,
    amount_refusals,
    count_refusals,
    party_refusals,
)
from services.gifting.domain.periods import periods_of
from services.gifting.domain.rules import Rules
from shared.calendar import Calendar
from shared.contracts.gifting import AskAnswered, AskDeclined, AskExpired, AskMade, AskReopened
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact

FINAL = frozenset({"answered", "declined", "expired"})


class AskUsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the asker asked before, on the bank's day that holds `now`: of all, of this friend."""

    day_count: int = 0
    friend_day_count: int = 0


class AskWish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `asker` wants of `giver`."""

    ask_id: str
    asker: str
    giver: str
    bytes: int
    deadline: int
    message: str | None = None


def refuse_ask(
    wish: AskWish, rules: Rules, used: AskUsed, now: int, calendar: Calendar, facts: Facts | None
) -> RefusedError | None:
    """Return the first refusal, None if the ask may be made.

    In order: same_account, amount_too_small, amount_step, amount_too_large, asker_not_found,
    asker_closed, asker_suspended, the same of the giver, asks_limit, friend_asks_limit. `facts` are
    those of a gift from the asker to the giver; while the ledger is away (None) they are passed
    over: an answer is checked as any gift.
    """
    return next(_refusals(wish, rules, used, now, calendar, facts), None)


def _refusals(
    wish: AskWish, rules: Rules, used: AskUsed, now: int, calendar: Calendar, facts: Facts | None
) -> Iterator[RefusedError]:
    gifts, asks = rules.gifts, rules.asks
    tomorrow = calendar.text(periods_of(now, calendar).day.ends_at)
    if wish.asker == wish.giver:
        yield RefusedError("same_account", "asker and giver are the same")
    yield from amount_refusals(
        "an ask", wish.bytes, gifts.bytes_min, gifts.bytes_step, gifts.bytes_max
    )
    if facts is not None:
        yield from party_refusals("asker", wish.asker, facts.sender)
        yield from party_refusals("giver", wish.giver, facts.receiver)
    yield from count_refusals(
        "asks_limit", used.day_count, asks.per_day, "asks a day may be made", tomorrow
    )
    yield from count_refusals(
        "friend_asks_limit", used.friend_day_count, asks.per_friend_per_day,
        "asks a day to the same friend may be made", tomorrow,
    )  # fmt: skip


class Ask(Aggregate):
    """One ask from its making to its answer."""

    TOPIC = "gifting.ask"

    Made = beginning(AskMade)
    Answered = fact(AskAnswered)
    Reopened = fact(AskReopened)
    Declined = fact(AskDeclined)
    Expired = fact(AskExpired)

    def __init__(self) -> None:
        self.state = ""
        self.gift_id = ""

    @classmethod
    def make(cls, wish: AskWish, meta: Meta) -> Self:
        """Ask a friend."""
        return cls._begin(
            wish.ask_id,
            AskMade(
                **meta.facts(wish.giver, wish.ask_id), ask_id=wish.ask_id, asker=wish.asker,
                bytes=wish.bytes, deadline=wish.deadline, message=wish.message,
            ),
        )  # fmt: skip

    @property
    def is_final(self) -> bool:
        """Say whether the ask has ended."""
        return self.state in FINAL

    def check_answer(self, by: str, asker: str, now: int) -> None:
        """Raise what stands against a gift from `by` to `asker` as the answer.

        Refusals, in order: ask_not_found, not_the_giver, ask_ended, ask_expired, ask_of_another.
        """
        self._check_open(by, now)
        if asker != self.asker:
            raise RefusedError("ask_of_another", "the gift is not for the one who asked")

    def answer(self, by: str, gift_id: str, meta: Meta) -> bool:
        """Answer with a gift (by the giver); the same gift again does nothing.

        Refusals, in order: ask_not_found, not_the_giver, ask_ended, ask_expired.
        """
        if self.state == "answered" and self.gift_id == gift_id and by == self.giver:
            return False
        self._check_open(by, meta.now)
        return self._record(AskAnswered(**self._facts(meta), gift_id=gift_id))

    def reopen(self, gift_id: str, code: str, meta: Meta) -> bool:
        """Take note that a gift was refused or came back; False where it is no answer that counts.

        From the deadline on the ask stays answered: nobody could answer it again.
        """
        if self.state != "answered" or self.gift_id != gift_id or meta.now >= self.deadline:
            return False
        return self._record(AskReopened(**self._facts(meta), gift_id=gift_id, code=code))

    def decline(self, by: str, meta: Meta) -> bool:
        """Say no (by the giver); saying it again does nothing.

        Refusals, in order: ask_not_found, not_the_giver, ask_ended, ask_expired.
        """
        if self.state == "declined" and by == self.giver:
            return False
        self._check_open(by, meta.now)
        return self._record(AskDeclined(**self._facts(meta)))

    def expire(self, meta: Meta) -> bool:
        """End the ask at its deadline (a job); False while it has time, or when it has ended."""
        if self.is_final or meta.now < self.deadline:
            return False
        return self._record(AskExpired(**self._facts(meta)))

    def _check_open(self, by: str, now: int) -> None:
        if by not in {self.asker, self.giver}:
            # A foreign ask looks like an unknown one.
            raise unknown_ask(self.ask_id)
        if by != self.giver:
            raise RefusedError("not_the_giver", "only who is asked may answer", 403)
        if self.is_final:
            raise RefusedError("ask_ended", f"the ask was {self.state}", 409)
        if now >= self.deadline:
            raise RefusedError("ask_expired", "the ask's deadline has passed", 409)

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return {
            **meta.facts(self.giver, self.ask_id),
            "ask_id": self.ask_id,
            "asker": self.asker,
            "bytes": self.bytes,
        }

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        match data:
            case AskMade():
                self.state, self.ask_id, self.giver = "made", data.ask_id, data.account
                self.asker, self.bytes = data.asker, data.bytes
                self.deadline, self.message = data.deadline, data.message
                self.made_at = data.recorded_at
            case AskAnswered():
                self.state, self.gift_id = "answered", data.gift_id
            case AskReopened():
                self.state, self.gift_id = "made", ""
            case AskDeclined():
                self.state = "declined"
            case AskExpired():
                self.state = "expired"


def unknown_ask(ask_id: str) -> RefusedError:
    """Return what is said of an ask that does not exist, or is not the caller's business."""
    return RefusedError("ask_not_found", f"there is no ask {ask_id}", 404, ask_id=ask_id)
