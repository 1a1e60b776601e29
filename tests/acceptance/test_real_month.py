"""A real month, to the byte: imported, closed, projected and rebuilt, whatever dies meanwhile."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.cli.usage_file import COLUMNS
from tests.acceptance.real_month import ACCOUNTS, CLOCK, IMPORT, require_real_month
from tests.acceptance.steps import (
    end,
    kill,
    ledger_events,
    start,
    wait_for_progress,
    wait_until_ready,
)
from tests.support.bank import LocalBank, turn_held
from tests.support.rabbit import Broker

KILLS = 3
ANSWER_BEGINS_S = 1.0

IMPORTED = {
    "rows": 219_673,
    "accepted": 212_979,
    "duplicates": 436,
    "rejected": 6_258,
    "used_bytes": 3_614_682_928,
    "spent_bytes": 2_951_045_152,
    "unfunded_bytes": 663_637_776,
    "accounts_opened": ACCOUNTS,
}
IMPORTED_AGAIN = {
    "rows": 219_673,
    "accepted": 0,
    "duplicates": 213_415,
    "rejected": 6_258,
    "used_bytes": 0,
    "spent_bytes": 0,
    "unfunded_bytes": 0,
    "accounts_opened": 0,
}
CARRIED = 128_352_111_896
TOTALS = {
    "accounts": ACCOUNTS,
    "earned": 262_605_373_440,
    "received": 0,
    "returned": 0,
    "available": 262_605_373_440 - 2_951_045_152 - CARRIED,
    "held": 0,
    "lapsed": CARRIED,
    "spent": 2_951_045_152,
    "unfunded": 663_637_776,
    "transferred": 0,
    "expired": 0,
    "adjusted": 0,
    "in_transit": 0,
}
TOTALS_CLOSED = TOTALS | {"available": TOTALS["available"] + CARRIED, "lapsed": 0}
CLOSED = {
    "accounts": ACCOUNTS,
    "carried_accounts": 4_158,
    "carried_bytes": CARRIED,
    "expired_bytes": 0,
}
CLOSED_AGAIN = {"carried_accounts": 0, "carried_bytes": 0, "expired_bytes": 0}
SUBSCRIBER = "f0fe435441bad0d4"
SEPTEMBER = f"{SUBSCRIBER},2015-09-01 11:00:00,2015-09-01 11:00:01,1000,24,3gnet,1,443,,20150901"
VERIFIED = {"ok": True, "accounts": ACCOUNTS, "first_difference": None}

pytestmark = pytest.mark.slow

MakeBank = Callable[..., LocalBank]


@pytest.fixture(scope="module", autouse=True)
def real_month() -> None:
    """Without the data there is nothing to test."""
    require_real_month()


@pytest.fixture(params=["log-4", "log-1", "rabbitmq-1"])
def bank(request: pytest.FixtureRequest, make_local_bank: MakeBank) -> LocalBank:
    """A running bank, of each transport and size; four partitions on a broker come last."""
    transport, _, partitions = request.param.partition("-")
    environment = {"LEDGER_PARTITIONS": partitions}
    if transport == "rabbitmq":
        environment["AMQP_URL"] = request.getfixturevalue("amqp_url")
    made = make_local_bank(**environment)
    made.up("--clock", CLOCK)
    return made


def part(document: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {key: document.get(key) for key in like}


def test_a_real_month_is_imported_closed_projected_and_rebuilt_to_the_byte(bank: LocalBank) -> None:
    imported = bank.json(*IMPORT)
    assert part(imported, IMPORTED) == IMPORTED
    assert_rejects_are_private(Path(imported["rejects_file"]))
    assert part(bank.json("totals"), TOTALS) == TOTALS

    closed = bank.json("close-month", "2015-08")
    assert part(closed, CLOSED) == CLOSED
    assert part(bank.json("close-month", "2015-08"), CLOSED_AGAIN) == CLOSED_AGAIN
    assert part(bank.json("totals"), TOTALS_CLOSED) == TOTALS_CLOSED

    bank.json("rebuild", "all")
    assert part(bank.json("totals"), TOTALS_CLOSED) == TOTALS_CLOSED
    assert part(bank.json("verify"), VERIFIED) == VERIFIED
    assert_carry_goes_before_plan(bank)


def assert_rejects_are_private(rejects: Path) -> None:
    assert rejects.stat().st_mode & 0o777 == 0o600
    reasons = [line.split(",")[2] for line in rejects.read_text().splitlines()[1:]]
    assert reasons == ["time_truncated"] * IMPORTED["rejected"]


def assert_carry_goes_before_plan(bank: LocalBank) -> None:
    """Both end with September; usage of September takes from the carry lot first."""
    usage = bank.state / "september.csv"
    usage.write_text(f"{','.join(COLUMNS)}\n{SEPTEMBER}\n")
    before = {lot["kind"]: lot for lot in bank.json("balance", SUBSCRIBER)["lots"]}
    assert {lot["expires_at"] for lot in before.values()} == {"2015-10-01T00:00:00+08:00"}

    assert bank.json("import-usage", str(usage))["spent_bytes"] == 1_024

    after = {lot["kind"]: lot for lot in bank.json("balance", SUBSCRIBER)["lots"]}
    used = {
        kind: lot["remaining_bytes"] - after[kind]["remaining_bytes"]
        for kind, lot in before.items()
    }
    assert used == {"carry": 1_024, "plan": 0}


def test_killed_ledgers_lose_and_double_nothing(make_local_bank: MakeBank) -> None:
    bank = make_local_bank()
    bank.up("--clock", CLOCK)
    importing = start(bank, *IMPORT)
    stored = 0
    for _ in range(KILLS):
        stored = wait_for_progress(bank, importing, stored)
        kill(bank, "ledger")
    imported = end(importing)
    assert part(imported, IMPORTED) == IMPORTED
    wait_until_ready(bank)
    stored = ledger_events(bank)
    assert part(bank.json(*IMPORT), IMPORTED_AGAIN) == IMPORTED_AGAIN
    assert ledger_events(bank) == stored
    assert part(bank.json("totals"), TOTALS) == TOTALS

    # The close is over in a moment, but not while somebody else keeps the last partition's turn.
    with turn_held(bank.bank, bank.bank.partitions - 1):
        closing = start(bank, "close-month", "2015-08")
        wait_for_progress(bank, closing, stored)
        time.sleep(ANSWER_BEGINS_S)  # A close whose answer has not begun would be asked for again.
        kill(bank, "ledger")
    _, error = closing.communicate(timeout=60)
    assert closing.returncode == 1, "the close was over before the kill"
    assert "interrupted" in error
    wait_until_ready(bank)
    bank.json("close-month", "2015-08")
    assert part(bank.json("totals"), TOTALS_CLOSED) == TOTALS_CLOSED
    assert part(bank.json("verify"), VERIFIED) == VERIFIED


def test_a_killed_and_wiped_broker_loses_and_doubles_nothing(
    make_local_bank: MakeBank, private_broker: Broker
) -> None:
    bank = make_local_bank(AMQP_URL=private_broker.url)
    bank.up("--clock", CLOCK)
    importing = start(bank, *IMPORT)
    wait_for_progress(bank, importing, 0)
    kill(bank, "gateway-worker")
    time.sleep(0.5)
    private_broker.kill()
    private_broker.wipe()
    private_broker.start()
    assert part(end(importing), IMPORTED) == IMPORTED
    wait_until_ready(bank)
    assert part(bank.json("totals"), TOTALS) == TOTALS
    assert part(bank.json("verify"), VERIFIED) == VERIFIED
