"""Didi pays for Didi on the real month: each record once, to the byte, within its budget."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from infra.cli.client import ledger_of
from infra.cli.usage_file import HOST, UsageFile, UsageRow
from tests.acceptance.real_month import FILES, IMPORT, require_real_month
from tests.acceptance.steps import (
    end,
    kill,
    start,
    wait_for_progress,
    wait_until_ready,
)
from tests.support.bank import LocalBank
from tests.support.rabbit import Broker

DRAWN_UP = "2015-07-31T12:00:00+08:00"
NOW = "2015-09-01T12:00:00+08:00"
DAY, LATER = "2015-09-01", "2015-09-02T12:00:00+08:00"
HOSTS = ("xiaojukeji.com", "udache.com", "didialift.com")
RECORDS, SUBSCRIBERS, BYTES = 385, 69, 4_113_958
USED, ACCEPTED = 3_614_682_928, 212_979
BUDGET = 1_000_000
FEN_PER_GIB = 1_500
CAMPAIGN = "campaign:didi-august"
# What is killed together, one time after the other while the import runs.
ALL_DIE = (("ledger",), ("tasks", "gateway"), ("gifting", "ledger"))

pytestmark = pytest.mark.slow

MakeBank = Callable[..., LocalBank]


class Month(NamedTuple):
    """What the files say: Didi's accepted records, and what each of its subscribers used in all."""

    didi: list[UsageRow]
    used: Counter[str]


def is_didi(host: str) -> bool:
    return any(host == own or host.endswith(f".{own}") for own in HOSTS)


@pytest.fixture(scope="module")
def month() -> Month:
    """Read the real month; without the data there is nothing to test."""
    require_real_month()
    accepted: dict[str, UsageRow] = {}
    for path in FILES:
        with UsageFile(Path(path)) as file:
            for row in file.rows(ZoneInfo("Asia/Shanghai")):
                if isinstance(row, UsageRow):
                    accepted.setdefault(row.usage_id, row)
    didi = [row for row in accepted.values() if is_didi(row.columns[HOST])]
    people = {row.subscriber for row in didi}
    used: Counter[str] = Counter()
    for row in accepted.values():
        if row.subscriber in people:
            used[row.subscriber] += row.bytes
    assert (len(didi), len(people)) == (RECORDS, SUBSCRIBERS)
    return Month(didi, used)


def written(bank: LocalBank, name: str, **document: Any) -> str:
    path = bank.state.parent / f"{name}.json"
    path.write_text(json.dumps(document))
    return str(path)


def running(
    make_local_bank: MakeBank, partitions: int, budget: int | None, **settings: str
) -> LocalBank:
    """Return a bank in September for whose August Didi pays, without limit or with a budget."""
    bank = make_local_bank(LEDGER_PARTITIONS=str(partitions), **settings)
    bank.up("--clock", DRAWN_UP)
    bank.done("partner", "register", "didi", "--sponsor-id", "sp-didi")
    bank.done("partner", "app", "add", "didi", "asp-ride")
    contract = written(
        bank, "contract", partner="didi", starts_at="2015-07-01", ends_at="2016-07-01",
        terms_version="1",
    )  # fmt: skip
    bank.done("partner", "contract", contract)
    prices = written(
        bank, "prices", partner="didi", from_day="2015-08-01",
        fen_per_gib={"award": 2_000, "sponsored": FEN_PER_GIB, "pack": 1_800},
    )  # fmt: skip
    bank.done("partner", "prices", prices)
    draft = written(
        bank, "campaign", campaign="didi-august", partner="didi", asp_id="asp-ride",
        starts_at="2015-08-01T00:00:00+08:00",
        budget={"unlimited": True} if budget is None else {"total_bytes": budget},
        offer={"rating_group": "didi", "hosts": list(HOSTS)},
    )  # fmt: skip
    bank.done("campaign", "draft", draft)
    bank.done("campaign", "approve", "didi-august")
    if budget is not None:
        bank.done("partner", "buy", "didi", str(budget))
        bank.done("campaign", "fund", "didi-august", str(budget))
    bank.done("campaign", "start", "didi-august")
    bank.done("clock", "set", NOW)
    return bank


def charged(bank: LocalBank) -> dict[str, Any]:
    """Return the one row of what Didi spent."""
    (row,) = bank.json("partner-spend", "didi")["rows"]
    found: dict[str, Any] = row
    return found


def assert_settled(bank: LocalBank, amount: int, count: int) -> None:
    """The day's settlement is the ledger's sum, and the same whenever it is made."""
    refused = bank.run("partner", "settlement", "didi", DAY, "--json")
    assert json.loads(refused.stderr)["code"] == "day_running"
    bank.done("clock", "set", LATER)
    files = [bank.state.parent / f"settlement-{number}.csv" for number in (1, 2)]
    first = bank.json("partner", "settlement", "didi", DAY, "--out", str(files[0]), "--check")
    bank.json("rebuild", "all")
    bank.done("partner", "settlement", "didi", DAY, "--out", str(files[1]))
    assert files[0].read_bytes() == files[1].read_bytes()
    fen = round(amount * FEN_PER_GIB / (1 << 30))
    assert files[0].read_text().splitlines()[1:] == [
        f"{DAY},{CAMPAIGN},didi,sp-didi,asp-ride,{amount},{count},1,{fen}"
    ]
    assert (first["total_bytes"], first["check"]["ledger_bytes"]) == (amount, amount)
    assert (first["check"]["ok"], first["check"]["ledger_count"]) == (True, count)


