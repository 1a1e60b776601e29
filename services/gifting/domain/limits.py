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
| facts  | receiver_inactive       | the receiver has not been active for `receiver_active_days`|
| used   | month_gifts_limit       | `per_month.count` gifts are made this month                |
| used   | month_bytes_limit       | with this one more than `per_month.bytes` this month       |
| both   | plan_share_limit        | with this one more than `plan_share_percent` of the plan   |
| used   | day_gifts_limit         | `per_day.count` gifts are made today                       |
| used   | day_bytes_limit         | with this one more than `per_day.bytes` today              |
| used   | receiver_gifts_limit    | the receiver got `receiver_per_month.count` gifts          |
| used   | receiver_bytes_limit    | the receiver would get more than `receiver_per_month.bytes`|
| used   | receiver_senders_limit  | the receiver got gifts from `receiver_senders_per_month`   |
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

from services.gifting.domain.fees import before_fee, fee_of
from services.gifting.domain.periods import Period, Periods, periods_of
from services.gifting.domain.rules import MIB, Gifts
from shared.calendar import Calendar
from shared.contracts.gifting import FeePayer
from shared.errors import RefusedError

DAY_MS = 86_400_000
REGIFT_KINDS = frozenset({"gift", "red_packet"})


class Party(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the ledger says of one account.

    Usable bytes are those of lots that are valid now and free: `available_bytes` of them all,
    `giftable_bytes` what may be given, `received_bytes` what was itself a gift or red packet.
    `last_used_at` is None where nobody knows.
    """

    account: str
    status: str = "active"
    kind: str = "subscriber"
    opened_at: int = 0
    plan: str | None = None
    plan_bytes: int = 0
    available_bytes: int = 0
    giftable_bytes: int = 0
    received_bytes: int = 0
    last_used_at: int | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part of a lot that the gift would take, and until when it would last at the receiver."""

    lot_id: str
    bytes: int
    kind: str
    expires_at: int
    arrives_until: int | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the ledger says of a gift: who both are (None: nobody), and its dry run."""

    sender: Party | None
    receiver: Party | None
    legs: list[Part] = []
    code: str | None = None
    detail: str | None = None
    extra: dict[str, Any] = {}


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


def mb(amount: int) -> str:
    """Write an amount in MB, as people speak of it."""
    return f"{amount / MIB:.2f}".rstrip("0").rstrip(".") + " MB"


def _terms(question: Question) -> Iterator[RefusedError]:
    asked, rules = question.asked, question.rules
    if asked.sender == asked.receiver:
        yield RefusedError("same_account", "giver and receiver are the same")
    if asked.bytes < rules.bytes_min:
        yield RefusedError(
            "amount_too_small", f"a gift has at least {mb(rules.bytes_min)}",
            least_bytes=rules.bytes_min,
        )  # fmt: skip
    if asked.bytes % rules.bytes_step:
        yield RefusedError(
            "amount_step", f"a gift is a multiple of {mb(rules.bytes_step)}",
            step_bytes=rules.bytes_step,
        )  # fmt: skip
    if asked.bytes > rules.bytes_max:
        yield RefusedError(
            "amount_too_large", f"a gift has at most {mb(rules.bytes_max)}",
            allowed_bytes=rules.bytes_max,
        )  # fmt: skip
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
            "receiver_inactive", f"the receiver was not active in the last {days} days"
        )


def party_refusals(role: str, account: str, party: Party | None) -> Iterator[RefusedError]:
    """Give what stands against an account in this role: sender or receiver."""
    if party is None:
        yield RefusedError(f"{role}_not_found", f"there is no account {account}", 404)
    elif party.status != "active":
        yield RefusedError(f"{role}_{party.status}", f"the {role}'s account is {party.status}")


def age_refusals(
    sender: Party, age_days: int, now: int, calendar: Calendar
) -> Iterator[RefusedError]:
    """Give sender_too_new where the account is younger than that."""
    old_enough_at = sender.opened_at + age_days * DAY_MS
    if now < old_enough_at:
        allowed_from = calendar.text(old_enough_at)
        yield RefusedError(
            "sender_too_new",
            f"an account gives once it is {age_days} days old, from {allowed_from} on",
            allowed_from=allowed_from,
        )


def _is_inactive(receiver: Party, rules: Gifts, now: int) -> bool:
    if rules.receiver_active_days is None or receiver.last_used_at is None:
        return False
    last = max(receiver.last_used_at, receiver.opened_at)
    return last < now - rules.receiver_active_days * DAY_MS


class Cap(msgspec.Struct, frozen=True):
    """A limit in bytes: how much it allows now, and the period in which it counts, if any."""

    code: str
    bytes: int
    text: str
    period: Period | None = None


def _counts(question: Question) -> Iterator[RefusedError]:
    """Give what the limits by number and bytes refuse; months first, then the day."""
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
        "day_gifts_limit", used.day_count, rules.per_day.count,
        "gifts a day are allowed", text(day.ends_at),
    )  # fmt: skip
    yield from _over(question, _own_day_caps(question, used, day))
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


def count_refusals(
    code: str, used: int, limit: int | None, what: str, allowed_from: str
) -> Iterator[RefusedError]:
    """Give the refusal of a limit by number that is reached."""
    if limit is not None and used >= limit:
        yield RefusedError(
            code, f"{limit} {what}; again from {allowed_from} on",
            allowed_bytes=0, limit=limit, allowed_from=allowed_from,
        )  # fmt: skip


def _over(question: Question, caps: Iterator[Cap]) -> Iterator[RefusedError]:
    for cap in caps:
        if question.asked.bytes > cap.bytes:
            allowed = largest_gift(question)
            extra: dict[str, Any] = {"allowed_bytes": allowed}
            detail = f"{cap.text}; {mb(allowed)} are allowed now" if allowed else cap.text
            if cap.period is not None:
                extra["allowed_from"] = question.calendar.text(cap.period.ends_at)
                detail += f", more from {extra['allowed_from']} on"
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
        yield Cap("month_bytes_limit", limit - used.month_bytes, text, month)
    facts = question.facts
    if share is not None and facts is not None and facts.sender is not None:
        part = facts.sender.plan_bytes * share // 100
        text = f"{share} % of the plan, {mb(part)}, may be given a month"
        yield Cap("plan_share_limit", part - used.month_bytes, text, month)


def _own_day_caps(question: Question, used: Used, day: Period) -> Iterator[Cap]:
    limit = question.rules.per_day.bytes
    if limit is not None:
        yield Cap("day_bytes_limit", limit - used.day_bytes, f"{mb(limit)} a day may be given", day)


def _receiver_caps(question: Question, used: Used, month: Period) -> Iterator[Cap]:
    limit = question.rules.receiver_per_month.bytes
    if limit is not None:
        text = f"{mb(limit)} a month can be received"
        yield Cap("receiver_bytes_limit", limit - used.receiver_month_bytes, text, month)


def _data_caps(question: Question, sender: Party) -> Iterator[Cap]:
    fee, keeps = question.rules.fee, question.rules.sender_keeps_bytes
    yield Cap("insufficient_data", before_fee(fee, sender.giftable_bytes), "")
    yield Cap("sender_keeps", before_fee(fee, sender.available_bytes - keeps), "")


def _data(question: Question) -> Iterator[RefusedError]:
    """Give what the sender's lots refuse: kinds, amount, what has to stay."""
    facts, asked, rules = question.facts, question.asked, question.rules
    if facts is None or facts.sender is None:
        return
    kinds = sorted({leg.kind for leg in facts.legs}.intersection(rules.kinds_not_given))
    if kinds:
        yield RefusedError("kind_not_given", f"lots of kind {', '.join(kinds)} are not given away")
    sender, needed = facts.sender, asked.departs_bytes
    if facts.code == "insufficient_data" or needed > sender.giftable_bytes:
        code = _shortage(question, sender)
        yield RefusedError(code, SHORTAGES[code], allowed_bytes=largest_gift(question))
    if sender.available_bytes - needed < rules.sender_keeps_bytes:
        allowed = largest_gift(question)
        yield RefusedError(
            "sender_keeps",
            f"the sender keeps at least {mb(rules.sender_keeps_bytes)};"
            f" {mb(allowed)} are allowed now",
            allowed_bytes=allowed,
        )
    if facts.code is not None:
        yield RefusedError(facts.code, facts.detail or facts.code, **facts.extra)


SHORTAGES = {
    "regift_not_allowed": "what was itself a gift or a red packet is not given on",
    "data_not_giftable": "the rest of what is there may not be given away",
    "insufficient_data": "there is not as much to give",
}


def _shortage(question: Question, sender: Party) -> str:
    """Return why there is too little: is it not there, or may it not be given."""
    needed = question.asked.departs_bytes
    if needed > sender.available_bytes:
        return "insufficient_data"
    regift = needed <= sender.giftable_bytes + sender.received_bytes
    return "regift_not_allowed" if regift else "data_not_giftable"
