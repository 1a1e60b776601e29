"""Command files: three forms, and what is wrong with a bad one."""

import json
from pathlib import Path
from typing import Self

import pytest
from click.testing import CliRunner

from infra.cli import commands as module
from infra.cli.commands import commands, read_commands
from infra.cli.output import CliError
from infra.runtime.state import make_bank
from services.ledger.command_schemas import command_schemas
from tests.support.bank import free_port

COMMANDS = [{"key": "a", "type": "open_account"}, {"key": "b", "type": "buy", "commands": 1}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(COMMANDS),
        json.dumps({"commands": COMMANDS}, indent=2),
        "\n\n".join(map(json.dumps, COMMANDS)) + "\r\n",
    ],
)
def test_commands_are_read_in_any_of_three_forms(tmp_path: Path, text: str) -> None:
    file = tmp_path / "commands.json"
    file.write_text(text)
    assert read_commands(file) == COMMANDS


def test_one_command_is_a_file_of_one_line(tmp_path: Path) -> None:
    file = tmp_path / "commands.json"
    file.write_text(json.dumps(COMMANDS[0]))
    assert read_commands(file) == COMMANDS[:1]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "commands_missing", "no commands"),
        ("[]", "commands_missing", "no commands"),
        ("[{},", "not_json", "nothing was done"),
        ('{"key": "a"}\n{"key": ', "not_json", "line 2"),
        ('[{"key": "a"}, 7]', "commands_invalid", "item 2"),
        ('{"commands": {}}', "commands_invalid", "must be a list"),
        ("\xff\x00", "not_json", "line 1"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(tmp_path: Path, text: str, code: str, said: str) -> None:
    file = tmp_path / "commands.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(CliError, match=said) as refusal:
        read_commands(file)
    assert refusal.value.code == code


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="nothing was done"):
        read_commands(tmp_path / "none.json")


class Told:
    """The ledger as far as `databank commands` asks it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End nothing."""

    def get(self, path: str) -> object:
        assert path == "/v1/command-schemas"
        return {"commands": command_schemas()}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`asked("hold", …)` runs `databank commands`."""
    make_bank(tmp_path, port=free_port())
    monkeypatch.setattr(module, "ledger_of", lambda _: Told())
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(commands, [*words, "--state", str(tmp_path)])


def test_one_command_is_shown_by_its_name(asked) -> None:
    told = asked("hold")
    assert told.exit_code == 0
    assert "hold: Pin a subscriber's giftable bytes" in told.output
    assert "open_account: " not in told.output
    assert [each["type"] for each in json.loads(asked("hold", "--json").output)["commands"]] == [
        "hold"
    ]
    everything = asked()
    assert all(f"{each['type']}: " in everything.output for each in command_schemas())


def test_every_fields_meaning_and_kind_are_shown(asked) -> None:
    for each in command_schemas():
        lines = asked(each["type"]).output.splitlines()
        for name in each["schema"]["properties"]:
            row = next(line for line in lines if line.startswith(f"│ {name} "))
            cells = [cell.strip() for cell in row.strip("│").split("│")]
            assert all(cells), row
    told = asked("set_thresholds").output
    assert "│ thresholds.expiring_days " in told
    assert "days before bytes expire" in told


def test_a_command_that_is_none_is_told_which_there_are(asked) -> None:
    told = asked("steal")
    assert isinstance(told.exception, CliError)
    assert told.exception.code == "command_unknown"
    assert "close_month" in told.exception.detail
