"""A partner's campaign by the command line, on a running bank whose ledger is killed in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.cli.client import ledger_of
from tests.acceptance.steps import do, end, kill, start, wait_until_ready
from tests.support.bank import LocalBank, wait_until

CLOCK = "2015-07-31T12:00:00+08:00"
GIB, MIB = 1 << 30, 1 << 20
CONTRACT = "{partner: didi, starts_at: 2015-07-01, ends_at: 2016-01-01, terms_version: 2015-06}"
RIDES = """
campaign: didi-rides
partner: didi
asp_id: didi-app
title: Rides
starts_at: 2015-08-01
offer:
  rating_group: didi
  hosts: [xiaojukeji.com, udache.com, didialift.com]
"""
ARRIVAL_S = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture
def bank(make_local_bank: Callable[..., LocalBank], tmp_path: Path) -> LocalBank:
    """A running bank with a partner that has a contract, an app and 1 GiB."""
    made = make_local_bank()
    with_didi(made, tmp_path, CLOCK)
    made.done("partner", "buy", "didi", "1GB", "--fen", "1500")
    wait_until(lambda: available(made) == GIB, ARRIVAL_S, "the ledger has what was bought")
    return made


def with_didi(bank: LocalBank, folder: Path, clock: str) -> None:
    """Start a bank with the partner didi, its app and its contract."""
    bank.up("--clock", clock)
    bank.done("partner", "register", "didi", "--sponsor-id", "DIDI01")
    bank.done("partner", "app", "add", "didi", "didi-app")
    bank.done("partner", "contract", written(folder, "contract.yaml", CONTRACT))


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def available(bank: LocalBank) -> int | None:
    return bank.json("partner", "show", "didi")["available_bytes"]  # type: ignore[no-any-return]


def offers(bank: LocalBank) -> dict[str, str]:
    """Return the state of each campaign's offer; one that runs is told without."""
    with ledger_of(bank.bank) as ledger:
        found: list[dict[str, Any]] = ledger.get("/v1/offers")["offers"]
    return {each["campaign"]: each.get("state", "running") for each in found}


def test_a_campaign_goes_its_way_although_the_ledger_is_killed(
    bank: LocalBank, tmp_path: Path
) -> None:
    rides = written(tmp_path, "rides.yaml", RIDES)
    assert bank.json("campaign", "draft", rides)["state"] == "drafted"
    bank.done("campaign", "approve", "didi-rides")

    # Funding waits for a ledger that is away, and counts once under its key.
    kill(bank, "ledger")
    fundings = [
        start(bank, "campaign", "fund", "didi-rides", "100MB", "--key", "f") for _ in range(3)
    ]
    assert [end(each)["funded_bytes"] for each in fundings] == [100 * MIB] * 3
    assert available(bank) == GIB - 100 * MIB
    refused = bank.run("campaign", "fund", "didi-rides", "1GB")
    assert (refused.returncode, "insufficient_data" in refused.stderr) == (1, True)

    # Start and pause return when every partition of the ledger knows.
    starting = start(bank, "campaign", "start", "didi-rides")
    kill(bank, "ledger")
    answer = end(starting)
    assert (answer["state"], answer["offer"]["known"]) == ("running", True)
    wait_until_ready(bank)
    assert offers(bank) == {"campaign:didi-rides": "running"}
    kill(bank, "tasks")
    assert bank.json("campaign", "pause", "didi-rides", "--reason", "snow")["state"] == "paused"
    assert offers(bank) == {"campaign:didi-rides": "paused"}

    assert bank.json("campaign", "end", "didi-rides")["state"] == "ended"
    wait_until(lambda: available(bank) == GIB, ARRIVAL_S, "the partner has the rest back")
    assert bank.json("verify")["ok"] is True


def test_a_campaign_is_shown_with_what_it_was_given_and_spent_by_day(
    bank: LocalBank, tmp_path: Path
) -> None:
    bank.done("campaign", "draft", written(tmp_path, "rides.yaml", RIDES))
    drafted = bank.json("campaign", "show", "didi-rides")
    assert (drafted["sums"], drafted["sums_missing"]) == (None, "account_not_found")
    assert "spent: nothing: it has no account yet" in bank.done("campaign", "show", "didi-rides")
    bank.done("campaign", "approve", "didi-rides")
    bank.done("campaign", "fund", "didi-rides", "100MB")
    bank.done("campaign", "start", "didi-rides")
    bank.done("clock", "set", "2015-08-02T12:00:00+08:00")
    opened = {"type": "open_account", "key": "o", "plan": "std-30mb"}
    do(bank, [opened | {"account": who} for who in ("ann", "bob")])
    use(bank, ["2015-08-01T09:00:00", "2015-08-01T10:00:00", "2015-08-02T09:00:00"])

    shown = bank.json("campaign", "show", "didi-rides")
    assert (shown["state"], shown["sums_missing"]) == ("running", None)
    sums = shown["sums"]
    assert (sums["funded_bytes"], sums["sponsored_bytes"]) == (100 * MIB, 6_000)
    assert (sums["available_bytes"], sums["balanced"]) == (100 * MIB - 6_000, True)
    (row,) = shown["spend"]
    assert (row["day"], row["kind"], row["rating_group"]) == ("2015-08-02", "sponsored", "didi")
    assert (row["bytes"], row["count"], row["subscribers"]) == (6_000, 6, 2)
    text = bank.done("campaign", "show", "didi-rides")
    assert "went: sponsored 5.86 KiB" in text
    assert "2015-08-02" in text


def use(bank: LocalBank, times: list[str]) -> None:
    """Let ann and bob use 1,000 bytes of Didi's at each time, until all of it is charged."""
    lines = [
        {"usage_id": f"{who}-{at}", "account": who, "bytes": 1_000, "occurred_at": f"{at}+08:00",
         "host": "udache.com"}
        for who in ("ann", "bob") for at in times
    ]  # fmt: skip
    with ledger_of(bank.bank) as ledger:
        wait_until(
            lambda: all(
                each["status"] == "done" and each["sponsored_bytes"] == 1_000
                for each in ledger.post("/v1/usage", {"lines": lines}).body["outcomes"]
            ),
            ARRIVAL_S, "the campaign's quotas have paid",
        )  # fmt: skip
