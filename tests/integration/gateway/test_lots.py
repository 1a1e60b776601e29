"""Lots page by page, and those that a filter leaves."""

from threading import Event
from typing import Any

import pytest

from services.gateway.bootstrap import make_app
from services.ledger.domain.commands import Buy
from shared.bus.inbox import Inbox
from tests.integration.gateway.test_http import TOKENS, Api
from tests.support.gateway import MIB, BankReader, opened_bank

PATH = "/v1/accounts/ann/lots"


@pytest.fixture
def api(gateway_of) -> Api:
    """On 2015-08-14: a pack that has lapsed, one with three days left, one to October, the plan."""
    bank = opened_bank(1)
    ends = ("2015-08-12", "2015-08-17", "2015-10-01")
    bank.do(*(Buy(key=end, account="ann", bytes=MIB, expires_at=end) for end in ends))
    bank.at("2015-08-14T00:00:00")
    reader = BankReader(bank)
    gateway = gateway_of(reader)
    Inbox(gateway.consumers, reader, stop=Event()).level()
    return Api(make_app(gateway, TOKENS))


def ends(answer: dict[str, Any]) -> list[str]:
    return [lot["expires_at"][:10] for lot in answer["lots"]]


def test_lots_are_listed_page_by_page_the_soonest_end_first(api: Api) -> None:
    everything = ["2015-08-12", "2015-08-17", "2015-09-01", "2015-10-01"]
    whole = api.get(PATH)
    assert (ends(whole), whole["lots_total"], whole["next_after"]) == (everything, 4, None)
    assert (whole["status"], whole["plan"], whole["next_plan"]) == ("active", "std-30mb", None)
    found: list[str] = []
    page = api.get(PATH, limit=1)
    while page["next_after"]:
        found += ends(page)
        page = api.get(PATH, limit=1, after=page["next_after"])
    assert found + ends(page) == everything


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"expiring": "7d"}, ["2015-08-17"]),
        ({"expiring": "71h"}, []),
        ({"expiring": "30d"}, ["2015-08-17", "2015-09-01"]),
        ({"state": "lapsed"}, ["2015-08-12"]),
        ({"state": "available"}, ["2015-08-17", "2015-09-01", "2015-10-01"]),
        ({"state": "upcoming"}, []),
        ({"kind": "plan"}, ["2015-09-01"]),
        ({"kind": "pack", "expiring": "90d"}, ["2015-08-17", "2015-10-01"]),
    ],
)
def test_filters_leave_what_fits(api: Api, asked: dict[str, Any], wanted: list[str]) -> None:
    assert ends(api.get(PATH, **asked)) == wanted


@pytest.mark.parametrize(
    "bad",
    [
        {"expires": "7d"}, {"expiring": "soon"}, {"expiring": "-1d"}, {"kind": "stolen"},
        {"state": "gone"}, {"after": "x"}, {"limit": 0}, {"limit": 1001},
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused(api: Api, bad: dict[str, Any]) -> None:
    assert api.get(PATH, 422, **bad)["code"] == "invalid_request"
