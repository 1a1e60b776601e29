"""Bad input: each has one clear message with a stable code, and nothing is half done."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.cli.usage_file import COLUMNS
from tests.acceptance.steps import do, ledger_events
from tests.support.bank import LocalBank

CLOCK = "2015-09-01T12:00:00+08:00"
HEADER = ",".join(COLUMNS)
ROW = "anna,{time},2015-09-01 11:00:01,1000,24,3gnet,1,443,secret.example,20150901"
ANNA = {"key": "open", "type": "open_account", "account": "anna", "plan": "std-30mb"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBank]:
    """One bank for all: whatever is refused leaves nothing behind."""
    made = LocalBank(tmp_path_factory.mktemp("bank") / "state")
    try:
        made.up("--clock", CLOCK)
        do(made, [ANNA | {"active_from": "2015-08"}])
        yield made
    finally:
        made.erase()


def refusal(bank: LocalBank, *arguments: str, text: str = "", code: int = 1) -> dict[str, Any]:
    """Run a command that must be refused; returns what it says, after a look at its form."""
    process = bank.popen(
        *arguments, "--json",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = process.communicate(text, timeout=120)
    assert process.returncode == code, err
    assert "Traceback" not in out + err
    return {"out": out, "err": err} | (json.loads(err.splitlines()[-1]) if err[:1] == "{" else {})


BERTA = ANNA | {"account": "berta", "active_from": "2015-08"}
GIFT = {"key": "gift", "type": "transfer", "account": "anna", "to": "berta", "bytes": 1}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (BERTA | {"plan": "std-31mb"}, "plan_unknown"),
        (BERTA | {"active_from": "2015-10"}, "active_from_in_future"),
        (BERTA | {"account": "anna", "plan": "std-100mb"}, "conflict"),
        (BERTA | {"account": "anna", "key": "other"}, "account_exists"),
        ({"key": "k", "type": "buy", "account": "nobody", "bytes": 1}, "account_not_found"),
        (GIFT | {"to": "anna"}, "same_account"),
        (GIFT | {"bytes": 1 << 40}, "insufficient_data"),
    ],
)
def test_a_command_that_cannot_be_done_is_refused_by_itself(
    bank: LocalBank, command: dict[str, Any], code: str
) -> None:
    before = ledger_events(bank)
    document = do(bank, [command], code=1)
    assert [outcome["code"] for outcome in document["outcomes"]] == [code]
    assert ledger_events(bank) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "rob"},
        {"bytes": 1.5},
        {"bytes": "1"},
        {"bytes": -1},
        {"bytes": 0},
        {"bytes": 2**53},
        {"surprise": 1},
        {"account": "no such name!"},
        {"key": ""},
    ],
)
def test_a_malformed_command_refuses_its_whole_request_and_is_named(
    bank: LocalBank, fields: dict[str, Any]
) -> None:
    before = ledger_events(bank)
    good = {"key": "k", "type": "buy", "account": "anna", "bytes": 1}
    found = refusal(bank, "do", "-", text=json.dumps([good, good | {"key": "l"} | fields]))
    assert found["code"] == "invalid_request"
    assert "$.commands[1]" in found["detail"]
    assert ledger_events(bank) == before


def test_usage_of_the_future_and_of_unknown_people_is_rejected_row_by_row(
    bank: LocalBank, tmp_path: Path
) -> None:
    file = tmp_path / "usage.csv"
    rows = [
        ROW.format(time="2015-09-01 11:00:00"),
        ROW.format(time="2015-09-02 11:00:00"),
        ROW.format(time="2015-09-01 11:00:00").replace("anna", "nobody"),
        ROW.format(time="08:31.0"),
    ]
    file.write_text("\n".join([HEADER, *rows, ""]))
    result = bank.json("import-usage", str(file))
    assert (result["rows"], result["accepted"], result["rejected"]) == (4, 1, 3)
    rejects = Path(result["rejects_file"]).read_text()
    assert [line.split(",")[1:3] for line in sorted(rejects.splitlines()[1:])] == [
        ["3", "usage_in_future"],
        ["4", "account_not_found"],
        ["5", "time_truncated"],
    ]
    assert "secret.example" not in rejects


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"not,a,usage,file\n1,2,3,4\n", "usage.csv", "columns_wrong"),
        (f"{HEADER}\n".encode(), "usage.csv.gz", "file_damaged"),
        (gzip.compress(f"{HEADER}\n".encode() * 1_000)[:-9], "usage.csv.gz", "file_damaged"),
    ],
)
def test_a_bad_file_stops_the_good_ones_beside_it_before_anything_is_loaded(
    bank: LocalBank, tmp_path: Path, content: bytes, name: str, code: str
) -> None:
    good = tmp_path / "good.csv"
    good.write_text(f"{HEADER}\n{ROW.format(time='2015-09-01 10:00:00')}\n")
    (tmp_path / name).write_bytes(content)
    before = ledger_events(bank)
    found = refusal(bank, "import-usage", str(good), str(tmp_path / name))
    assert found["code"] == code
    assert "nothing was loaded" in found["detail"]
    assert ledger_events(bank) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("close-month", "2015-09"), "month_running"),
        (("balance", "nobody"), "account_not_found"),
        (("balance", "no such name!"), "account_invalid"),
        (("import-usage", "/does/not/exist.csv"), "file_unreadable"),
        (("do", "/does/not/exist.json"), "file_unreadable"),
        (("balance", "anna", "--state", "/does/not/exist"), "no_bank"),
    ],
)
def test_a_command_that_fails_says_why_and_ends_with_1(
    bank: LocalBank, arguments: tuple[str, ...], code: str
) -> None:
    assert refusal(bank, *arguments)["code"] == code


@pytest.mark.parametrize(
    "arguments",
    [
        ("close-month", "2015-9"),
        ("rebuild", "everything"),
        ("import-usage",),
        ("import-usage", "a.csv", "--open-accounts", "std-30mb"),
        ("import-usage", "a.csv", "--active-from", "2015-08"),
        ("import-usage", "a.csv", "--open-accounts", "std-30mb", "--active-from", "August"),
        ("steal",),
    ],
)
def test_a_wrong_command_line_ends_with_2(bank: LocalBank, arguments: tuple[str, ...]) -> None:
    refusal(bank, *arguments, code=2)


def test_the_demo_is_told_once_however_often_it_is_run(bank: LocalBank) -> None:
    first = bank.json("demo")
    assert first["commands_new"] == first["commands"]
    assert first["usage_new"] == first["usage_rows"]
    before = ledger_events(bank)
    again = bank.json("demo")
    assert (again["commands_new"], again["usage_new"]) == (0, 0)
    assert ledger_events(bank) == before
    assert bank.json("verify")["ok"] is True
