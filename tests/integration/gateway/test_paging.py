"""Spend and parked events page by page; what is no filter is refused."""

from threading import Event
from typing import Any

import pytest

from services.gateway.bootstrap import make_app
from services.ledger.domain.commands import Award
from shared.bus.inbox import Inbox
from shared.paging import cursor_of
from tests.integration.gateway.test_http import TOKENS, Api
from tests.support.gateway import MIB, BankReader, funded_bank

DAYS = ["2015-08-10", "2015-08-11", "2015-08-12", "2015-08-13"]


@pytest.fixture
def api(gateway_of) -> Api:
    """A campaign that gave on four days; the first two events of bob cannot be read."""
    bank = funded_bank()
    for day in DAYS:
        bank.at(f"{day}T12:00:00")
        bank.do(Award(key=day, account="campaign:ride", subscriber="ann", bytes=MIB))
        bank.settle()
    reader = BankReader(bank)
    for event in reader.all_events():
        if event.subject == "bob":
            reader.spoiled[event.id] = lambda data: data.pop("recorded_at")
    gateway = gateway_of(reader)
    Inbox(gateway.consumers, reader, stop=Event(), pause_s=0.001).level()
    return Api(make_app(gateway, TOKENS))


def pages(api: Api, path: str, name: str, **asked: Any) -> list[Any]:
    rows: list[Any] = []
    after: dict[str, Any] = {}
    while True:
        answer = api.get(path, limit=1, **asked, **after)
        rows += answer[name]
        assert len(answer[name]) <= 1
        if answer["next_after"] is None:
            return rows
        after = {"after": answer["next_after"]}


def test_spend_comes_in_pages_that_make_up_the_whole(api: Api) -> None:
    whole = api.get("/v1/partners/spend")
    assert pages(api, "/v1/partners/spend", "rows") == whole["rows"]
    assert [row["day"] for row in whole["rows"]] == DAYS
    first = api.get("/v1/partners/spend", limit=1, day_from=DAYS[1])
    assert first["total_bytes"] == 3 * MIB
    assert len(pages(api, "/v1/partners/didi/spend", "rows", day_from=DAYS[1])) == 3


def test_campaigns_and_alarms_come_in_pages_whose_cursors_are_their_own(api: Api) -> None:
    for path, name in (("/v1/campaigns", "campaigns"), ("/v1/partners/alarms", "alarms")):
        whole = api.get(path)[name]
        assert pages(api, path, name) == whole
        assert whole
    spend = api.get("/v1/partners/spend", limit=1)["next_after"]
    for path in ("/v1/campaigns", "/v1/partners/alarms"):
        for wrong in ("zzz", "campaign:ride", spend, cursor_of("nobody\0"), cursor_of(7)):
            assert "next_after" in api.get(path, 422, after=wrong)["detail"], (path, wrong)
    assert "next_after" in api.get("/v1/campaigns", 422, after=cursor_of("partner:didi"))["detail"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/partners/spend", {"partner": "nobody"}),
        ("/v1/partners/spend", {"campaign": "nobody"}),
        ("/v1/partners/didi/spend", {"campaign": "campaign:nobody"}),
        ("/v1/partners/nobody/spend", {}),
        ("/v1/campaigns", {"partner": "nobody"}),
        ("/v1/campaigns", {"partner": "partner:nobody"}),
        ("/v1/partners/alarms", {"partner": "nobody"}),
    ],
)
def test_a_partner_or_campaign_that_nobody_knows_is_not_found(
    api: Api, path: str, asked: dict[str, Any]
) -> None:
    found = api.get(path, 404, **asked)
    assert found["code"] == "account_not_found"
    assert "nobody" in found["account"]


@pytest.mark.parametrize("name", ["didi", "partner:didi"])
def test_a_partner_is_named_with_or_without_its_prefix(api: Api, name: str) -> None:
    assert api.get("/v1/campaigns", partner=name)["campaigns"]
    assert api.get("/v1/partners/spend", partner=name, campaign="ride")["rows"]
    assert api.get("/v1/partners/spend", partner=name, campaign="campaign:ride")["rows"]


@pytest.mark.parametrize(
    ("path", "asked", "name"),
    [
        ("/v1/partners/spend", {"day_from": DAYS[1], "day_to": DAYS[0]}, "`day_from`"),
        ("/v1/partners/didi/spend", {"day_from": DAYS[1], "day_to": DAYS[0]}, "`day_from`"),
        ("/v1/accounts/ann/history", {"from": DAYS[1], "to": DAYS[0]}, "`from`"),
        ("/v1/accounts/ann/history", {"from": DAYS[1], "to": DAYS[1]}, "`from`"),
    ],
)
def test_an_interval_that_holds_nothing_is_refused(
    api: Api, path: str, asked: dict[str, Any], name: str
) -> None:
    refused = api.get(path, 422, **asked)
    assert refused["code"] == "invalid_request"
    assert name in refused["detail"]


def test_an_interval_of_one_day_is_taken(api: Api) -> None:
    rows = api.get("/v1/partners/spend", day_from=DAYS[1], day_to=DAYS[1])["rows"]
    assert [row["day"] for row in rows] == [DAYS[1]]


def test_parked_events_come_in_pages_and_by_view_and_account(api: Api) -> None:
    whole = api.get("/v1/parked")["parked"]
    assert pages(api, "/v1/parked", "parked") == whole
    assert {row["account"] for row in whole} == {"bob"}
    own = api.get("/v1/parked", consumer="history", account="bob")["parked"]
    assert own == [row for row in whole if row["consumer"] == "history"]
    assert api.get("/v1/parked", account="ann")["parked"] == []


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("/v1/partners/spend", {"after": "x"}),
        ("/v1/partners/spend", {"limit": 0}),
        ("/v1/partners/spend", {"page": 2}),
        ("/v1/parked", {"consumer": "gossip"}),
        ("/v1/parked", {"after": "bnVsbA"}),
        ("/v1/parked", {"view": "balances"}),
        ("/v1/campaigns", {"partner": "di di"}),
        ("/v1/campaigns", {"partner": "didi\0"}),
        ("/v1/partners/spend", {"campaign": "partner:didi"}),
    ],
)
def test_what_is_no_filter_of_a_list_is_refused(api: Api, path: str, bad: dict[str, Any]) -> None:
    assert api.get(path, 422, **bad)["code"] == "invalid_request"
