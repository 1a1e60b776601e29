"""What a partner owes for a day, on a real database: the view, the logs, the same answer."""

from collections.abc import Callable
from threading import Event as Stop
from typing import Any

import pytest

from services.gateway.application import Gateway
from services.gateway.bootstrap import make_app
from services.ledger.domain.commands import Award, Buy, ClawBack, Fund, OpenAccount
from shared.bus.inbox import Inbox
from shared.ids import partition_of
from tests.integration.gateway.test_http import TOKENS, Api
from tests.support.gateway import MIB, BankReader, funded_bank, last
from tests.support.memory import CALENDAR, MemoryBank
from tests.support.sponsored import Sponsor
from tests.support.tasks import TasksLog, drafted, priced, registered

DAY = "2015-08-10"
NEXT = "2015-08-11T12:00:00"
BEFORE = CALENDAR.parse("2015-08-01")
PATH = f"/v1/partners/didi/settlements/{DAY}"
HEADER = "day,campaign,rating_group,sponsor_id,asp_id,bytes,count,price_version,amount_fen\n"
FILE = (
    f"{HEADER}{DAY},campaign:ride,(award),sponsor-didi,asp-didi,2097152,3,7,2\n"
    f"{DAY},campaign:ride,didi,sponsor-didi,asp-didi,1000,2,7,0\n"
)


@pytest.fixture
def bank() -> MemoryBank:
    """A campaign that awarded three times, one of it clawed back, and paid for two records."""
    made = funded_bank()
    people = ("ann", "bob", "cat")
    outcomes = made.do(
        *(Award(key=one, account="campaign:ride", subscriber=one, bytes=MIB) for one in people)
    )
    made.settle()
    undone = outcomes[0].result["transfer_id"]
    made.do(ClawBack(key="c", account="ann", transfer_id=undone, reason="a cancelled ride"))
    made.settle()
    sponsor = Sponsor(made, "campaign:ride", "partner:didi")
    sponsor.pays("u1", "ann", 900)
    sponsor.pays("u2", "bob", 100, own=50)
    return made


@pytest.fixture
def tasks() -> TasksLog:
    """Didi's campaign and its prices of August."""
    log = TasksLog()
    log.add(
        registered("didi", BEFORE), drafted("ride", "didi", BEFORE),
        priced("didi", 7, "2015-08-01", BEFORE, award=1_000, sponsored=2_000),
    )  # fmt: skip
    return log


@pytest.fixture
def reader(bank: MemoryBank) -> BankReader:
    return BankReader(bank)


@pytest.fixture
def gateway(gateway_of: Callable[..., Gateway], reader: BankReader, tasks: TasksLog) -> Gateway:
    made = gateway_of(reader, None, tasks)
    follow(made)
    return made


def follow(gateway: Gateway) -> None:
    for service, log in gateway.readers.items():
        own = [each for each in gateway.consumers if each.view.service == service]
        Inbox(own, log, stop=Stop(), pause_s=0.001).level()


@pytest.fixture
def api(gateway: Gateway) -> Api:
    return Api(make_app(gateway, TOKENS))


def file_of(api: Api) -> str:
    answer = api.client.get(PATH, headers=api.headers)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv"), answer.get_data(as_text=True)
    return str(answer.get_data(as_text=True))


def refusal(api: Api, path: str = PATH) -> tuple[int, Any]:
    answer = api.client.get(path, headers=api.headers)
    return answer.status_code, answer.get_json()["code"]


def test_a_day_is_settled_when_it_is_over_and_stays_the_same(
    api: Api, gateway: Gateway, bank: MemoryBank, tasks: TasksLog
) -> None:
    assert refusal(api) == (409, "day_running")
    bank.at("2015-08-11T00:00:14.999")
    assert refusal(api) == (409, "day_running")
    bank.at("2015-08-11T00:00:15")
    assert file_of(api) == FILE
    bank.at(NEXT)
    Sponsor(bank, "campaign:ride", "partner:didi").takes_back("u1", "ann", 900)
    tasks.add(priced("didi", 8, DAY, bank.clock.at, award=5_000, sponsored=5_000))
    follow(gateway)
    assert file_of(api) == FILE
    last(gateway.rebuild("all"))
    assert file_of(api) == FILE
    later = api.get("/v1/partners/didi/spend", day_from="2015-08-11")["rows"]
    assert [(row["bytes"], row["count"], row["price_version"]) for row in later] == [(-900, 0, 8)]


def test_the_sum_of_a_settlement_is_the_ledgers(
    api: Api, gateway: Gateway, bank: MemoryBank
) -> None:
    bank.at(NEXT)
    document = api.get(PATH, format="json")
    assert (document["total_bytes"], document["total_count"]) == (2 * MIB + 1_000, 5)
    assert document["total_fen"] == sum(line["amount_fen"] for line in document["lines"])
    assert [line["subscribers"] for line in document["lines"]] == [3, 2]
    found = api.stream(f"{PATH}:check")[-1]["result"]
    assert (found["ok"], found["ledger_bytes"]) == (True, 2 * MIB + 1_000)
    with gateway.store.cursor() as cursor:
        cursor.execute("UPDATE spend_lines SET bytes = bytes + 1 WHERE kind = 'sponsored'")
    found = api.stream(f"{PATH}:check")[-1]["result"]
    assert found["first_difference"] == {
        "line": ["campaign:ride", "sponsored", "didi"], "settled": [1_001, 2], "ledger": [1_000, 2],
    }  # fmt: skip


