"""A file that an operator writes is read whichever of its two forms it has, or refused clearly."""

from pathlib import Path

import pytest

from infra.cli.files import read_document
from infra.errors import CliError

YAML = """
campaign: didi-rides
partner: didi
starts_at: 2015-08-01
ends_at: 2015-09-01T12:00:00+08:00
offer:
  rating_group: didi
  hosts: [xiaojukeji.com, udache.com]
"""
JSON = """{"campaign": "didi-rides", "partner": "didi", "starts_at": "2015-08-01",
"ends_at": "2015-09-01T12:00:00+08:00",
"offer": {"rating_group": "didi", "hosts": ["xiaojukeji.com", "udache.com"]}}"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    from_json = read_document(written(tmp_path, "a.json", JSON), "campaign")
    assert from_json["starts_at"] == "2015-08-01"
    for name in ("a.yaml", "a.YML"):
        assert read_document(written(tmp_path, name, YAML), "campaign") == from_json


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "{", "truncated"),
        ("a.json", YAML, "malformed"),
        ("a.yaml", "a: [", "while parsing"),
        ("a.yaml", "", "no object"),
        ("a.json", "[1]", "no object"),
        ("a.json", '{"partner": "didi"}', "no `campaign`"),
        ("a.yaml", "campaign: 800", "or it is no text"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(CliError, match=told) as refusal:
        read_document(written(tmp_path, name, text), "campaign")
    assert refusal.value.code == "invalid_file"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="cannot be read: No such file"):
        read_document(tmp_path / "a.json")
