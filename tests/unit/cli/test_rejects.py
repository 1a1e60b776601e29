"""The rejects file: private, without hosts, and clear when it can't be written."""

import csv
from pathlib import Path

import pytest

from infra.cli.output import CliError
from infra.cli.rejects import Rejects

COLUMNS = ["a50e", "08:31.0", "08:31.2", "1", "2", "3gnet", "1", "53", "secret.example", "20150801"]


def test_rejected_rows_are_kept_without_their_host(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path / "deep" / "rejects")
    rejects.write(Path("/data/a.csv"), 7, "time_truncated", COLUMNS)
    rejects.write(Path("/data/a.csv"), 9, "column_count", [])
    rejects.close()
    assert rejects.path is not None
    with rejects.path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0][:4] == ["file", "row", "reason", "subscriber"]
    assert rows[1] == ["a.csv", "7", "time_truncated", *COLUMNS[:8], COLUMNS[9]]
    assert rows[2] == ["a.csv", "9", "column_count"]
    assert "secret.example" not in rejects.path.read_text()


def test_only_the_owner_may_read_the_rejects(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path / "rejects")
    rejects.write(Path("a.csv"), 2, "time_truncated", COLUMNS)
    rejects.close()
    assert rejects.path is not None
    assert rejects.path.stat().st_mode & 0o777 == 0o600
    assert rejects.folder.stat().st_mode & 0o777 == 0o700


def test_without_rejects_there_is_no_file(tmp_path: Path) -> None:
    rejects = Rejects(tmp_path / "rejects")
    rejects.close()
    assert rejects.path is None
    assert not rejects.folder.exists()


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rejects = Rejects(tmp_path / "file" / "rejects")
    with pytest.raises(CliError, match="cannot write rejected rows") as refusal:
        rejects.write(Path("a.csv"), 2, "time_truncated", COLUMNS)
    assert refusal.value.code == "rejects_unwritable"
