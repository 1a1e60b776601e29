"""A sandbox's clock goes forward only, and a change is seen by every process."""

import pytest

from infra.errors import CliError
from infra.runtime.clock import now, offset_ms, parse_duration, set_clock, store_clock
from infra.runtime.state import make_bank
from shared.calendar import Calendar
from tests.support.bank import LocalBank

CALENDAR = Calendar("Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90m", 5_400_000), ("1d12h", 129_600_000), ("250ms", 250), ("2w", 1_209_600_000)],
)
def test_durations_are_read(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "1", "1y", "-1d", "1d 2h", "1.5h"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(CliError, match="no duration"):
        parse_duration(text)


def test_the_clock_is_never_set_back(tmp_path) -> None:
    bank = make_bank(tmp_path / "state", sandbox=True)
    store_clock(bank, CALENDAR.parse("2015-09-01T12:00:00"))
    assert CALENDAR.text(now(bank)).startswith("2015-09-01T12:00:0")
    set_clock(bank, CALENDAR.parse("2015-09-02"))
    before = offset_ms(bank)
    with pytest.raises(CliError) as refused:
        set_clock(bank, CALENDAR.parse("2015-09-01"))
    assert refused.value.code == "clock_backwards"
    assert offset_ms(bank) == before


def test_only_a_sandbox_has_a_clock_to_set(tmp_path) -> None:
    bank = make_bank(tmp_path / "state", sandbox=False)
    with pytest.raises(CliError) as refused:
        set_clock(bank, CALENDAR.parse("2035-09-01"))
    assert refused.value.code == "not_a_sandbox"
    assert offset_ms(bank) == 0


@pytest.mark.slow
def test_a_bank_starts_at_the_time_that_is_asked_for_and_moves_on_command(
    local_bank: LocalBank,
) -> None:
    local_bank.up("--clock", "2015-09-01T12:00:00+08:00")
    assert local_bank.json("clock", "show")["now"].startswith("2015-09-01T12:0")

    local_bank.done("clock", "advance", "1d")
    assert local_bank.json("clock", "show")["now"].startswith("2015-09-02T12:0")

    local_bank.done("clock", "set", "2015-10-01")
    assert local_bank.json("clock", "show")["now"].startswith("2015-10-01T00:0")
    refused = local_bank.run("clock", "set", "2015-09-01")
    assert refused.returncode == 1
    assert "clock_backwards" in refused.stderr
