"""May this gift be made? The first rule that says no answers, in one order of precedence.

A refusal says how much would be allowed now (`allowed_bytes`, 0 where no gift is) and from when on
(`allowed_from`). What is told of months comes before what is told of days, so that the instant is
one at which the gift is allowed indeed. What needs a part that is not known is passed over: `facts`
while the ledger is away. When the ledger is back, the same question is asked again with them.

| stage  | code                    | what it says                                               |
| ------ | ----------------------- | ---------------------------------------------------------- |
| terms  | same_account            | sender and receiver are the same                           |
| terms  | amount_too_small        | less than `bytes_min`                                      |
| terms  | amount_step             | no multiple of `bytes_step`                                |
| terms  | amount_too_large        | more than `bytes_max`                                      |
| terms  | fee_exceeds_gift        | nothing would arrive after a fee that the receiver pays    |
| facts  | sender_not_found        | the ledger does not know the sender                        |
| facts  | sender_closed           | the sender's account is closed                             |
| facts  | sender_suspended        | the sender's account is suspended                          |
| facts  | sender_too_new          | the sender's account is younger than `sender_age_days`     |
| facts  | receiver_not_found      | the ledger does not know the receiver                      |
| facts  | receiver_closed         | the receiver's account is closed                           |
| facts  | receiver_suspended      | the receiver's account is suspended                        |
| facts  | receiver_inactive       | it used no data, and was not opened, in `receiver_active_days`|
| used   | month_gifts_limit       | `per_month.count` gifts are made this month                |
| used   | month_bytes_limit       | with this one more than `per_month.bytes` this month       |
| both   | plan_share_limit        | with this one more than `plan_share_percent` of the plan   |
| used   | receiver_gifts_limit    | the receiver got `receiver_per_month.count` gifts          |
| used   | receiver_bytes_limit    | the receiver would get more than `receiver_per_month.bytes`|
| used   | receiver_senders_limit  | the receiver got gifts from `receiver_senders_per_month`   |
| used   | day_gifts_limit         | `per_day.count` gifts are made today                       |
| used   | day_bytes_limit         | with this one more than `per_day.bytes` today              |
| facts  | kind_not_given          | it would take a lot of `kinds_not_given`                   |
| facts  | insufficient_data       | the sender has less than that                              |
| facts  | regift_not_allowed      | enough is there, but only with what was itself a gift      |
| facts  | data_not_giftable       | enough is there, but of kinds or scopes that stay          |
| facts  | sender_keeps            | the sender would keep less than `sender_keeps_bytes`       |
| facts  | (the ledger's own code) | the ledger's dry run refused for another reason            |
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from services.gifting.domain.checks import (
    DAY_MS,
    Facts,
    Party,
    age_refusals,
    amount_refusals,
    count_refusals,
    data_refusals,
    mb,
    other_refusal,
    party_refusals,
)
from services.gifting.domain.fees import before_fee, fee_of
from services.gifting.domain.periods import Period, Periods, periods_of
from services.gifting.domain.rules import Gifts
from shared.calendar import Calendar
from shared.contracts.gifting import FeePayer
from shared.errors import RefusedError


class Used(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was counted besides this gift, in the bank's day and month that hold `now`."""

    day_count: int = 0
    day_bytes: int = 0
    month_count: int = 0
    month_bytes: int = 0
    receiver_month_count: int = 0
    receiver_month_bytes: int = 0
    receiver_month_senders: int = 0
    # The sender is one of those senders.
    receiver_knows_sender: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants to give, at `now`; the fee as the rules have it."""

    sender: str
    receiver: str
    bytes: int
    now: int
    fee_bytes: int = 0
    fee_payer: FeePayer = "sender"

    @property
    def departs_bytes(self) -> int:
        """Return what leaves the sender, a fee on top included."""
        return self.bytes + (self.fee_bytes if self.fee_payer == "sender" else 0)


class Question(msgspec.Struct, frozen=True):
    """A gift, and all that is known to decide about it."""

    asked: Asked
    rules: Gifts
    calendar: Calendar
    facts: Facts | None = None
    used: Used | None = None

    @property
    def periods(self) -> Periods:
        """Return the day, week and month in which the gift is counted."""
        return periods_of(self.asked.now, self.calendar)


Refusal = RefusedError | None


def refuse_gift(question: Question) -> Refusal:
    """Return the first refusal in the order of precedence, None if the gift may be made."""
    for check in (_terms, _parties, _counts, _data):
        for refusal in check(question):
            return refusal
    return None


def largest_gift(question: Question) -> int:
    """Return how much could be given now: a multiple of the step, 0 where no gift is allowed."""
    rules, facts = question.rules, question.facts
    smallest = min([rules.bytes_max, *(cap.bytes for cap in _caps(question))])
    whole = smallest // rules.bytes_step * rules.bytes_step
    if whole < rules.bytes_min:
        return 0
    # The dry run was for another amount.
    facts = None if facts is None else replace(facts, legs=[], code=None)
    fee_bytes = fee_of(rules.fee, whole)
    asked = replace(question.asked, bytes=whole, fee_bytes=fee_bytes, fee_payer=rules.fee.payer)
    return 0 if refuse_gift(replace(question, asked=asked, facts=facts)) else whole


def _terms(question: Question) -> Iterator[RefusedError]:
    asked, rules = question.asked, question.rules
    if asked.sender == asked.receiver:
        yield RefusedError("same_account", "giver and receiver are the same")
    yield from amount_refusals(
        "a gift", asked.bytes, rules.bytes_min, rules.bytes_step, rules.bytes_max
    )
    if asked.fee_payer == "receiver" and asked.fee_bytes >= asked.bytes:
        yield RefusedError(
            "fee_exceeds_gift", f"the fee of {mb(asked.fee_bytes)} leaves nothing to arrive",
            fee_bytes=asked.fee_bytes,
        )  # fmt: skip


def _parties(question: Question) -> Iterator[RefusedError]:
    facts, asked, rules = question.facts, question.asked, question.rules
    if facts is None:
        return
    yield from party_refusals("sender", asked.sender, facts.sender)
    if facts.sender is not None:
        yield from age_refusals(facts.sender, rules.sender_age_days, asked.now, question.calendar)
    yield from party_refusals("receiver", asked.receiver, facts.receiver)
    if facts.receiver is not None and _is_inactive(facts.receiver, rules, asked.now):
        days = rules.receiver_active_days
        yield RefusedError(
            "receiver_inactive",
            f"the receiver used no data in the last {days} days; once it does, it can be given to",
            allowed_bytes=0,
        )


def _is_inactive(receiver: Party, rules: Gifts, now: int) -> bool:
    if rules.receiver_active_days is None or receiver.last_used_at is None:
        return False
    last = max(receiver.last_used_at, receiver.opened_at)
    return last < now - rules.receiver_active_days * DAY_MS


class Cap(msgspec.Struct, frozen=True):
    """A limit in bytes: how much it allows now, of how much in all, in which period, if any."""

    code: str
    bytes: int
    total: int
    text: str = ""
    period: Period | None = None


def _counts(question: Question) -> Iterator[RefusedError]:
    """Give what the limits by number and bytes refuse: both people's of months, then the day's."""
    used, rules = question.used, question.rules
    if used is None:
        return
    month, day = question.periods.month, question.periods.day
    text = question.calendar.text
    yield from count_refusals(
        "month_gifts_limit", used.month_count, rules.per_month.count,
        "gifts a month are allowed", text(month.ends_at),
    )  # fmt: skip
    yield from _over(question, _own_month_caps(question, used, month))
    yield from count_refusals(
        "receiver_gifts_limit", used.receiver_month_count, rules.receiver_per_month.count,
        "gifts a month can be received", text(month.ends_at),
    )  # fmt: skip
    yield from _over(question, _receiver_caps(question, used, month))
    if not used.receiver_knows_sender:
        yield from count_refusals(
            "receiver_senders_limit", used.receiver_month_senders,
            rules.receiver_senders_per_month, "senders a month can give to one receiver",
            text(month.ends_at),
        )  # fmt: skip
    yield from count_refusals(
        "day_gifts_limit", used.day_count, rules.per_day.count,
        "gifts a day are allowed", text(day.ends_at),
    )  # fmt: skip
    yield from _over(question, _own_day_caps(question, used, day))


def _over(question: Question, caps: Iterator[Cap]) -> Iterator[RefusedError]:
    for cap in caps:
        if question.asked.bytes > cap.bytes:
            allowed = largest_gift(question)
            extra: dict[str, Any] = {"allowed_bytes": allowed}
            detail = f"{cap.text}; {mb(allowed)} are allowed now"
            if cap.period is not None and question.asked.bytes <= cap.total:
                extra["allowed_from"] = question.calendar.text(cap.period.ends_at)
                detail += f", this gift from {extra['allowed_from']} on"
            yield RefusedError(cap.code, detail, **extra)


def _caps(question: Question) -> Iterator[Cap]:
    if question.used is not None:
        month, day = question.periods.month, question.periods.day
        yield from _own_month_caps(question, question.used, month)
        yield from _own_day_caps(question, question.used, day)
        yield from _receiver_caps(question, question.used, month)
    if question.facts is not None and question.facts.sender is not None:
        yield from _data_caps(question, question.facts.sender)


def _own_month_caps(question: Question, used: Used, month: Period) -> Iterator[Cap]:
    limit, share = question.rules.per_month.bytes, question.rules.plan_share_percent
    if limit is not None:
        text = f"{mb(limit)} a month may be given"
        yield Cap("month_bytes_limit", limit - used.month_bytes, limit, text, month)
    facts = question.facts
    if share is not None and facts is not None and facts.sender is not None:
        part = facts.sender.plan_bytes * share // 100
        text = f"{share} % of the plan, {mb(part)}, may be given a month"
        yield Cap("plan_share_limit", part - used.month_bytes, part, text, month)


def _own_day_caps(question: Question, used: Used, day: Period) -> Iterator[Cap]:
    limit = question.rules.per_day.bytes
    if limit is not None:
        text = f"{mb(limit)} a day may be given"
        yield Cap("day_bytes_limit", limit - used.day_bytes, limit, text, day)


def _receiver_caps(question: Question, used: Used, month: Period) -> Iterator[Cap]:
    limit = question.rules.receiver_per_month.bytes
    if limit is not None:
        text = f"{mb(limit)} a month can be received"
        yield Cap("receiver_bytes_limit", limit - used.receiver_month_bytes, limit, text, month)


def _data_caps(question: Question, sender: Party) -> Iterator[Cap]:
    fee, keeps = question.rules.fee, question.rules.sender_keeps_bytes
    for code, bound in (
        ("insufficient_data", sender.giftable_bytes),
        ("sender_keeps", sender.available_bytes - keeps),
    ):
        most = before_fee(fee, bound)
        yield Cap(code, most, most)


def _data(question: Question) -> Iterator[RefusedError]:
    """Give what the sender's lots refuse: kinds, amount, what has to stay."""
    facts, rules = question.facts, question.rules
    if facts is None or facts.sender is None:
        return
    kinds = rules.kinds_not_given
    yield from data_refusals(
        facts, question.asked.departs_bytes, kinds, lambda: largest_gift(question)
    )
    if facts.sender.available_bytes - question.asked.departs_bytes < rules.sender_keeps_bytes:
        allowed = largest_gift(question)
        detail = f"the sender keeps at least {mb(rules.sender_keeps_bytes)}"
        yield RefusedError("sender_keeps", detail, allowed_bytes=allowed)
    yield from other_refusal(facts)