def explained(bank: LocalBank, month: Month) -> list[dict[str, Any]]:
    """Return why each of Didi's records was charged as it was."""
    with ledger_of(bank.bank) as ledger:
        found = [
            ledger.get(f"/v1/usage/{row.usage_id}", account=row.subscriber) for row in month.didi
        ]
    for row, why in zip(month.didi, found, strict=True):
        assert why["bytes"] == row.bytes
        assert why["spent_bytes"] + why["unfunded_bytes"] + why["sponsored_bytes"] == row.bytes
        assert (why["sponsored"] is None) == (why["sponsored_bytes"] == 0)
    return found


def assert_own_use_fell_by_what_was_paid(bank: LocalBank, month: Month, paid: Counter[str]) -> None:
    with ledger_of(bank.bank) as ledger:
        for subscriber, used in month.used.items():
            state = ledger.get(f"/v1/accounts/{subscriber}")["state"]
            own = state.get("spent", 0) + state.get("unfunded", 0)
            assert own == used - paid[subscriber], subscriber


def test_didi_pays_for_each_of_its_records_once_and_nobody_else_does(
    make_local_bank: MakeBank, month: Month
) -> None:
    bank = running(make_local_bank, 4, None)
    imported = bank.json(*IMPORT)
    assert (imported["accepted"], imported["used_bytes"]) == (ACCEPTED, USED)
    assert imported["sponsored_bytes"] == BYTES
    own = imported["spent_bytes"] + imported["unfunded_bytes"]
    assert own == USED - BYTES
    totals = bank.json("totals")
    assert (totals["sponsored"], totals["balanced"]) == (BYTES, True)
    assert totals["spent"] == imported["spent_bytes"] + BYTES

    row = charged(bank)
    assert (row["bytes"], row["count"], row["subscribers"]) == (BYTES, RECORDS, SUBSCRIBERS)
    for why in explained(bank, month):
        assert (why["sponsored_bytes"], why["slices"]) == (why["bytes"], [])
        assert why["sponsored"]["campaign"] == CAMPAIGN
    paid: Counter[str] = Counter()
    for record in month.didi:
        paid[record.subscriber] += record.bytes
    assert_own_use_fell_by_what_was_paid(bank, month, paid)
    assert_a_subscriber_sees_it(bank, paid)

    again = bank.json(*IMPORT)
    assert (again["accepted"], again["sponsored_bytes"]) == (0, 0)
    assert_settled(bank, BYTES, RECORDS)
    assert bank.json("verify")["ok"] is True


def assert_a_subscriber_sees_it(bank: LocalBank, paid: Counter[str]) -> None:
    subscriber, amount = paid.most_common(1)[0]
    (seen,) = bank.json("balance", subscriber)["sponsored"]
    assert (seen["campaign"], seen["partner"]) == (CAMPAIGN, "partner:didi")
    assert seen["bytes"] == amount
    entries = bank.json("history", subscriber, "--kind", "spent", "--limit", "500")["entries"]
    assert sum(entry.get("sponsored_bytes", 0) for entry in entries) == amount


@pytest.mark.parametrize(("transport", "partitions"), [("log", 1), ("rabbitmq", 4)])
def test_a_budget_is_charged_to_the_byte_whatever_is_killed(
    request: pytest.FixtureRequest,
    make_local_bank: MakeBank,
    month: Month,
    transport: str,
    partitions: int,
) -> None:
    broker: Broker | None = None
    settings = {}
    if transport == "rabbitmq":
        broker = request.getfixturevalue("private_broker")
        settings["AMQP_URL"] = broker.url
    bank = running(make_local_bank, partitions, BUDGET, **settings)
    importing = start(bank, *IMPORT)
    stored = 0
    for services in ALL_DIE:
        stored = wait_for_progress(bank, importing, stored)
        for service in services:
            kill(bank, service)
        if broker is not None:
            broker.kill()
            broker.start()
    end(importing)
    wait_until_ready(bank)
    again = bank.json(*IMPORT)
    assert (again["accepted"], again["sponsored_bytes"]) == (0, 0)
    assert_budget_is_spent(bank, month)


def assert_budget_is_spent(bank: LocalBank, month: Month) -> None:
    """Exactly the budget was charged, in one split record at most; each record says why."""
    found = explained(bank, month)
    assert sum(why["sponsored_bytes"] for why in found) == BUDGET
    split = [why for why in found if 0 < why["sponsored_bytes"] < why["bytes"]]
    assert len(split) == 1
    told = bank.done("why", split[0]["usage_id"], "--subscriber", split[0]["account"])
    assert f"{split[0]['sponsored_bytes']:,}" in told
    paid: Counter[str] = Counter()
    for why in found:
        paid[why["account"]] += why["sponsored_bytes"]
    assert_own_use_fell_by_what_was_paid(bank, month, paid)

    row, count = charged(bank), sum(why["sponsored_bytes"] > 0 for why in found)
    assert (row["bytes"], row["count"]) == (BUDGET, count)
    totals = bank.json("totals")
    assert (totals["sponsored"], totals["balanced"], totals["in_transit"]) == (BUDGET, True, 0)
    assert_settled(bank, BUDGET, count)
    assert bank.json("verify")["ok"] is True
