"""Rules are data: limits, fee, deadlines and what looks like abuse; versioned, effective-dated.

A file is a JSON list of versions, as the ledger's rules are; what a version does not name has the
built-in default. On which terms a gift arrives is a rule of the ledger (`arriving`).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.calendar import Calendar
from shared.contracts.gifting import FeePayer
from shared.rulebook import Rulebook, read_rulebook

AMOUNT_MAX = 2**53 - 1
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# The ledger holds bytes for 31 days at most.
HOURS_MAX = 31 * 24

Percent = Annotated[int, Meta(ge=0, le=100)]
Bytes = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
BytesOrNone = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Threshold = Annotated[int, Meta(ge=1, le=1_000_000)]
Days = Annotated[int, Meta(ge=0, le=3660)]
Hours = Annotated[int, Meta(ge=1, le=HOURS_MAX)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the rules: a misspelt name is an error, not a limit that silently lacks."""


class Allowance(Part, frozen=True):
    """How many, and how many bytes together; None is without a limit."""

    count: Count | None = None
    bytes: BytesOrNone | None = None


class Fee(Part, frozen=True):
    """What a gift or red packet costs: nothing, `bytes`, or `percent` of it (rounded down).

    The sender pays on top, the receiver out of what arrives. A red packet's fee is its sender's,
    and each share takes its part of it along: what comes back costs nothing.
    """

    mode: Literal["none", "fixed", "percent"] = "none"
    bytes: BytesOrNone = 0
    percent: Percent = 0
    payer: FeePayer = "sender"


class StepUp(Part, frozen=True):
    """When the sender has to confirm with a second factor."""

    above_bytes: BytesOrNone | None = 500 * MIB
    new_receiver: bool = True


class Gifts(Part, frozen=True):
    """Limits and ways of a gift; months and days are the bank's.

    `accept`: a gift arrives by itself, or waits `accept_within_hours` for its receiver.
    `sender_keeps_bytes`: what the sender can still use afterwards. `receiver_active_days`: the
    receiver has used data, or was opened, within so many days (where that is known).
    """

    bytes_min: Bytes = 10 * MIB
    bytes_step: Bytes = MIB
    bytes_max: Bytes = GIB
    per_day: Allowance = Allowance(count=3, bytes=2 * GIB)
    per_month: Allowance = Allowance(count=10, bytes=5 * GIB)
    plan_share_percent: Percent | None = 50
    sender_keeps_bytes: BytesOrNone = 10 * MIB
    sender_age_days: Days = 30
    receiver_active_days: Days | None = 60
    receiver_per_month: Allowance = Allowance(count=10, bytes=5 * GIB)
    receiver_senders_per_month: Count | None = 10
    # Awards and rewards are not giftable either, but where their campaign says that they are.
    kinds_not_given: tuple[str, ...] = ("gift", "red_packet")
    fee: Fee = Fee()
    accept: Literal["automatic", "receiver"] = "automatic"
    accept_within_hours: Hours = 72
    step_up: StepUp = StepUp()


class RedPackets(Part, frozen=True):
    """Limits of a red packet, of who makes it and of who takes a share; weeks begin on Monday."""

    bytes_min: Bytes = 10 * MIB
    bytes_step: Bytes = KIB
    bytes_max: Bytes = 10 * GIB
    shares_max: Annotated[int, Meta(ge=1, le=1000)] = 100
    share_bytes_min: Bytes = MIB
    valid_hours: Hours = 24
    sender_age_days: Days = 30
    sender_per_day: Count | None = 5
    receiver_per_day: Count | None = 3
    receiver_per_week: Count | None = 5
    receiver_per_month: Count | None = 10
    fee: Fee = Fee()


class Asks(Part, frozen=True):
    """Limits of asking for data; the amount is limited as a gift's is."""

    per_day: Count | None = 5
    per_friend_per_day: Count | None = 1
    valid_hours: Hours = 72


class Signal(Part, frozen=True):
    """From which count on something is suspect, this gift included; None is never."""

    step_up: Threshold | None = None
    delay: Threshold | None = None
    deny: Threshold | None = None


class Abuse(Part, frozen=True):
    """What looks like abuse, counted over sliding windows before now.

    `velocity`: the sender's gifts in `velocity_minutes`. `fan_out`: its receivers, `fan_in`: the
    receiver's senders, in `fan_hours`. `cycle`: gifts from the receiver to the sender in
    `cycle_days`. `star`: the receiver's senders in `star_days` who are younger than
    `new_account_days`. Gifts that ended without leaving count here too.
    """

    velocity_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 10
    velocity: Signal = Signal(step_up=3, delay=5, deny=20)
    fan_hours: Hours = 24
    fan_out: Signal = Signal(step_up=4, delay=6, deny=20)
    fan_in: Signal = Signal(delay=6, deny=20)
    cycle_days: Annotated[int, Meta(ge=1, le=366)] = 7
    cycle: Signal = Signal(step_up=1, delay=2, deny=5)
    star_days: Annotated[int, Meta(ge=1, le=366)] = 7
    new_account_days: Days = 60
    star: Signal = Signal(delay=3, deny=8)


class Rules(Part, frozen=True):
    """One version of the rules, in force from `effective_from` (ISO 8601, bank time)."""

    version: Annotated[int, Meta(ge=1)]
    effective_from: str
    gifts: Gifts = Gifts()
    red_packets: RedPackets = RedPackets()
    asks: Asks = Asks()
    abuse: Abuse = Abuse()


BUILT_IN = Rules(version=1, effective_from="2000-01-01T00:00:00")


RuleBook = Rulebook[Rules]


def built_in_rules() -> RuleBook:
    """Return the book with the built-in version alone."""
    return RuleBook([(0, BUILT_IN)])


def read_rules(text: bytes, calendar: Calendar) -> RuleBook:
    """Read a rules file's text. Raises InvalidError that says what is wrong and where."""
    return read_rulebook(text, Rules, calendar, "gifting", _mistake)


def _mistake(rules: Rules) -> str | None:
    """Return what is wrong within a version, None if nothing is."""
    for name, part in (("gifts", rules.gifts), ("red_packets", rules.red_packets)):
        if part.bytes_min > part.bytes_max:
            return f"version {rules.version}: bytes_min of {name} is above bytes_max"
    if rules.red_packets.fee.payer != "sender":
        return f"version {rules.version}: the fee of red_packets is paid by the sender"
    return None
