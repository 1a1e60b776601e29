"""The gateway's HTTP face over a real database."""

import threading
import time
from threading import Event
from typing import Any

import orjson
import pytest

from services.gateway.bootstrap import make_app
from services.gateway.catalogue import VIEWS
from services.ledger.domain.commands import Award, Buy, EndCampaign, Transfer, Usage
from shared.auth import Tokens
from shared.bus.inbox import Inbox
from tests.support.gateway import MIB, BankReader, funded_bank, lived_bank, make_gateway
from tests.support.memory import CALENDAR

TOKENS = Tokens({"operator": "op-token", "gateway": "gw-token"})


class Api:
    """A client of the app with the operator's token."""

    def __init__(self, app: Any) -> None:
        self.client = app.test_client()
        self.headers = {"Authorization": "Bearer op-token"}

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = self.client.get(path, query_string=query, headers=self.headers)
        assert answer.status_code == status, answer.text
        body = answer.get_json()
        if status >= 400:
            assert answer.content_type == "application/problem+json"
            assert {"type", "title", "status", "code", "detail"} <= set(body)
        return body

    def stream(self, path: str) -> list[dict[str, Any]]:
        answer = self.client.post(path, headers=self.headers)
        assert answer.status_code == 200, answer.text
        assert answer.content_type == "application/x-ndjson"
        return [orjson.loads(line) for line in answer.data.splitlines()]


@pytest.fixture
def bank():
    return funded_bank()


@pytest.fixture
def reader(bank) -> BankReader:
    return BankReader(bank)


@pytest.fixture
def gateway(gateway_of, reader):
    return gateway_of(reader)


@pytest.fixture
def api(gateway) -> Api:
    return Api(make_app(gateway, TOKENS))


def follow(gateway: Any, reader: BankReader) -> None:
    Inbox(gateway.consumers, reader, stop=Event()).level()


def test_a_balance_says_what_is_available_upcoming_and_lapsed_by_the_banks_clock(
    api, gateway, reader, bank
) -> None:
    bank.do(Usage(usage_id="u", account="ann", bytes=MIB, occurred_at=bank.clock.at))
    bank.do(Buy(key="p", account="ann", bytes=5 * MIB, expires_at="2015-08-20T00:00:00+08:00"))
    follow(gateway, reader)
    before = api.get("/v1/accounts/ann/balance")
    assert before["subscriber"] == "ann"
    assert before["as_of"] == CALENDAR.text(bank.clock.at)
    assert before["available_bytes"] == 34 * MIB
    assert (before["held_bytes"], before["lapsed_bytes"], before["upcoming_bytes"]) == (0, 0, 0)
    assert [lot["kind"] for lot in before["lots"]] == ["pack", "plan"]
    assert before["lots"][0]["expires_at"] == "2015-08-20T00:00:00+08:00"
    assert before["lots"][1]["remaining_bytes"] == 29 * MIB

    bank.at("2015-08-20T00:00:00+08:00")
    after = api.get("/v1/accounts/ann/balance")
    assert after["available_bytes"] == 29 * MIB
    assert after["lapsed_bytes"] == 5 * MIB
    assert [lot["state"] for lot in after["lots"]] == ["lapsed", "available"]
    totals = api.get("/v1/trial-balance")
    assert totals["lapsed"] == 5 * MIB
    assert totals["balanced"] is True


def test_lots_come_with_all_their_terms(api, gateway, reader, bank) -> None:
    bank.do(Award(key="a", account="campaign:ride", subscriber="bob", bytes=MIB))
    bank.settle()
    follow(gateway, reader)
    answer = api.get("/v1/accounts/bob/lots")
    award = next(lot for lot in answer["lots"] if lot["kind"] == "award")
    assert answer["plan"] == "std-30mb"
    assert award["source"]["campaign"] == "campaign:ride"
    assert award["granted_bytes"] == MIB
    assert (award["scope"], award["giftable"], award["carries"]) == ("any", False, False)
    assert award["parent_lot"]
    escrow = api.get("/v1/accounts/campaign:ride/balance")
    assert escrow["available_bytes"] == 99 * MIB


