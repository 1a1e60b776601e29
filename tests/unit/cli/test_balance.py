"""A balance shows of each lot for what and in which hours it can be used."""

from typing import Any

from infra.cli.output import Output
from infra.cli.reports import _show_balance

MIB = 1 << 20
LOT: dict[str, Any] = {
    "lot_id": "plan:2015-08", "kind": "plan", "state": "available", "remaining_bytes": 30 * MIB,
    "held_bytes": 0, "valid_from": "2015-08-01T00:00:00+08:00",
    "expires_at": "2015-09-01T00:00:00+08:00", "scope": "any", "hours": None,
}  # fmt: skip
BALANCE: dict[str, Any] = {
    "subscriber": "ann", "as_of": "2015-08-14T12:00:00+08:00", "available_bytes": 37 * MIB,
    "held_bytes": 0, "lapsed_bytes": 0, "upcoming_bytes": 0, "outside_hours_bytes": 5 * MIB,
}  # fmt: skip


def shown(capsys: Any, *lots: dict[str, Any]) -> list[list[str]]:
    _show_balance(Output(json=False), BALANCE | {"lots": list(lots), "lots_total": len(lots)})
    text = capsys.readouterr().out
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        for line in text.splitlines()
        if line[:1] in "│┃"
    ]


def test_scope_and_hours_of_each_lot_are_shown(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    night = LOT | {"lot_id": "night", "hours": {"begins": 1380, "ends": 420}}
    video = LOT | {
        "lot_id": "video", "scope": ["music", "video"], "hours": {"begins": 0, "ends": 1440},
    }  # fmt: skip
    rows = shown(capsys, LOT, night, video)
    head = next(row for row in rows if row[0] == "lot")
    cells = {row[0]: dict(zip(head, row, strict=True)) for row in rows if len(row) == len(head)}
    assert [cells[name]["scope"] for name in ("plan:2015-08", "night", "video")] == [
        "any", "any", "music, video",
    ]  # fmt: skip
    assert [cells[name]["hours"] for name in ("plan:2015-08", "night", "video")] == [
        "all", "23:00-07:00", "00:00-24:00",
    ]  # fmt: skip


def test_what_is_outside_its_hours_is_told_beside_what_is_available(capsys) -> None:
    rows = shown(capsys, LOT)
    assert ["outside hours", f"{5 * MIB:,}", "5.00 MiB"] in rows


def test_lots_for_everything_have_no_columns_that_say_nothing(capsys) -> None:
    rows = shown(capsys, LOT, LOT | {"lot_id": "other"})
    assert ["lot", "kind", "bytes left", "", "from", "until"] in rows
