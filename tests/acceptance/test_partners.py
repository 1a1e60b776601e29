"""Partners pay for their campaigns' awards: what is spent is what the ledger moved, to the byte."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from infra.cli.client import ledger_of
from tests.acceptance.steps import do, settled
from tests.support.bank import LocalBank

CLOCK = "2015-09-01T12:00:00+08:00"
MIB = 1 << 20
SUBSCRIBERS = 400
AWARDS = 10_000
CLAWBACKS = 300
UNKNOWN_SHARE = 0.03
CAMPAIGNS = {
    "campaign:ride-1": ("partner:ride", 6_000 * MIB),
    "campaign:ride-2": ("partner:ride", 200 * MIB),
    "campaign:song-1": ("partner:song", 4_000 * MIB),
    "campaign:song-2": ("partner:song", 5_000 * MIB),
    "campaign:map-1": ("partner:map", 3_000 * MIB),
}
PURCHASE = 12_000 * MIB

pytestmark = pytest.mark.slow


@pytest.fixture(params=["log", "rabbitmq"])
def bank(request: pytest.FixtureRequest, make_local_bank: Callable[..., LocalBank]) -> LocalBank:
    """A running bank of each transport."""
    environment = {}
    if request.param == "rabbitmq":
        environment["AMQP_URL"] = request.getfixturevalue("amqp_url")
    made = make_local_bank(**environment)
    made.up("--clock", CLOCK)
    return made


def command(key: str, kind: str, account: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "type": kind, "account": account, **fields}


def openings() -> list[dict[str, Any]]:
    partners = sorted({partner for partner, _ in CAMPAIGNS.values()})
    people = [f"person-{number}" for number in range(SUBSCRIBERS)]
    return [
        *(command("open", "open_account", partner) for partner in partners),
        *(command("buy", "buy", partner, bytes=PURCHASE) for partner in partners),
        *(command("open", "open_account", campaign, partner=partner)
          for campaign, (partner, _) in CAMPAIGNS.items()),
        *(command("open", "open_account", person, plan="std-30mb", active_from="2015-09")
          for person in people),
    ]  # fmt: skip


def fundings() -> list[dict[str, Any]]:
    return [
        command(f"fund:{campaign}", "fund", partner, campaign=campaign, bytes=budget)
        for campaign, (partner, budget) in CAMPAIGNS.items()
    ]


def awards() -> list[dict[str, Any]]:
    random = Random(20_150_901)
    campaigns = sorted(CAMPAIGNS)
    made = []
    for number in range(AWARDS):
        known = random.random() > UNKNOWN_SHARE
        person = f"person-{random.randrange(SUBSCRIBERS)}" if known else f"nobody-{number}"
        size = random.randrange(1, 4 * MIB)
        campaign = random.choice(campaigns)
        made.append(command(f"award:{number}", "award", campaign, subscriber=person, bytes=size))
    return made


def test_ten_thousand_awards_are_spent_to_the_byte_within_their_budgets(bank: LocalBank) -> None:
    do(bank, openings())
    do(bank, fundings())
    settled(bank)

    given = do(bank, awards(), code=1)
    totals = settled(bank)

    wanted = awards()
    done = [order for order, outcome in zip(wanted, given["outcomes"], strict=True)
            if outcome["status"] == "done"]  # fmt: skip
    codes = Counter(outcome["code"] for outcome in given["outcomes"] if outcome["status"] != "done")
    assert set(codes) == {"insufficient_data"}
    arrived = [order for order in done if order["subscriber"].startswith("person-")]
    sent_back = sum(order["bytes"] for order in done) - sum(order["bytes"] for order in arrived)
    assert sent_back > 0
    assert totals["returned"] == sent_back
    assert totals["transferred"] == totals["received"] + totals["returned"]

    awarded: Counter[str] = Counter()
    for order in arrived:
        awarded[order["account"]] += order["bytes"]
    assert spent_by_campaign(bank) == awarded
    assert_campaigns_kept_their_budgets(bank, awarded)

    repeated = do(bank, [each for each in wanted if each in done][:1_000])
    assert all(outcome.get("repeated") for outcome in repeated["outcomes"])
    assert settled(bank) | {"as_of": ""} == totals | {"as_of": ""}
    awarded.subtract(claw_back_some(bank, arrived, given["outcomes"]))
    assert settled(bank)["returned"] == sent_back
    assert spent_by_campaign(bank) == awarded
    assert_campaigns_kept_their_budgets(bank, awarded)
    assert bank.json("verify")["ok"] is True


def spent_by_campaign(bank: LocalBank) -> Counter[str]:
    by_campaign: Counter[str] = Counter()
    for row in bank.json("partner-spend")["rows"]:
        if row["kind"] == "award":
            by_campaign[row["campaign"]] += row["bytes"]
    return by_campaign


def claw_back_some(
    bank: LocalBank, arrived: list[dict[str, Any]], outcomes: list[dict[str, Any]]
) -> Counter[str]:
    """Claw awards back; nobody has used any. Returns the bytes by campaign."""
    transfers = {each["key"]: each["result"]["transfer_id"] for each in outcomes
                 if each["status"] == "done"}  # fmt: skip
    undone = arrived[:CLAWBACKS]
    asked = [
        command(f"undo:{order['key']}", "claw_back", order["subscriber"],
                transfer_id=transfers[order["key"]], reason="a cancelled ride")
        for order in undone
    ]  # fmt: skip
    clawed = do(bank, asked)["outcomes"]
    assert {outcome["result"]["shortfall_bytes"] for outcome in clawed} == {0}
    by_campaign: Counter[str] = Counter()
    for order in undone:
        by_campaign[order["account"]] += order["bytes"]
    return by_campaign


def assert_campaigns_kept_their_budgets(bank: LocalBank, awarded: Counter[str]) -> None:
    """The ledger holds for each campaign exactly its budget less what arrived."""
    with ledger_of(bank.bank) as ledger:
        for campaign, (_, budget) in CAMPAIGNS.items():
            lots = ledger.get(f"/v1/accounts/{campaign}")["state"]["lots"]
            left = sum(lot["remaining"] for lot in lots.values())
            assert left == budget - awarded[campaign]
            assert all(lot["remaining"] >= 0 for lot in lots.values())
