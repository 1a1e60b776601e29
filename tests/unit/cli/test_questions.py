"""The last column of a history says what only some entries have."""

from typing import Any

import pytest

from infra.cli.questions import _what

ENTRY: dict[str, Any] = {"kind": "threshold_crossed", "lots": [], "reason": None}
MIB = 1 << 20


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"threshold": "plan_used", "value": 80, "lot_id": "plan:2015-08",
             "available_bytes": 5 * MIB},
            "80 % of plan:2015-08 used; 5.00 MiB available",
        ),
        (
            {"threshold": "low_balance", "value": MIB, "available_bytes": 17},
            "no more than 1.00 MiB left; 17 B available",
        ),
        (
            {"threshold": "expiring", "value": 7, "expiring_bytes": 2 * MIB,
             "expires_at": "2015-08-20T00:00:00+08:00", "available_bytes": 32 * MIB},
            "2.00 MiB end within 7 days, by 2015-08-20; 32.00 MiB available",
        ),
        ({"thresholds": None}, "the rules' thresholds"),
        ({"thresholds": {}}, "none"),
        (
            {"thresholds": {"plan_used_percent": [50, 90], "low_balance_bytes": MIB,
                            "expiring_days": [3]}},
            "50 % of the plan, 90 % of the plan, 1.00 MiB left, 3 days before an end",
        ),
    ],
)  # fmt: skip
def test_a_threshold_says_which_and_what_is_left(facts: dict[str, Any], said: str) -> None:
    assert _what(ENTRY | facts) == said
