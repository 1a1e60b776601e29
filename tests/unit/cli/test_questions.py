"""The last column of a history says what only some entries have."""

from typing import Any

import pytest

from infra.cli.output import Output
from infra.cli.questions import _show_forecast, _what

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


def test_a_forecast_tells_of_an_earlier_month_and_of_what_has_lapsed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    next_cycle = {
        "month": "2015-10", "starts_at": "2015-10-01T00:00:00+08:00", "plan": "std-30mb",
        "plan_bytes": 30 * MIB, "carried_bytes": 30 * MIB, "expired_bytes": 22 * MIB,
        "lapsed_bytes": 2 * MIB, "available_bytes": 60 * MIB,
    }  # fmt: skip
    earlier = {"month": "2015-08", "carried_bytes": 20 * MIB, "expired_bytes": MIB}
    answer = {
        "subscriber": "ann", "expiring": [], "earlier_months": [earlier], "next_cycle": next_cycle,
    }  # fmt: skip
    _show_forecast(Output(json=False), answer)
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "2015-08 is still open: its close carries 20.00 MiB over and lets 1.00 MiB expire" in shown
    )
    assert "of it lapsed already" in shown
    answer["next_cycle"] = next_cycle | {"lapsed_bytes": 0}
    _show_forecast(Output(json=False), answer)
    assert "lapsed" not in capsys.readouterr().out