def test_who_has_little_left_is_listed_until_there_is_more(api, gateway, reader, bank) -> None:
    def alarms(**asked: Any) -> list[tuple[str, int, int]]:
        bank.settle()
        follow(gateway, reader)
        found = api.get("/v1/partners/alarms", **asked)["alarms"]
        return [(each["account"], each["percent"], each["available_bytes"]) for each in found]

    assert alarms() == [("partner:didi", 5, 0)]
    bank.do(Award(key="1", account="campaign:ride", subscriber="ann", bytes=90 * MIB))
    escrow = ("campaign:ride", 20, 10 * MIB)
    assert alarms() == [escrow, ("partner:didi", 5, 0)]
    assert alarms(partner="didi") == alarms()
    assert alarms(limit=1) == [escrow]
    gauge = 'databank_fund_alarms{kind="%s",percent="%s"} %s'
    told = api.client.get("/metrics").text
    assert gauge % ("campaign", 20, "1.0") in told
    assert gauge % ("partner", 5, "1.0") in told
    assert gauge % ("partner", 20, "0.0") in told
    bank.do(Buy(key="b2", account="partner:didi", bytes=MIB))
    assert alarms() == [escrow]
    bank.do(EndCampaign(key="e", account="campaign:ride"))
    assert alarms() == []


def test_what_came_back_to_a_partner_ends_its_alarm(api, gateway, reader, bank) -> None:
    bank.do(EndCampaign(key="e", account="campaign:ride"))
    bank.settle()
    follow(gateway, reader)
    assert bank.account("partner:didi").available(bank.clock.now()) == 100 * MIB
    assert api.get("/v1/partners/alarms")["alarms"] == []


def test_partner_spend_can_be_narrowed(api, gateway, reader, bank) -> None:
    bank.do(
        Award(key="1", account="campaign:ride", subscriber="ann", bytes=MIB),
        Award(key="2", account="campaign:ride", subscriber="bob", bytes=MIB),
    )
    bank.settle()
    bank.at("2015-08-11T09:00:00+08:00")
    bank.do(Award(key="3", account="campaign:ride", subscriber="bob", bytes=MIB))
    bank.settle()
    follow(gateway, reader)
    day = {
        "partner": "partner:didi", "campaign": "campaign:ride", "kind": "award",
        "rating_group": "", "price_version": 0, "amount_fen": 0,
    }  # fmt: skip
    first = day | {"day": "2015-08-10", "bytes": 2 * MIB, "count": 2, "subscribers": 2}
    second = day | {"day": "2015-08-11", "bytes": MIB, "count": 1, "subscribers": 1}
    everything = api.get("/v1/partners/spend")
    assert everything["rows"] == [first, second]
    assert everything["total_bytes"] == 3 * MIB
    for name in ("didi", "partner:didi"):
        assert api.get(f"/v1/partners/{name}/spend")["rows"] == [first, second]
    path = "/v1/partners/didi/spend"
    assert api.get(path, day_from="2015-08-11")["rows"] == [second]
    assert api.get(path, day_to="2015-08-10", kind="award")["rows"] == [first]
    assert api.get(path, kind="sponsored")["total_bytes"] == 0
    assert api.get(path, campaign="campaign:ride", kind="pack")["rows"] == []


@pytest.mark.parametrize(
    ("path", "query", "problem"),
    [
        ("/v1/accounts/zoe/balance", {}, (404, "account_not_found")),
        ("/v1/accounts/zoe/lots", {}, (404, "account_not_found")),
        ("/v1/accounts/bad%20id/balance", {}, (422, "invalid_request")),
        ("/v1/accounts/ann/balance", {"at_last": "1/"}, (422, "invalid_request")),
        ("/v1/accounts/ann/balance", {"at_least": "soon"}, (422, "invalid_request")),
        ("/v1/partners/nobody/spend", {}, (404, "account_not_found")),
        ("/v1/partners/didi/spend", {"city": "x"}, (422, "invalid_request")),
        ("/v1/partners/didi/spend", {"kind": "gift"}, (422, "invalid_request")),
        ("/v1/partners/didi/spend", {"day_from": "yesterday"}, (422, "invalid_request")),
        ("/v1/trial-balance", {"month": "2015-08"}, (422, "invalid_request")),
        ("/v1/nothing", {}, (404, "not_found")),
        ("/v1/partners/di%00di/spend", {}, (422, "invalid_request")),
        ("/v1/partners/di%20di/spend", {}, (422, "invalid_request")),
        ("/v1/partners/di%00di/settlements/2015-08-10", {}, (422, "invalid_request")),
        ("/v1/campaigns/ri%00de", {}, (422, "invalid_request")),
        ("/v1/parked", {"account": "a\0b"}, (422, "invalid_request")),
    ],
)
def test_bad_questions_get_one_clear_problem(
    api, gateway, reader, path: str, query: dict[str, str], problem: tuple[int, str]
) -> None:
    follow(gateway, reader)
    status, code = problem
    assert api.get(path, status, **query)["code"] == code


