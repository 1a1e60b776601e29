"""May this red packet be made, may this share be taken? The first rule that says no answers.

Of a packet, in this order (what needs the ledger's facts is passed over while it is away):

| code                | what it says                                             |
| ------------------- | -------------------------------------------------------- |
| too_many_shares     | more than `shares_max`                                   |
| amount_too_small    | less than `bytes_min`                                    |
| amount_step         | no multiple of `bytes_step`                              |
| amount_too_large    | more than `bytes_max`                                    |
| share_too_small     | not `share_bytes_min` for every share                    |
| sender_not_found    | the ledger does not know the sender                      |
| sender_closed       | the sender's account is closed                           |
| sender_suspended    | the sender's account is suspended                        |
| sender_too_new      | the sender's account is younger than `sender_age_days`   |
| packets_day_limit   | `sender_per_day` packets were made today                 |
| kind_not_given      | it would take a lot of a kind that is not given          |
| insufficient_data   | the sender has less than that and its fee                |
| regift_not_allowed  | enough is there, but only with what was itself a gift    |
| data_not_giftable   | enough is there, but of kinds or scopes that stay        |

Of a claim, after the packet's own word (`RedPacket.check_claim`): receiver_not_found,
receiver_closed, receiver_suspended, shares_month_limit, shares_week_limit, shares_day_limit (the
longest first, so that the instant from which on it is allowed is right). A share that came back
counts no more.
"""

from collections.abc import Iterator

import msgspec

from services.gifting.domain.checks import (
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
from services.gifting.domain.fees import before_fee
from services.gifting.domain.periods import periods_of
from services.gifting.domain.rules import Rules
from shared.calendar import Calendar
from shared.errors import RefusedError


class PacketAsked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What somebody wants to put into a red packet, at `now`; a fee is on top."""

    sender: str
    bytes: int
    shares: int
    now: int
    fee_bytes: int = 0


class SharesUsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many shares the receiver took before, in the bank's day, week and month of `now`."""

    day_count: int = 0
    week_count: int = 0
    month_count: int = 0


def refuse_packet(
    asked: PacketAsked,
    rules: Rules,
    calendar: Calendar,
    facts: Facts | None,
    packets_today: int | None,
) -> RefusedError | None:
    """Return the first refusal, None if the packet may be made.

    `packets_today`: how many the sender made before on the bank's day of `now`; None: not asked.
    """
    for refusal in _packet_refusals(asked, rules, calendar, facts, packets_today):
        return refusal
    return None


def _packet_refusals(
    asked: PacketAsked,
    rules: Rules,
    calendar: Calendar,
    facts: Facts | None,
    packets_today: int | None,
) -> Iterator[RefusedError]:
    limits = rules.red_packets
    if asked.shares > limits.shares_max:
        detail = f"a red packet has at most {limits.shares_max} shares"
        yield RefusedError("too_many_shares", detail, limit=limits.shares_max)
    yield from amount_refusals(
        "a red packet", asked.bytes, limits.bytes_min, limits.bytes_step, limits.bytes_max
    )
    if asked.bytes < asked.shares * limits.share_bytes_min:
        detail = f"a share has at least {mb(limits.share_bytes_min)}"
        most = asked.bytes // limits.share_bytes_min
        yield RefusedError("share_too_small", detail, shares_max=most)
    if facts is not None:
        yield from party_refusals("sender", asked.sender, facts.sender)
        if facts.sender is not None:
            yield from age_refusals(facts.sender, limits.sender_age_days, asked.now, calendar)
    if packets_today is not None:
        tomorrow = calendar.text(periods_of(asked.now, calendar).day.ends_at)
        yield from count_refusals(
            "packets_day_limit", packets_today, limits.sender_per_day,
            "red packets a day are allowed", tomorrow,
        )  # fmt: skip
    if facts is not None and facts.sender is not None:
        giftable = before_fee(limits.fee, facts.sender.giftable_bytes)
        yield from data_refusals(
            facts, asked.bytes + asked.fee_bytes, rules.gifts.kinds_not_given,
            lambda: _largest(giftable, rules),
        )  # fmt: skip
        yield from other_refusal(facts)


def _largest(giftable: int, rules: Rules) -> int:
    limits = rules.red_packets
    whole = min(giftable, limits.bytes_max) // limits.bytes_step * limits.bytes_step
    return whole if whole >= limits.bytes_min else 0


def refuse_claim(
    receiver: str, party: Party | None, rules: Rules, used: SharesUsed, now: int, calendar: Calendar
) -> RefusedError | None:
    """Return the first refusal of a claim, None if the share may be taken."""
    limits, periods, text = rules.red_packets, periods_of(now, calendar), calendar.text
    for refusal in party_refusals("receiver", receiver, party):
        return refusal
    for code, count, limit, name, period in (
        ("shares_month_limit", used.month_count, limits.receiver_per_month, "month", periods.month),
        ("shares_week_limit", used.week_count, limits.receiver_per_week, "week", periods.week),
        ("shares_day_limit", used.day_count, limits.receiver_per_day, "day", periods.day),
    ):
        what = f"shares of red packets a {name} can be taken"
        for refusal in count_refusals(code, count, limit, what, text(period.ends_at)):
            return refusal
    return None
