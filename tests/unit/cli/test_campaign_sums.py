"""A campaign is shown although nobody answers what it spent: it is said, and why."""

from pathlib import Path

import pytest

from infra.cli import campaign_sums, client
from infra.cli.output import Output
from infra.runtime.state import make_bank
from tests.support.bank import free_port


def test_who_is_away_is_told_and_nothing_is_taken_for_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(client, "READ_PATIENCE_S", 0.1)
    bank, output = make_bank(tmp_path, port=free_port()), Output(json=False)
    found = campaign_sums.read_sums(bank, output, "didi-rides", "didi")
    assert found == {"sums": None, "spend": None, "sums_missing": "unavailable"}
    campaign_sums.show_sums(output, found)
    told = capsys.readouterr()
    assert told.out == "spent: not known now (unavailable)\n"
    assert "what the campaign spent is not known now" in told.err


def test_what_came_what_is_left_and_what_went_is_shown_with_each_day(
    capsys: pytest.CaptureFixture[str],
):
    names = (*campaign_sums.CAME, *campaign_sums.LEFT, *campaign_sums.WENT)
    sums = {f"{name}_bytes": 0 for name in names} | {"balanced": True}
    sums |= {"funded_bytes": 3 << 20, "available_bytes": 1 << 20, "awarded_bytes": 2 << 20}
    row = {"day": "2015-08-01", "kind": "award", "rating_group": "", "bytes": 2 << 20, "count": 2,
           "subscribers": 2, "amount_fen": 250}  # fmt: skip
    output = Output(json=False)
    campaign_sums.show_sums(output, {"sums": sums, "spend": [row], "sums_missing": None})
    told = capsys.readouterr().out
    assert "came in: funded 3.00 MiB\n" in told
    assert "is left: available 1.00 MiB\n" in told
    assert "went: awarded 2.00 MiB\n" in told
    assert "2015-08-01" in told
    assert "2.50" in told
