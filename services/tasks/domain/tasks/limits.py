"""May this be earned? The first limit that says no answers, in one order of precedence.

What is told of months comes before what is told of days, so that `allowed_from` is an instant at
which the claim is allowed indeed. `allowed_bytes` is how much would be allowed now.

What is counted of devices and addresses are acts that earned: a completion, with all that it brings
(a streak's bonus, both sides of a referral), is one. So with `per_device_claims` 1 a friend on a
device of its own earns its registration and the referral, a second friend there neither.

| code                      | what it says                                                         |
| ------------------------- | -------------------------------------------------------------------- |
| free_data_cap             | what all tasks give the subscriber this month would pass the cap     |
| campaign_subscriber_limit | the subscriber would earn more than `per_subscriber_bytes`           |
| campaign_device_limit     | `per_device_claims` acts on this device have earned                  |
| campaign_address_limit    | `per_address_claims` acts from this address have earned              |
| campaign_day_budget       | the campaign would give more than `per_day_bytes` today              |
| campaign_budget           | the campaign would give more than it has                             |
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from services.tasks.domain.tasks.rules import TaskRules
from shared.calendar import Calendar, add_months
from shared.errors import RefusedError


class ClaimLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign gives at most; None is without a limit."""

    total_bytes: int | None = None
    per_day_bytes: int | None = None
    per_subscriber_bytes: int | None = None
    per_device_claims: int | None = None
    per_address_claims: int | None = None


class Used(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was counted besides this claim: of the campaign, and of the subscriber's month."""

    total_bytes: int = 0
    day_bytes: int = 0
    subscriber_bytes: int = 0
    device_claims: int = 0
    address_claims: int = 0
    # What tasks of all campaigns gave in the bank's month.
    month_bytes: int = 0


class Earning(msgspec.Struct, frozen=True):
    """What somebody would earn, at `now`."""

    bytes: int
    now: int


def refuse_earning(
    earning: Earning, limits: ClaimLimits, rules: TaskRules, used: Used, calendar: Calendar
) -> RefusedError | None:
    """Return the first refusal in the order of precedence, None if it may be earned."""
    return next(_refusals(earning, limits, rules, used, calendar), None)


def _refusals(
    earning: Earning, limits: ClaimLimits, rules: TaskRules, used: Used, calendar: Calendar
) -> Iterator[RefusedError]:
    amount, month = earning.bytes, calendar.month_of(earning.now)
    begins = calendar.text(calendar.month_start(add_months(month, 1)))
    yield from _over(
        "free_data_cap", amount, used.month_bytes, rules.free_bytes_per_month,
        f"bytes of free data a month; again from {begins} on", begins,
    )  # fmt: skip
    yield from _over(
        "campaign_subscriber_limit", amount, used.subscriber_bytes, limits.per_subscriber_bytes,
        "bytes a subscriber can be earned in this campaign",
    )  # fmt: skip
    yield from _reached(
        "campaign_device_limit", used.device_claims, limits.per_device_claims, "one device"
    )
    yield from _reached(
        "campaign_address_limit", used.address_claims, limits.per_address_claims, "one address"
    )
    begins = calendar.text(day_after(earning.now, calendar))
    yield from _over(
        "campaign_day_budget", amount, used.day_bytes, limits.per_day_bytes,
        f"bytes a day are given in this campaign; again from {begins} on", begins,
    )  # fmt: skip
    yield from _over(
        "campaign_budget", amount, used.total_bytes, limits.total_bytes,
        "bytes are given in this campaign",
    )  # fmt: skip


def _over(
    code: str, amount: int, used: int, most: int | None, what: str, begins: str | None = None
) -> Iterator[RefusedError]:
    if most is not None and used + amount > most:
        more: dict[str, Any] = {"allowed_from": begins} if begins else {}
        yield RefusedError(code, f"{most} {what}", allowed_bytes=max(most - used, 0), **more)


def _reached(code: str, used: int, most: int | None, what: str) -> Iterator[RefusedError]:
    if most is not None and used >= most:
        yield RefusedError(code, f"{most} acts of {what} earn in this campaign", limit=most)


def day_after(at: int, calendar: Calendar) -> int:
    """Return the first instant of the bank's next day."""
    begins = calendar.parse(calendar.day_of(at))
    # The next day's noon, whatever the night did to the clock.
    return calendar.parse(calendar.day_of(begins + 36 * 3_600_000))
