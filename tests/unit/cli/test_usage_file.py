"""Reading usage files: which rows can be charged, for what, and why others can't."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from infra.cli.output import CliError
from infra.cli.usage_file import (
    COLUMNS,
    LINE_BYTES_MAX,
    DamagedFileError,
    Reject,
    UsageFile,
    UsageRow,
    read_row,
    usage_id,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
HEADER = ",".join(COLUMNS)
GOOD = (
    "a50e2f674b137b04,2015-08-02 22:26:52.644817,2015-08-02 22:27:25.7,"
    "2310,13688,3gnet,1,443,,20150802"
)
AT = "2015-08-02 22:26:52.644817"


def read(line: str | bytes) -> UsageRow | Reject:
    return read_row(line if isinstance(line, bytes) else line.encode(), 2, SHANGHAI)


def check(path: Path) -> None:
    with UsageFile(path) as file:
        file.check(lambda _: None)


def rows(path: Path) -> list[UsageRow | Reject]:
    with UsageFile(path) as file:
        return list(file.rows(SHANGHAI))


def test_a_row_is_charged_up_and_down_at_its_start_in_the_banks_time_zone() -> None:
    row = read(GOOD)
    assert isinstance(row, UsageRow)
    assert (row.subscriber, row.bytes) == ("a50e2f674b137b04", 2310 + 13688)
    assert (
        row.occurred_at
        == int(datetime(2015, 8, 2, 14, 26, 52, tzinfo=UTC).timestamp()) * 1000 + 644
    )


def test_a_time_with_a_zone_keeps_it() -> None:
    row = read(GOOD.replace(AT, "2015-08-02T14:26:52.644Z"))
    assert isinstance(row, UsageRow)
    assert row.occurred_at == read(GOOD).occurred_at  # type: ignore[union-attr]


def test_the_last_microsecond_of_a_month_stays_in_it() -> None:
    row = read(GOOD.replace(AT, "2015-08-31 23:59:59.999999"))
    assert isinstance(row, UsageRow)
    assert row.occurred_at == int(datetime(2015, 8, 31, 16, tzinfo=UTC).timestamp()) * 1000 - 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (AT, "08:31.0", "time_truncated"),
        (AT, "2015-08-02", "time_invalid"),
        (AT, "2015-02-30 10:00:00", "time_invalid"),
        (AT, "1969-12-31 10:00:00", "time_invalid"),
        (AT, "0001-01-01 00:00:00", "time_invalid"),
        (AT, "yesterday, about noon", "column_count"),
        ("2310", "2310.0", "bytes_not_an_integer"),
        ("2310", " 2310", "bytes_not_an_integer"),
        ("2310", "2_310", "bytes_not_an_integer"),
        ("2310", "٣", "bytes_not_an_integer"),
        ("2310", "", "bytes_not_an_integer"),
        ("2310", "-1", "bytes_negative"),
        ("2310", str(2**53), "bytes_too_large"),
        ("2310", "9" * 5_000, "bytes_too_large"),
        ("2310,13688", "0,0", "bytes_zero"),
        ("a50e2f674b137b04", "", "subscriber_missing"),
        ("a50e2f674b137b04", "+86 138 0013 8000", "subscriber_invalid"),
        ("a50e2f674b137b04", "partner:rides", "subscriber_invalid"),
        (",20150802", "", "column_count"),
        (",20150802", ",2015080", "file_date_invalid"),
        ("3gnet", "3g,net", "column_count"),
        ("3gnet", '"3gnet', "quotes_unbalanced"),
        ("3gnet", "3g\0net", "control_character"),
    ],
)
def test_a_row_that_cannot_be_charged_says_why(old: str, new: str, reason: str) -> None:
    row = read(GOOD.replace(old, new, 1))
    assert isinstance(row, Reject)
    assert row.reason == reason


def test_a_row_that_is_no_utf8_is_rejected() -> None:
    row = read(GOOD.encode().replace(b"3gnet", b"\xff"))
    assert isinstance(row, Reject)
    assert row.reason == "not_utf8"


def test_a_row_of_the_largest_amount_is_charged() -> None:
    row = read(GOOD.replace("2310,13688", f"{2**53 - 2},1"))
    assert isinstance(row, UsageRow)
    assert row.bytes == 2**53 - 1


def test_quoted_columns_mean_the_same_as_bare_ones() -> None:
    row, quoted = read(GOOD), read(",".join(f'"{column}"' for column in GOOD.split(",")))
    assert isinstance(row, UsageRow)
    assert isinstance(quoted, UsageRow)
    assert quoted.usage_id == row.usage_id


def test_a_usage_id_never_changes() -> None:
    assert usage_id(GOOD.split(",")) == "71429c7ccd4bed33d70a283efa307d2a"


def test_a_usage_id_differs_when_any_column_differs() -> None:
    columns = GOOD.split(",")
    others = [[*columns[:n], columns[n] + "1", *columns[n + 1 :]] for n in range(len(columns))]
    assert len({usage_id(each) for each in [columns, *others]}) == len(columns) + 1


def test_a_usage_id_tells_where_a_column_ends() -> None:
    columns = GOOD.split(",")
    moved = [*columns[:5], columns[5] + columns[6], "", *columns[7:]]
    shifted = [*columns[:5], "", columns[5] + columns[6], *columns[7:]]
    assert len({usage_id(columns), usage_id(moved), usage_id(shifted)}) == 3


def test_rows_are_numbered_as_in_a_spreadsheet_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(f"\ufeff{HEADER}\r\n{GOOD}\r\n\r\n{GOOD}\r\n")
    assert [row.number for row in rows(path)] == [2, 4]


def test_a_gzip_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode()))
    assert len(rows(path)) == 1


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "columns_wrong", "missing: subscriber"),
        (b"subscriber,start_time\n", "columns_wrong", "missing: end_time"),
        (f"{HEADER},imei\n".encode(), "columns_wrong", "unknown: 'imei'"),
        (HEADER.replace("apn,rat", "rat,apn").encode(), "columns_wrong", "another order"),
        (b"\x00\x01\xff\xfe" * 500, "columns_wrong", "missing: subscriber"),
        (b"x" * (LINE_BYTES_MAX + 2), "file_damaged", "longer than"),
        (gzip.compress(b"", mtime=0)[:6], "file_damaged", "cut off"),
    ],
)
def test_a_file_with_other_columns_is_refused_before_anything_is_loaded(
    tmp_path: Path, content: bytes, code: str, said: str
) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(content)
    with pytest.raises(CliError, match=said) as refusal:
        UsageFile(path)
    assert refusal.value.code == code
    assert "nothing was loaded" in refusal.value.detail


def test_a_false_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv.gz"
    path.write_text(f"{HEADER}\n{GOOD}\n")
    with pytest.raises(CliError, match="no gzip file"):
        UsageFile(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(CliError, match="nothing was loaded"):
            UsageFile(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "checksum"])
def test_a_damaged_gzip_file_is_refused_before_anything_is_loaded(
    tmp_path: Path, damage: str
) -> None:
    lines = [GOOD.replace("2310", str(number)) for number in range(1, 20_001)]
    packed = bytearray(gzip.compress("\n".join([HEADER, *lines, ""]).encode()))
    if damage == "cut":
        del packed[-len(packed) // 3 :]
    else:
        packed[-(len(packed) // 3) if damage == "flipped" else -6] ^= 0xFF
    path = tmp_path / "usage.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(CliError, match=r"gzip data are .*nothing was loaded") as refusal:
        check(path)
    assert refusal.value.code == "file_damaged"


def test_checking_a_file_changes_nothing_about_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n{GOOD}\n".encode()))
    with UsageFile(path) as file:
        file.check(lambda _: None)
        assert [row.number for row in file.rows(SHANGHAI)] == [2, 3]


def test_an_endless_line_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(f"{HEADER}\n{GOOD}\n{'x' * LINE_BYTES_MAX}x")
    with UsageFile(path) as file:
        found = file.rows(SHANGHAI)
        assert isinstance(next(found), UsageRow)
        with pytest.raises(DamagedFileError, match="line 3 is longer"):
            next(found)


def test_a_file_cut_within_its_last_row_rejects_that_row(tmp_path: Path) -> None:
    whole = f"{HEADER}\n{GOOD}\n{GOOD}"
    for cut in range(1, len(GOOD)):
        path = tmp_path / "usage.csv"
        path.write_text(whole[:-cut])
        assert [type(row) for row in rows(path)] == [UsageRow, Reject], cut
