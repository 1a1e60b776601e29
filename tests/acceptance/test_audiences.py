"""A campaign for whom a rule finds, on a running bank whose processes are killed meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.cli.client import ledger_of
from tests.acceptance.steps import do, end, kill, settled, start, wait_until_ready
from tests.acceptance.test_campaign_commands import with_didi, written
from tests.support.bank import LocalBank

CLOCK = "2015-08-10T12:00:00+08:00"
FOR_A_PLAN = """
campaign: {name}
partner: didi
asp_id: didi-app
starts_at: 2015-08-01
audience: {{rule: {{tier: [{plan}]}}}}
budget: {{unlimited: true}}
tasks: [{{name: hello, kind: sign_in}}]
offer: {{rating_group: didi, listed: true}}
grants: [{{name: monthly, bytes: 1048576, valid: {{months: 0}}}}]
"""
SMALL = [f"small-{number}" for number in range(60)]
LARGE = [f"large-{number}" for number in range(9)]

pytestmark = pytest.mark.slow


@pytest.fixture
def bank(make_local_bank: Callable[..., LocalBank], tmp_path: Path) -> LocalBank:
    """A running bank with subscribers of two plans, and the partner didi."""
    made = make_local_bank()
    with_didi(made, tmp_path, CLOCK)
    plans = [(each, "std-30mb") for each in SMALL] + [(each, "std-1gb") for each in LARGE]
    do(made, [{"key": "o", "type": "open_account", "account": each, "plan": plan}
              for each, plan in plans])  # fmt: skip
    settled(made)
    return made


def drafted(bank: LocalBank, folder: Path, name: str, plan: str) -> None:
    text = FOR_A_PLAN.format(name=name, plan=plan)
    bank.done("campaign", "draft", written(folder, f"{name}.yaml", text))
    bank.done("campaign", "approve", name)


def sponsored(bank: LocalBank, who: str) -> int:
    """Let somebody use some data; return what the campaign paid of it."""
    record = {
        "usage_id": f"u-{who}", "account": who, "bytes": 1_000, "occurred_at": CLOCK,
        "rating_group": "didi",
    }  # fmt: skip
    with ledger_of(bank.bank) as ledger:
        (outcome,) = ledger.post("/v1/usage", {"lines": [record]}).body["outcomes"]
    assert outcome["status"] == "done", outcome
    return int(outcome["sponsored_bytes"])


def test_a_rule_binds_claims_and_sponsored_data_and_survives_kills(
    bank: LocalBank, tmp_path: Path
) -> None:
    drafted(bank, tmp_path, "small-plan", "std-30mb")
    starting = start(bank, "campaign", "start", "small-plan")
    for service in ("tasks-worker", "gateway", "tasks-worker"):
        kill(bank, service)
        wait_until_ready(bank)
    answer = end(starting)
    assert (answer["state"], answer["audience"]["state"]) == ("running", "taken")
    assert answer["audience"]["taken"]["members"] == len(SMALL)
    shown = bank.done("campaign", "show", "small-plan")
    assert "60 taken on 2015-08-10 12:0" in shown
    assert bank.json("members", "show", "campaign:small-plan:1")["members"] == len(SMALL)

    bank.done("task", "do", "small-plan", "hello", SMALL[0])
    refused = bank.run("task", "do", "small-plan", "hello", LARGE[0])
    assert (refused.returncode, "not_in_audience" in refused.stderr) == (1, True)
    assert [sponsored(bank, who) for who in (SMALL[0], LARGE[0])] == [1_000, 0]

    do(bank, [{"key": "c", "type": "close_account", "account": each} for each in SMALL[:5]])
    settled(bank)
    answer = bank.json("campaign", "refresh", "small-plan")
    assert answer["audience"]["taken"]["members"] == len(SMALL) - 5

    drafted(bank, tmp_path, "large-plan", "std-1gb")
    answer = bank.json("campaign", "start", "large-plan")
    assert (answer["audience"]["state"], answer["audience"]["taken"]) == ("refused", None)
    refused = bank.run("task", "do", "large-plan", "hello", LARGE[0])
    assert (refused.returncode, "audience_too_small" in refused.stderr) == (1, True)
    assert bank.json("verify")["ok"] is True
