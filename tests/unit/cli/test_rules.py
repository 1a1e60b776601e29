"""A dry run of rules is shown with the accounts whose bytes would be on other terms."""

from typing import Any

import pytest

from infra.cli.output import Output
from infra.cli.rules import _changed, _show_dry_run

MIB = 1 << 20
LOT: dict[str, Any] = {"kind": "carry", "expires_at": "2015-10-01T00:00:00+08:00", "bytes": MIB}
SAME = {
    "carried_before_bytes": MIB, "carried_after_bytes": MIB, "expired_before_bytes": 0,
    "expired_after_bytes": 0,
}  # fmt: skip
ROW = SAME | {
    "account": "ann", "other_terms_bytes": MIB, "carried_before": [LOT],
    "carried_after": [LOT | {"kind": "voucher", "bytes": MIB - 7}, LOT | {"bytes": 7}],
}  # fmt: skip
RESULT = SAME | {
    "month": "2015-08", "accounts": 9, "changed_accounts": 3, "most_changed": [],
    "other_terms_accounts": 3, "other_terms_bytes": 3 * MIB, "most_on_other_terms": [ROW],
}  # fmt: skip


def test_who_is_changed_by_the_terms_alone_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _show_dry_run(Output(json=False), RESULT, every=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 of 9 accounts would have closed it otherwise" in shown
    assert "3 accounts would have carried 3.00 MiB over on other terms" in shown
    assert "Most on other terms" in shown
    assert "2 more are changed" in shown


def test_a_line_of_an_account_says_which_terms() -> None:
    assert _changed(ROW).endswith(
        "1,048,576 B on other terms: carry to 2015-10-01 -> voucher to 2015-10-01 + carry to"
        " 2015-10-01"
    )
    assert "terms" not in _changed(ROW | {"other_terms_bytes": 0})


def test_without_a_change_of_terms_nothing_is_said_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    none = {"other_terms_accounts": 0, "other_terms_bytes": 0, "most_on_other_terms": []}
    _show_dry_run(Output(json=False), RESULT | none | {"most_changed": [ROW]}, every=False)
    assert "terms" not in capsys.readouterr().out
