"""Does this gift look like abuse? A first layer: counts over sliding windows against thresholds.

| reason       | what is counted, this gift included                      | outcomes             |
| ------------ | -------------------------------------------------------- | -------------------- |
| velocity     | the sender's gifts in `velocity_minutes`                 | step_up, delay, deny |
| fan_out      | the sender's receivers in `fan_hours`                    | step_up, delay, deny |
| fan_in       | the receiver's senders in `fan_hours` (a resale market)  | delay, deny          |
| cycle        | gifts from the receiver to the sender in `cycle_days`    | step_up, delay, deny |
| star         | the receiver's new senders in `star_days`, if this is one| delay, deny          |
| large_amount | more than `step_up.above_bytes`                          | step_up              |
| new_receiver | the sender never gave to the receiver before             | step_up              |

The gravest outcome counts: allow < step_up < delay < deny. A sender who has confirmed with a second
factor has met what only asked for that. A delayed gift waits for an operator, a denied one is
requested and refused in one go, and the request of a confirmed one names what it was confirmed for:
so the log has each of them with its reasons and rule version.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from services.gifting.domain.rules import Abuse, Rules, Signal
from shared.errors import RefusedError

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

ABUSE_SUSPECTED = "abuse_suspected"

Outcome = Literal["allow", "step_up", "delay", "deny"]
GRAVITY: tuple[Outcome, ...] = ("allow", "step_up", "delay", "deny")


class Windows(msgspec.Struct, frozen=True):
    """From which instants on the traffic is counted, each up to now."""

    velocity: int
    fan: int
    cycle: int
    star: int
    # An account that was opened after this is new.
    new_account: int


class Traffic(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was requested before this gift, however it ended.

    `sender_receivers` and the receiver's senders are counted without this gift's other side.
    `sender_opened_at` is None while the ledger has not told it.
    """

    sender_gifts: int = 0
    sender_receivers: int = 0
    receiver_senders: int = 0
    receiver_new_senders: int = 0
    gifts_back: int = 0
    knows_receiver: bool = False
    sender_opened_at: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What is to be done, and why: codes for the record, a text for the operator.

    `confirmed_for`: the reasons that only asked for a second factor, where one was given.
    """

    outcome: Outcome
    reasons: list[str]
    detail: str
    confirmed_for: list[str] = []

    @property
    def refusal(self) -> RefusedError | None:
        """Return what is answered now; None for a gift that may go on or waits."""
        if self.outcome == "step_up":
            detail = f"a second confirmation is needed: {self.detail}"
            return RefusedError("step_up_required", detail, 403, reasons=self.reasons)
        if self.outcome == "deny":
            return RefusedError(ABUSE_SUSPECTED, f"this gift is denied: {self.detail}")
        return None


def windows(rules: Abuse, now: int) -> Windows:
    """Return since when to count."""
    return Windows(
        velocity=now - rules.velocity_minutes * MINUTE_MS,
        fan=now - rules.fan_hours * HOUR_MS,
        cycle=now - rules.cycle_days * DAY_MS,
        star=now - rules.star_days * DAY_MS,
        new_account=now - rules.new_account_days * DAY_MS,
    )


def judge(amount: int, traffic: Traffic, rules: Rules, now: int, *, confirmed: bool) -> Verdict:
    """Return the verdict on a gift of so many bytes; `confirmed` with a second factor, or not."""
    found = [*_signals(traffic, rules.abuse, now), *_step_ups(amount, traffic, rules)]
    met: list[str] = []
    if confirmed:
        met = [reason for outcome, reason, _ in found if outcome == "step_up"]
        found = [each for each in found if each[0] != "step_up"]
    found.sort(key=lambda each: -GRAVITY.index(each[0]))
    return Verdict(
        outcome=found[0][0] if found else "allow",
        reasons=[reason for _, reason, _ in found],
        detail=", ".join(detail for _, _, detail in found),
        confirmed_for=met,
    )


def _signals(traffic: Traffic, rules: Abuse, now: int) -> Iterator[tuple[Outcome, str, str]]:
    counted = [
        ("velocity", rules.velocity, traffic.sender_gifts + 1,
         f"gifts in {rules.velocity_minutes} minutes"),
        ("fan_out", rules.fan_out, traffic.sender_receivers + 1,
         f"receivers in {rules.fan_hours} hours"),
        ("fan_in", rules.fan_in, traffic.receiver_senders + 1,
         f"senders in {rules.fan_hours} hours"),
        ("cycle", rules.cycle, traffic.gifts_back,
         f"gifts the other way in {rules.cycle_days} days"),
    ]  # fmt: skip
    if _is_new(traffic, rules, now):
        what = f"new senders in {rules.star_days} days"
        counted.append(("star", rules.star, traffic.receiver_new_senders + 1, what))
    for reason, signal, count, what in counted:
        outcome = _outcome(signal, count)
        if outcome != "allow":
            yield outcome, reason, f"{count} {what}"


def _step_ups(amount: int, traffic: Traffic, rules: Rules) -> Iterator[tuple[Outcome, str, str]]:
    step_up = rules.gifts.step_up
    if step_up.above_bytes is not None and amount > step_up.above_bytes:
        yield "step_up", "large_amount", "a large amount"
    if step_up.new_receiver and not traffic.knows_receiver:
        yield "step_up", "new_receiver", "a new receiver"


def _outcome(signal: Signal, count: int) -> Outcome:
    for outcome, threshold in (
        ("deny", signal.deny), ("delay", signal.delay), ("step_up", signal.step_up),
    ):  # fmt: skip
        if threshold is not None and count >= threshold:
            return outcome  # type: ignore[return-value]
    return "allow"


def _is_new(traffic: Traffic, rules: Abuse, now: int) -> bool:
    opened_at = traffic.sender_opened_at
    return opened_at is not None and opened_at > windows(rules, now).new_account
