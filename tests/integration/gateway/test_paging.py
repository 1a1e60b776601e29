"""Spend and parked events page by page; what is no filter is refused."""

from threading import Event
from typing import Any

import pytest

from services.gateway.bootstrap import make_app
from services.ledger.domain.commands import Award
from shared.bus.inbox import Inbox
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
    ],
)
def test_what_is_no_filter_of_a_list_is_refused(api: Api, path: str, bad: dict[str, Any]) -> None:
    assert api.get(path, 422, **bad)["code"] == "invalid_request"
