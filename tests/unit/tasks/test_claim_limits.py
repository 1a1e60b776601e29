"""What a campaign, a subscriber, a device and a month can be given at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.tasks.domain.tasks.limits import ClaimLimits, Earning, Used, refuse_earning
from services.tasks.domain.tasks.rewards import MIB
from services.tasks.domain.tasks.rules import BUILT_IN
from shared.calendar import Calendar

CALENDAR = Calendar("Asia/Shanghai")
NOW = CALENDAR.parse("2015-08-20T12:00:00")
EVERY = ClaimLimits(
    total_bytes=1000, per_day_bytes=500, per_subscriber_bytes=100, per_device_claims=2,
    per_address_claims=3,
)  # fmt: skip
FULL = Used(
    total_bytes=1000, day_bytes=500, subscriber_bytes=100, device_claims=2, address_claims=3,
    month_bytes=500 * MIB,
)  # fmt: skip


def refusal(amount: int, used: Used, limits: ClaimLimits = EVERY):
    return refuse_earning(Earning(amount, NOW), limits, BUILT_IN, used, CALENDAR)


# In the order of precedence: each is lifted after it was seen.
ORDER = (
    ("free_data_cap", {"month_bytes": 0}),
    ("campaign_subscriber_limit", {"subscriber_bytes": 0}),
    ("campaign_device_limit", {"device_claims": 0}),
    ("campaign_address_limit", {"address_claims": 0}),
    ("campaign_day_budget", {"day_bytes": 0}),
    ("campaign_budget", {"total_bytes": 0}),
)


def test_the_first_limit_in_the_order_of_precedence_answers():
    used = FULL
    for code, lifted in ORDER:
        found = refusal(1, used)
        assert found is not None
        assert found.code == code
        used = replace(used, **lifted)
    assert refusal(1, used) is None


@pytest.mark.parametrize(
    ("code", "used", "left"),
    [
        ("campaign_budget", Used(total_bytes=990), 10),
        ("campaign_day_budget", Used(day_bytes=450), 50),
        ("campaign_subscriber_limit", Used(subscriber_bytes=70), 30),
    ],
)
def test_the_last_byte_is_given_and_none_beyond(code, used, left):
    assert refusal(left, used) is None
    found = refusal(left + 1, used)
    assert found is not None
    assert (found.code, found.extra["allowed_bytes"]) == (code, left)


def test_the_months_cap_says_when_there_is_more():
    used = Used(month_bytes=500 * MIB)
    found = refusal(1, used)
    assert found is not None
    assert found.extra["allowed_from"] == "2015-09-01T00:00:00+08:00"


def test_a_days_budget_is_there_again_at_the_banks_midnight():
    found = refusal(1, Used(day_bytes=500))
    assert found is not None
    assert found.extra["allowed_from"] == "2015-08-21T00:00:00+08:00"


def test_without_limits_nothing_is_refused():
    unlimited = replace(BUILT_IN, free_bytes_per_month=None)
    earning = Earning(10**12, NOW)
    assert refuse_earning(earning, ClaimLimits(), unlimited, FULL, CALENDAR) is None


@given(st.lists(st.integers(1, 400), max_size=80), st.integers(1, 2000))
def test_whatever_is_asked_for_the_sum_never_passes_the_budget(amounts, budget):
    given_bytes = 0
    for amount in amounts:
        used = Used(total_bytes=given_bytes)
        if refusal(amount, used, ClaimLimits(total_bytes=budget)) is None:
            given_bytes += amount
        else:
            assert given_bytes + amount > budget
    assert given_bytes <= budget
