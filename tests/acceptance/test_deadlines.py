"""Ten thousand deadlines at the same moment: each is met once, whoever dies at it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.steps import do, kill, ledger_events, wait_until_ready
from tests.support.bank import LocalBank, wait_until

CLOCK = "2015-09-01T12:00:00+08:00"
DEADLINE = "2015-09-03T12:00:00+08:00"
HOLDS = 10_000
HELD = 1 << 20
KILLS = 3
ALL_S = 60.0

pytestmark = pytest.mark.slow


def commands(kind: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"key": kind, "type": kind, "account": f"person-{number}", **fields}
        for number in range(HOLDS)
    ]


def after(bank: LocalBank, stored: int) -> int:
    """Wait until the ledger has stored more events than that; return how many."""
    wait_until(lambda: ledger_events(bank) > stored, ALL_S, "more holds time out")
    return ledger_events(bank) or stored


def test_ten_thousand_holds_due_at_once_time_out_once_each_although_the_ledger_is_killed(
    make_local_bank: Callable[..., LocalBank],
) -> None:
    bank = make_local_bank()
    bank.up("--clock", CLOCK)
    do(bank, commands("open_account", plan="std-30mb", active_from="2015-09"))
    do(bank, commands("hold", bytes=HELD, deadline=DEADLINE))
    assert bank.json("totals")["held"] == HOLDS * HELD
    before, stored = bank.json("verify")["events"], ledger_events(bank)

    advancing = bank.popen("clock", "advance", "48h")
    killed_at: list[int] = []
    over = stored + HOLDS
    while len(killed_at) < KILLS and (reached := after(bank, [stored, *killed_at][-1])) < over:
        kill(bank, "ledger")
        killed_at.append(reached)
    assert killed_at, "all was over before the first kill"
    assert advancing.wait(ALL_S) == 0

    wait_until_ready(bank)
    wait_until(lambda: bank.json("totals")["held"] == 0, ALL_S, "no hold is left")
    verified = bank.json("verify")
    assert verified["ok"]
    assert verified["events"] == before + HOLDS
