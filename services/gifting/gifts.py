"""Gifts: asked for, judged, offered; accepted, declined, cancelled; let go or denied by hand."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta as Limits

from services.gifting.domain.abuse import Verdict, judge
from services.gifting.domain.checks import Facts
from services.gifting.domain.fees import fee_of
from services.gifting.domain.gift import Gift, Wish, unknown_gift
from services.gifting.domain.limits import Question, refuse_gift
from services.gifting.domain.quote import accept_until, price
from services.gifting.domain.rules import AMOUNT_MAX, Rules
from services.gifting.ledger import Check, fee_in_check
from services.gifting.requests import Request
from services.gifting.turn import BY_GIFTING, Needs, Turn
from shared.errors import RefusedError
from shared.ids import SUBSCRIBER_PATTERN
from shared.mistakes import shaped
from shared.sagas.aggregate import Meta
from shared.sagas.requests import Asking
from shared.sagas.writer import Job

HOUR_MS = 3_600_000
MESSAGE_MAX = 200

# Not `$` alone, which takes a line break behind it.
SubscriberId = Annotated[
    str,
    shaped(
        rf"^{SUBSCRIBER_PATTERN.pattern}$(?!\n)",
        "1 to 64 letters, digits, _ or -, such as a50e2f674b137b04",
    ),
]
Amount = Annotated[int, Limits(ge=1, le=AMOUNT_MAX)]
# PostgreSQL's text and jsonb take no NUL: an event with one could not even be parked.
Message = Annotated[
    str,
    shaped(r"^[^\x00]*$", "text without the character NUL", min_length=1, max_length=MESSAGE_MAX),
]


class GiftTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sender confirms. `waits`: until the receiver accepts; None leaves it to the rules.

    `confirmed`: the caller vouches for a second factor (a code, a PIN).
    """

    sender: SubscriberId
    receiver: SubscriberId
    bytes: Amount
    waits: bool | None = None
    message: Message | None = None
    confirmed: bool = False


def waits(terms: GiftTerms, rules: Rules) -> bool:
    """Say whether a gift waits until its receiver accepts."""
    return rules.gifts.accept == "receiver" if terms.waits is None else terms.waits


def check_of(terms: GiftTerms, rules: Rules) -> Check:
    """Return the question to the ledger about a gift."""
    fee = rules.gifts.fee
    return Check(
        account=terms.sender, to=terms.receiver, bytes=terms.bytes,
        fee=fee_in_check(fee_of(fee, terms.bytes), fee.payer),
    )  # fmt: skip


def check_again(gift: Gift) -> Check:
    """Return the question to the ledger about a gift that was requested before."""
    return Check(
        account=gift.sender, to=gift.receiver, bytes=gift.bytes,
        fee=fee_in_check(gift.fee_bytes, gift.fee_payer),
    )  # fmt: skip


def question_of(
    turn: Turn, sender: str, receiver: str, amount: int, facts: Facts | None, *,
    gift: UUID | None = None,
) -> Question:  # fmt: skip
    """Return what is to be decided about a gift, with all that is known; `gift` if it counts."""
    return Question(
        price(sender, receiver, amount, turn.now, turn.rules.gifts),
        turn.rules.gifts,
        turn.calendar,
        facts=facts,
        used=turn.history.used(sender, receiver, gift),
    )  # fmt: skip


class RequestGift(Request):
    """Ask for a gift: refused at once, or requested and, where the ledger was there, offered."""

    # The ask that the gift answers.
    ask_id: str | None = None

    def __init__(self, asking: Asking, terms: GiftTerms) -> None:
        super().__init__(asking)
        self.terms = terms

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.pairs.add((self.terms.sender, self.terms.receiver))

    def act(self, turn: Turn) -> UUID:
        """Make the gift. Raises what limits, the ledger and suspicion refuse."""
        terms, subject = self.terms, self.asking.subject
        refusal = refuse_gift(
            question_of(turn, terms.sender, terms.receiver, terms.bytes, self.facts)
        )
        if refusal is not None:
            raise refusal
        verdict = verdict_on(turn, terms, self.facts)
        if verdict.outcome == "step_up" and verdict.refusal is not None:
            raise verdict.refusal
        meta = turn.meta(self.asking.caller)
        gift = Gift.request(self._wish(turn, verdict), meta)
        turn.add(gift)
        turn.count(gift, opened(self.facts))
        obey(gift, verdict, turn, meta, is_checked=self.facts is not None)
        return subject

    def _wish(self, turn: Turn, verdict: Verdict) -> Wish:
        terms, rules = self.terms, turn.rules.gifts
        held = waits(terms, turn.rules)
        return Wish(
            gift_id=self.asking.subject.hex, sender=terms.sender, receiver=terms.receiver,
            bytes=terms.bytes, waits=held,
            deadline=accept_until(rules, turn.now) if held else 0,
            fee_bytes=fee_of(rules.fee, terms.bytes), fee_payer=rules.fee.payer,
            message=terms.message, ask_id=self.ask_id, confirmed_for=verdict.confirmed_for,
        )  # fmt: skip


