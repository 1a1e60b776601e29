"""Command files: three forms, and what is wrong with a bad one."""

import json
from pathlib import Path

import pytest

from infra.cli.commands import read_commands
from infra.cli.output import CliError

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