def test_only_an_operator_may_ask(api) -> None:
    for headers, status in [({}, 401), ({"Authorization": "Bearer gw-token"}, 403)]:
        for path in ("/v1/accounts/ann/balance", "/v1/trial-balance", "/v1/partners/spend"):
            assert api.client.get(path, headers=headers).status_code == status
        for path in ("/v1/verify", "/v1/views/all:rebuild", "/v1/parked:retry"):
            assert api.client.post(path, headers=headers).status_code == status
    assert api.client.get("/health").status_code == 200
    assert api.client.get("/ready").get_json()["parts"] == {"database": "ok"}


def test_at_least_waits_for_its_view(api, gateway, reader, bank) -> None:
    follow(gateway, reader)
    bank.do(Transfer(key="t", account="ann", to="bob", bytes=MIB))
    bank.settle()
    token = reader.token()
    soon = threading.Timer(0.5, follow, [gateway, reader])
    soon.start()
    answer = api.get("/v1/accounts/ann/balance", at_least=token)
    soon.join()
    assert answer["stale"] is False
    assert answer["available_bytes"] == 29 * MIB
    assert answer["position"] == token
    assert api.get("/v1/positions")["positions"]["balances"] == token


def test_what_does_not_come_within_two_seconds_is_answered_as_stale(
    api, gateway, reader, bank
) -> None:
    follow(gateway, reader)
    bank.do(Transfer(key="t", account="ann", to="bob", bytes=MIB))
    began = time.monotonic()
    answer = api.get("/v1/accounts/ann/balance", at_least=reader.token())
    assert 1.9 < time.monotonic() - began < 4.0
    assert answer["stale"] is True
    assert answer["available_bytes"] == 30 * MIB
    assert api.get("/v1/trial-balance", at_least="0/ledger_00:999999")["stale"] is False
    assert api.get("/v1/trial-balance", 422, at_least="7/ledger_00:999999")["at_least"]


def test_rebuild_and_verify_answer_line_by_line(api, gateway, reader) -> None:
    *progress, end = api.stream("/v1/views/all:rebuild")
    assert all(line["done"] <= line["of"] for line in progress)
    assert set(end["result"]) == set(VIEWS)
    end = api.stream("/v1/verify")[-1]["result"]
    assert (end["ok"], end["accounts"], end["in_transit"]) == (True, 6, 0)
    assert end["events"] == len(reader.all_events())
    answer = api.client.post("/v1/views/sums:rebuild", headers=api.headers)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    with gateway.store.maintenance("balances"):
        answer = api.client.post("/v1/views/all:rebuild", headers=api.headers)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "busy")
    reader.away = True
    assert api.stream("/v1/verify")[-1]["problem"]["code"] == "unavailable"


def test_without_its_database_every_read_says_unavailable(reader) -> None:
    gateway = make_gateway("host=127.0.0.1 port=1 dbname=none connect_timeout=1", reader)
    api = Api(make_app(gateway, TOKENS))
    assert api.get("/v1/trial-balance", 503)["code"] == "unavailable"
    assert api.client.get("/health").status_code == 200
    gateway.store.close()


def test_the_clock_is_told(api, bank) -> None:
    assert api.get("/v1/clock")["now"] == CALENDAR.text(bank.clock.at)


def test_the_trial_balance_of_a_lived_bank_adds_up_for_each_kind(gateway_of) -> None:
    reader = BankReader(lived_bank(11, steps=40))
    gateway = gateway_of(reader)
    follow(gateway, reader)
    totals = Api(make_app(gateway, TOKENS)).get("/v1/trial-balance")
    assert totals["balanced"]
    assert totals["in_transit"] == reader.bank.in_transit()
    for term in ("earned", "spent", "available", "lapsed", "expired", "accounts"):
        assert totals[term] == sum(kind[term] for kind in totals["kinds"].values())
