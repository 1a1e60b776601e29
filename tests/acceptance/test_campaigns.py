"""A partner's campaign through the command line, from its registration to its end."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import LocalBank, wait_until

CLOCK = "2015-07-31T12:00:00+08:00"
GIB, MIB = 1 << 30, 1 << 20
DIDI: dict[str, Any] = {
    "campaign": "didi-august",
    "partner": "didi",
    "asp_id": "didi-app",
    "title": "Didi pays for Didi",
    "starts_at": "2015-08-01T00:00:00+08:00",
    "ends_at": "2015-09-01T00:00:00+08:00",
    "budget": {"total_bytes": 100 * MIB},
    "offer": {"rating_group": "didi", "hosts": ["xiaojukeji.com", "udache.com"]},
}

pytestmark = pytest.mark.slow


@pytest.fixture
def bank(local_bank: LocalBank) -> LocalBank:
    """A sandbox at noon of July's last day."""
    local_bank.up("--clock", CLOCK)
    return local_bank


def written(folder: Path, name: str, document: Any) -> str:
    """Write a document into a file and return its path."""
    path = folder / name
    path.write_text(json.dumps(document))
    return str(path)


def code_of(bank: LocalBank, *arguments: str) -> str:
    """Return the code with which a command is refused."""
    ended = bank.run(*arguments, "--json")
    assert ended.returncode == 1, ended.stdout
    return str(json.loads(ended.stderr.splitlines()[-1])["code"])


def available(bank: LocalBank, account: str) -> int:
    """Return what an account has, once the views know it."""
    return int(bank.json("balance", account)["available_bytes"])


def test_a_partner_registers_buys_and_runs_a_campaign_from_the_command_line(
    bank: LocalBank, tmp_path: Path
) -> None:
    bank.done("partner", "register", "didi", "--sponsor-id", "S-800", "--title", "Didi")
    bank.done("partner", "app", "add", "didi", "didi-app")
    contract = {"partner": "didi", "starts_at": "2015-07-01", "ends_at": "2016-07-01",
                "terms_version": "2015-1"}  # fmt: skip
    bank.done("partner", "contract", written(tmp_path, "contract.json", contract))
    prices = {"partner": "didi", "from_day": "2015-08-01",
              "fen_per_gib": {"award": 1000, "sponsored": 800, "pack": 900}}  # fmt: skip
    bank.done("partner", "prices", written(tmp_path, "prices.json", prices))
    old = bank.json("partner", "key", "issue", "didi", "didi-app")
    new = bank.json("partner", "key", "rotate", "didi", "didi-app")
    assert old["secret"] != new["secret"]
    bank.done("partner", "buy", "didi", "1GB", "--fen", "80000")

    file = written(tmp_path, "didi.json", DIDI)
    bank.done("campaign", "draft", file)
    assert code_of(bank, "campaign", "start", "didi-august") == "campaign_not_approved"
    bank.done("campaign", "approve", "didi-august")
    assert code_of(bank, "campaign", "start", "didi-august") == "campaign_not_funded"
    assert code_of(bank, "campaign", "fund", "didi-august", "2GB") == "funding_above_budget"
    funded = bank.json("campaign", "fund", "didi-august", "100MB")
    assert funded["funded_bytes"] == 100 * MIB
    started = bank.json("campaign", "start", "didi-august")
    assert started["state"] == "running"
    assert started["offer"]["known"] is True

    shown = bank.json("partner", "show", "didi")
    assert (shown["bought_bytes"], shown["available_bytes"]) == (GIB, GIB - 100 * MIB)
    assert len(shown["keys"]) == 2
    assert old["secret"] not in json.dumps(shown)
    assert available(bank, "campaign:didi-august") == 100 * MIB
    assert bank.json("verify")["ok"]

    changed = DIDI | {"title": "Didi pays for rides", "ends_at": "2015-10-01T00:00:00+08:00"}
    answer = bank.json("campaign", "change", written(tmp_path, "changed.json", changed))
    assert (answer["version"], answer["offer"]["known"]) == (2, True)
    assert bank.json("campaign", "pause", "didi-august")["state"] == "paused"
    assert bank.json("campaign", "start", "didi-august")["state"] == "running"
    ended = bank.json("campaign", "end", "didi-august")
    assert (ended["state"], ended["offer"]["known"]) == ("ended", True)
    wait_until(
        lambda: available(bank, "partner:didi") == GIB, 30, "what was left is the partner's again"
    )
    assert available(bank, "campaign:didi-august") == 0
    assert [each["state"] for each in bank.json("campaign", "list")["campaigns"]] == ["ended"]
    little_is_left(bank, tmp_path)
    assert bank.json("parked")["parked"] == []
    assert bank.json("verify")["ok"]


def little_is_left(bank: LocalBank, folder: Path) -> None:
    """Let the partner put most of what it has into a campaign, and buy again."""
    autumn = DIDI | {"campaign": "didi-autumn", "ends_at": "2015-12-01", "budget": {}}
    bank.done("campaign", "draft", written(folder, "autumn.json", autumn))
    bank.done("campaign", "approve", "didi-autumn")
    assert bank.json("partner", "alarms")["alarms"] == []
    bank.done("campaign", "fund", "didi-autumn", "900MB")
    (alarm,) = bank.json("partner", "alarms", "--partner", "didi")["alarms"]
    assert (alarm["account"], alarm["percent"]) == ("partner:didi", 20)
    assert alarm["available_bytes"] == GIB - 900 * MIB
    assert "less than 20 % are left of 1.00 GiB" in bank.run("partner", "show", "didi").stdout
    assert "partner:didi" in bank.run("partner", "alarms").stdout
    bank.done("partner", "buy", "didi", "1GB")
    assert bank.json("partner", "alarms")["alarms"] == []