def opened(facts: Facts | None) -> int | None:
    """Return when the sender's account began, None while nobody has told it."""
    return facts.sender.opened_at if facts is not None and facts.sender is not None else None


def verdict_on(turn: Turn, terms: GiftTerms, facts: Facts | None) -> Verdict:
    """Return what a gift looks like that is asked for now."""
    traffic = turn.history.traffic(terms.sender, terms.receiver, opened(facts))
    return judge(terms.bytes, traffic, turn.rules, turn.now, confirmed=terms.confirmed)


def obey(gift: Gift, verdict: Verdict, turn: Turn, meta: Meta, *, is_checked: bool) -> None:
    """Let a gift go as far as the verdict and the ledger's check, if it was there, allow."""
    if verdict.outcome == "deny" and verdict.refusal is not None:
        because = msgspec.structs.replace(meta, reason=", ".join(verdict.reasons))
        gift.deny(verdict.refusal.code, verdict.refusal.detail, because)
    elif verdict.outcome == "delay":
        gift.delay(verdict.reasons, meta)
    elif is_checked:
        offer(gift, turn, meta)


def offer(gift: Gift, turn: Turn, meta: Meta) -> None:
    """Offer a gift to the ledger; the time in which it can be accepted begins now."""
    gift.offer(meta, accept_until(turn.rules.gifts, turn.now) if gift.waits else 0)


class GoOn(Job[None]):
    """Decide about a gift that was requested while the ledger was away, or let go by hand."""

    def __init__(self, gift: Gift, facts: Facts) -> None:
        super().__init__()
        self._gift = gift
        self._facts = facts

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        needs.streams.add(self._gift.id)
        needs.pairs.add((self._gift.sender, self._gift.receiver))

    def decide(self, turn: Turn) -> None:
        """Offer it, delay it, or refuse it; in any other state it is no business of this job."""
        gift = turn.found(Gift, self._gift.id)
        if gift is None or gift.state != "requested":
            return
        turn.learn(gift, opened(self._facts))
        meta = turn.meta(BY_GIFTING)
        question = question_of(
            turn, gift.sender, gift.receiver, gift.bytes, self._facts, gift=gift.id
        )
        refusal = refuse_gift(question)
        if refusal is not None:
            gift.deny(refusal.code, refusal.detail, meta)
            return
        if gift.released:
            offer(gift, turn, meta)
            return
        traffic = turn.history.traffic(gift.sender, gift.receiver, opened(self._facts), gift.id)
        # Whether a second factor was needed was asked when the sender was there.
        verdict = judge(gift.bytes, traffic, turn.rules, turn.now, confirmed=True)
        obey(gift, verdict, turn, meta, is_checked=True)


class ByParty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who accepts, declines or cancels."""

    account: SubscriberId


class ActOnGift(Request):
    """Accept or decline a gift by its receiver, cancel it by its sender."""

    def __init__(self, asking: Asking, gift: UUID, verb: str) -> None:
        super().__init__(asking)
        self._gift = gift
        self._verb = verb

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.streams.add(self._gift)

    def act(self, turn: Turn) -> UUID:
        """Do it. Raises gift_not_found and what stands against it in the gift's state."""
        gift = turn.found(Gift, self._gift)
        if gift is None:
            raise unknown_gift(self._gift.hex)
        meta = turn.meta(self.asking.caller)
        by = self.asking.account
        if self._verb == "accept":
            gift.accept(by, meta)
        elif self._verb == "decline":
            gift.decline(by, meta)
        else:
            gift.cancel(by, meta)
        return gift.id


class ByHand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator lets a delayed gift go, or denies it."""

    reason: Message


class DecideDelayed(Request):
    """Let a delayed gift go on, or deny it, by hand."""

    def __init__(self, asking: Asking, gift: UUID, reason: str, *, release: bool) -> None:
        super().__init__(asking)
        self._gift = gift
        self._reason = reason
        self._release = release

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.streams.add(self._gift)

    def act(self, turn: Turn) -> UUID:
        """Do it. Raises gift_not_found, gift_not_delayed."""
        gift = turn.found(Gift, self._gift)
        if gift is None:
            raise unknown_gift(self._gift.hex)
        meta = turn.meta(self.asking.caller, reason=self._reason)
        if self._release:
            gift.release(meta)
        elif gift.state == "delayed":
            gift.deny("denied_by_operator", "an operator did not let the gift go", meta)
        else:
            raise RefusedError("gift_not_delayed", f"the gift is not delayed but {gift.state}", 409)
        return gift.id
