"""`databank clock` shows bank time; its subcommands are found where there is no bank, too."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.bank import clock
from infra.runtime.clock import store_clock
from infra.runtime.state import make_bank
from shared.calendar import Calendar
from tests.support.bank import free_port


def shown(*words: str) -> dict[str, Any]:
    told = CliRunner().invoke(clock, words)
    assert told.exit_code == 0, told.output
    found: dict[str, Any] = json.loads(told.output)
    return found


def test_the_clock_alone_shows_what_show_shows(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, port=free_port(), sandbox=True)
    store_clock(bank, Calendar(bank.timezone).parse("2015-08-01T12:00:00"))
    where = ("--state", str(tmp_path), "--json")
    alone, show = shown(*where), shown("show", *where)
    assert alone["now"].startswith("2015-08-01T12:00")
    assert {name: alone[name] for name in ("timezone", "sandbox")} == {
        name: show[name] for name in ("timezone", "sandbox")
    }


def test_help_needs_no_bank() -> None:
    for words in (["--help"], ["set", "--help"], ["show", "--help"]):
        assert CliRunner().invoke(clock, words).exit_code == 0


@pytest.mark.parametrize("words", [["--state", "x"], ["--json"]])
def test_an_option_that_would_be_ignored_is_refused(words: list[str]) -> None:
    told = CliRunner().invoke(clock, [*words, "advance", "1d"])
    assert told.exit_code == 2
    assert "goes behind" in told.output
