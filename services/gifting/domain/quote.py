"""What a gift would do: what leaves and arrives, until when, the fee, what stands against it."""

from typing import Any

import msgspec

from services.gifting.domain.abuse import HOUR_MS
from services.gifting.domain.checks import Part
from services.gifting.domain.fees import fee_of
from services.gifting.domain.limits import Asked, Question, largest_gift, refuse_gift
from services.gifting.domain.rules import Gifts
from shared.contracts.gifting import FeePayer


class Quote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to "what if"; nothing is stored, and the gift itself may find things changed.

    `legs` are the parts of lots that would arrive, with their present and their future end.
    `allowed_bytes` is the largest gift that nothing would refuse now. With a `code` this one
    would be refused. `is_complete` is false while the ledger is away: then only the rules and
    what gifting counts by itself have been asked.
    """

    sender: str
    receiver: str
    bytes: int
    departs_bytes: int
    arrives_bytes: int
    fee_bytes: int
    fee_payer: FeePayer
    waits: bool
    accept_until: int = 0
    legs: list[Part]
    allowed_bytes: int
    is_complete: bool
    code: str | None = None
    detail: str | None = None
    extra: dict[str, Any] = {}


def price(sender: str, receiver: str, amount: int, now: int, rules: Gifts) -> Asked:
    """Return what is asked, with the fee that the rules have for it."""
    return Asked(
        sender=sender, receiver=receiver, bytes=amount, now=now,
        fee_bytes=fee_of(rules.fee, amount), fee_payer=rules.fee.payer,
    )  # fmt: skip


def accept_until(rules: Gifts, now: int) -> int:
    """Return the deadline of a gift that is offered now and waits for its receiver."""
    return now + rules.accept_within_hours * HOUR_MS


def quote_gift(question: Question, *, waits: bool) -> Quote:
    """Return what the gift would do."""
    asked, facts = question.asked, question.facts
    refusal = refuse_gift(question)
    paid_by_receiver = asked.fee_bytes if asked.fee_payer == "receiver" else 0
    return Quote(
        sender=asked.sender,
        receiver=asked.receiver,
        bytes=asked.bytes,
        departs_bytes=asked.departs_bytes,
        arrives_bytes=max(asked.bytes - paid_by_receiver, 0),
        fee_bytes=asked.fee_bytes,
        fee_payer=asked.fee_payer,
        waits=waits,
        accept_until=accept_until(question.rules, asked.now) if waits else 0,
        legs=[] if facts is None else facts.legs,
        allowed_bytes=largest_gift(question),
        is_complete=facts is not None,
        code=None if refusal is None else refusal.code,
        detail=None if refusal is None else refusal.detail,
        extra={} if refusal is None else refusal.extra,
    )
