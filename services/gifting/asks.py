"""Asks: a subscriber asks a friend for data, who answers with a gift or declines."""

from uuid import UUID

import msgspec

from services.gifting.domain.ask import Ask, AskWish, refuse_ask, unknown_ask
from services.gifting.domain.gift import Gift
from services.gifting.gifts import (
    HOUR_MS,
    Amount,
    GiftTerms,
    Message,
    RequestGift,
    SubscriberId,
)
from services.gifting.ledger import Check
from services.gifting.requests import Request
from services.gifting.turn import BY_GIFTING, Needs, Turn
from shared.sagas.requests import Asking
from shared.sagas.writer import Job


class AskTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `asker` asks of `giver`."""

    asker: SubscriberId
    giver: SubscriberId
    bytes: Amount
    message: Message | None = None


class AnswerTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a friend answers: with as much as was asked for, or `bytes`."""

    account: SubscriberId
    bytes: Amount | None = None
    waits: bool | None = None
    message: Message | None = None
    confirmed: bool = False


def check_of(terms: AskTerms) -> Check:
    """Return the question to the ledger who both are."""
    return Check(account=terms.asker, to=terms.giver, bytes=terms.bytes)


class MakeAsk(Request):
    """Ask a friend."""

    def __init__(self, asking: Asking, terms: AskTerms) -> None:
        super().__init__(asking)
        self.terms = terms

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.askers.add(self.terms.asker)

    def act(self, turn: Turn) -> UUID:
        """Ask. Raises what limits refuse."""
        terms = self.terms
        wish = AskWish(
            ask_id=self.asking.subject.hex, asker=terms.asker, giver=terms.giver,
            bytes=terms.bytes, deadline=turn.now + turn.rules.asks.valid_hours * HOUR_MS,
            message=terms.message,
        )  # fmt: skip
        used = turn.tallies.asks_used(terms.asker, terms.giver)
        refusal = refuse_ask(wish, turn.rules, used, turn.now, turn.calendar, self.facts)
        if refusal is not None:
            raise refusal
        ask = Ask.make(wish, turn.meta(self.asking.caller))
        turn.add(ask)
        turn.tallies.count_ask(terms.asker, terms.giver)
        return ask.id


class AnswerAsk(RequestGift):
    """Answer an ask with a gift: both are decided in one go, or neither."""

    def __init__(self, asking: Asking, ask: UUID, terms: GiftTerms) -> None:
        super().__init__(asking, terms)
        self.ask_id = ask.hex
        self._ask = ask

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.streams.add(self._ask)

    def act(self, turn: Turn) -> UUID:
        """Give. Raises what stands against the answer, and against the gift.

        A gift that is refused at once is no answer.
        """
        ask = turn.found(Ask, self._ask)
        if ask is None:
            raise unknown_ask(self._ask.hex)
        ask.check_answer(self.terms.sender, self.terms.receiver, turn.now)
        gift = super().act(turn)
        given = turn.found(Gift, gift)
        if given is not None and given.state != "refused":
            ask.answer(self.terms.sender, gift.hex, turn.meta(self.asking.caller))
        return gift


class DeclineAsk(Request):
    """Say no to an ask."""

    def __init__(self, asking: Asking, ask: UUID) -> None:
        super().__init__(asking)
        self._ask = ask

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.streams.add(self._ask)

    def act(self, turn: Turn) -> UUID:
        """Say no. Raises ask_not_found and what stands against it in the ask's state."""
        ask = turn.found(Ask, self._ask)
        if ask is None:
            raise unknown_ask(self._ask.hex)
        ask.decline(self.asking.account, turn.meta(self.asking.caller))
        return ask.id


class ExpireAsks(Job[int]):
    """End asks whose deadline has come."""

    def __init__(self, asks: list[UUID]) -> None:
        super().__init__()
        self._asks = asks

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        needs.streams |= set(self._asks)

    def decide(self, turn: Turn) -> int:
        """End them; return how many were still open."""
        found = [turn.found(Ask, each) for each in self._asks]
        meta = turn.meta(BY_GIFTING)
        return sum(ask.expire(meta) for ask in found if ask is not None)