def test_nothing_is_settled_while_a_view_is_behind_or_an_event_is_put_aside(
    api: Api, gateway: Gateway, bank: MemoryBank, reader: BankReader
) -> None:
    bank.at(NEXT)
    Sponsor(bank, "campaign:ride", "partner:didi").pays("u3", "ann", 1)
    assert refusal(api) == (503, "unavailable")
    spoiled = reader.events(reader.source(partition_of("ann", len(bank.partitions))))[-1]
    reader.spoiled[spoiled.id] = lambda data: data.pop("recorded_at", None)
    follow(gateway)
    assert refusal(api) == (409, "settlement_incomplete")


@pytest.mark.parametrize("named", [True, False])
def test_what_is_put_aside_of_another_partner_stops_nobody_else(
    api: Api, gateway: Gateway, bank: MemoryBank, reader: BankReader, *, named: bool
) -> None:
    """One that does not even say whose it is may be anybody's."""
    bank.do(
        OpenAccount(key="o", account="partner:shop"),
        OpenAccount(key="o", account="campaign:sale", partner="partner:shop"),
        Buy(key="b", account="partner:shop", bytes=MIB),
        Fund(key="f", account="partner:shop", campaign="campaign:sale", bytes=MIB),
    )
    bank.settle()
    bank.at(NEXT)
    Sponsor(bank, "campaign:sale", "partner:shop").pays("u3", "ann", 1)
    events = reader.events(reader.source(partition_of("ann", len(bank.partitions))))
    spoiled = next(each for each in reversed(events) if each.data.get("partner"))
    assert spoiled.data["partner"] == "partner:shop"

    def spoil(data: dict[str, Any]) -> None:
        del data["recorded_at"]
        if not named:
            del data["partner"]

    reader.spoiled[spoiled.id] = spoil
    follow(gateway)
    assert api.get("/v1/parked")["parked"]
    if named:
        assert file_of(api) == FILE
    else:
        assert refusal(api) == (409, "settlement_incomplete")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (f"/v1/partners/nobody/settlements/{DAY}", (404, "account_not_found")),
        ("/v1/partners/didi/settlements/yesterday", (422, "invalid_request")),
        ("/v1/partners/didi/settlements/2015-08-10T12:00:00", (422, "invalid_request")),
        (f"{PATH}?format=xml", (422, "invalid_request")),
        ("/v1/campaigns/nobody", (404, "account_not_found")),
    ],
)
def test_bad_questions_are_refused(
    api: Api, bank: MemoryBank, path: str, problem: tuple[int, str]
) -> None:
    bank.at(NEXT)
    assert refusal(api, path) == problem


def test_a_campaign_shows_where_its_bytes_came_from_and_where_they_are(
    api: Api, gateway: Gateway
) -> None:
    shown = api.get("/v1/campaigns/ride")
    assert {name: shown[f"{name}_bytes"] for name in
            ("funded", "charged_on_credit", "available", "awarded", "sponsored", "in_transit")} == {
        "funded": 100 * MIB, "charged_on_credit": 1_000, "available": 98 * MIB,
        "awarded": 2 * MIB, "sponsored": 1_000, "in_transit": 0,
    }  # fmt: skip
    assert (shown["balanced"], shown["partner"]) == (True, "partner:didi")
    assert all(quota["remaining_bytes"] == 0 for quota in shown["quotas"])
    listed = api.get("/v1/campaigns", partner="didi")
    assert [one["campaign"] for one in listed["campaigns"]] == ["campaign:ride"]
    assert last(gateway.verify())["ok"]
    with gateway.store.cursor() as cursor:
        cursor.execute("UPDATE campaigns SET sponsored = sponsored + 1")
    assert api.get("/v1/campaigns/ride")["balanced"] is False
    assert last(gateway.verify())["first_difference"]["view"] == "campaigns"


def test_a_subscriber_sees_what_was_sponsored_and_by_whom(api: Api, gateway: Gateway) -> None:
    paid = {"campaign": "campaign:ride", "partner": "partner:didi", "bytes": 100, "records": 1}
    assert api.get("/v1/accounts/bob/balance")["sponsored"] == [paid]
    assert api.get("/v1/accounts/dan/balance")["sponsored"] == []
    entry = api.get("/v1/accounts/bob/history", kind="spent")["entries"][-1]
    assert (entry["sponsored_bytes"], entry["unfunded_bytes"]) == (100, 50)
    assert entry["sponsors"] == {"campaign:ride": 100}
    totals = api.get("/v1/trial-balance")
    assert (totals["sponsored"], totals["unfunded"], totals["balanced"]) == (1_000, 50, True)
    assert last(gateway.verify())["ok"]
