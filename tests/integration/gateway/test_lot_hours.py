"""Lots with hours: shown with them, and by the bank's clock outside them or not."""

from threading import Event
from typing import Any

import psycopg
import pytest

from services.gateway.bootstrap import make_app
from services.ledger.domain.commands import AwardOnTerms, Buy, OpenAccount
from shared.bus.inbox import Inbox
from shared.contracts.offers import Hours, RewardTerms
from tests.integration.gateway.test_http import TOKENS, Api
from tests.support.gateway import MIB, BankReader, last, opened_bank
from tests.support.memory import CALENDAR

NIGHT, NOONS = (
    Hours(begins=1380, ends=420), Hours(begins=720, ends=840),
)  # fmt: skip
AVAILABLE, OUTSIDE, UPCOMING, LAPSED = "available", "outside_hours", "upcoming", "lapsed"


class Night:
    """Ann, who has a plan and packs of the night, of noon and of the night from September on."""

    def __init__(self, gateway_of: Any) -> None:
        self.bank = opened_bank()
        self.bank.do(
            OpenAccount(key="o", account="partner:shop"),
            Buy(key="b", account="partner:shop", bytes=100 * MIB),
        )
        for number, (hours, first) in enumerate(
            ((NIGHT, "2015-08"), (NOONS, "2015-08"), (NIGHT, "2015-09")), start=1
        ):
            terms = RewardTerms(
                kind="pack", valid_from=CALENDAR.month_start(first), hours=hours,
                expires_at=CALENDAR.month_end(first), scope=["video"] if hours == NOONS else "any",
            )  # fmt: skip
            self.bank.do(
                AwardOnTerms(
                    key=f"p{number}", account="partner:shop", subscriber="ann",
                    bytes=number * MIB, terms=terms,
                )
            )  # fmt: skip
        self.bank.settle()
        self.reader = BankReader(self.bank)
        self.gateway = gateway_of(self.reader)
        self.follow()
        self.api = Api(make_app(self.gateway, TOKENS))

    def follow(self) -> None:
        Inbox(self.gateway.consumers, self.reader, stop=Event()).level()

    def states(self, **asked: Any) -> dict[int, str]:
        """Return the states of ann's lots by their size in MiB."""
        lots = self.api.get("/v1/accounts/ann/lots", **asked)["lots"]
        return {lot["remaining_bytes"] // MIB: lot["state"] for lot in lots}


@pytest.fixture
def night(gateway_of) -> Night:
    return Night(gateway_of)


@pytest.mark.parametrize(
    ("at", "nightly", "noonly"),
    [
        ("2015-08-14T22:59:59.999", OUTSIDE, OUTSIDE),
        ("2015-08-14T23:00:00", AVAILABLE, OUTSIDE),
        ("2015-08-15T06:59:59.999", AVAILABLE, OUTSIDE),
        ("2015-08-15T07:00:00", OUTSIDE, OUTSIDE),
        ("2015-08-15T12:00:00", OUTSIDE, AVAILABLE),
        ("2015-08-15T14:00:00", OUTSIDE, OUTSIDE),
    ],
)
def test_a_lot_is_available_in_its_hours_only(
    night: Night, at: str, nightly: str, noonly: str
) -> None:
    night.bank.at(at)
    assert night.states() == {1: nightly, 2: noonly, 3: UPCOMING, 30: AVAILABLE}
    balance = night.api.get("/v1/accounts/ann/balance")
    shown = {lot["remaining_bytes"] // MIB: lot["state"] for lot in balance["lots"]}
    assert shown == night.states()
    outside = sum(size for size, state in shown.items() if state == OUTSIDE)
    assert balance["outside_hours_bytes"] == outside * MIB
    assert balance["upcoming_bytes"] == 3 * MIB
    then = night.api.get("/v1/accounts/ann/balance", at=at)
    for term in ("available_bytes", "outside_hours_bytes", "upcoming_bytes", "lots"):
        assert then[term] == balance[term], term


def test_what_is_available_means_the_same_to_ledger_and_gateway(night: Night) -> None:
    for at in ("2015-08-14T12:30:00", "2015-08-14T23:30:00", "2015-08-31T23:59:00"):
        night.bank.at(at)
        now = night.bank.clock.now()
        balance = night.api.get("/v1/accounts/ann/balance")
        own = night.bank.account("ann").available(now)
        assert balance["available_bytes"] - balance["upcoming_bytes"] == own == 33 * MIB


def test_a_lot_that_is_over_is_lapsed_whatever_its_hours(night: Night) -> None:
    night.bank.at("2015-09-01T12:00:00")
    assert night.states() == {1: LAPSED, 2: LAPSED, 3: OUTSIDE, 30: LAPSED}
    assert night.api.get("/v1/accounts/ann/balance")["outside_hours_bytes"] == 3 * MIB


def test_hours_and_scope_are_shown_with_each_lot(night: Night) -> None:
    for path in ("/v1/accounts/ann/lots", "/v1/accounts/ann/balance"):
        lots = {lot["remaining_bytes"] // MIB: lot for lot in night.api.get(path)["lots"]}
        assert [lots[size]["hours"] for size in (1, 2, 3, 30)] == [
            {"begins": 1380, "ends": 420}, {"begins": 720, "ends": 840},
            {"begins": 1380, "ends": 420}, None,
        ]  # fmt: skip
        assert [lots[size]["scope"] for size in (1, 2, 30)] == ["any", ["video"], "any"]


def test_lots_are_found_by_whether_it_is_their_hour(night: Night) -> None:
    night.bank.at("2015-08-14T12:30:00")
    for state, sizes in ((AVAILABLE, {2, 30}), (OUTSIDE, {1}), (UPCOMING, {3}), (LAPSED, set())):
        assert set(night.states(state=state)) == sizes
    night.bank.at("2015-08-14T23:30:00")
    assert set(night.states(state=OUTSIDE)) == {2}


def test_a_rebuild_gives_the_same_rows_and_a_changed_band_is_found(night: Night, databases) -> None:
    options = "-c search_path=gateway"
    rows = "SELECT * FROM lots ORDER BY account, lot_id"
    with psycopg.connect(databases.gateway_url, autocommit=True, options=options) as conn:
        before = conn.execute(rows).fetchall()
        assert last(night.gateway.verify())["ok"] is True
        list(night.gateway.rebuild("balances"))
        assert conn.execute(rows).fetchall() == before
        assert last(night.gateway.verify())["ok"] is True
        conn.execute("UPDATE lots SET hours = NULL WHERE hours IS NOT NULL")
        difference = last(night.gateway.verify())["first_difference"]
        assert (difference["view"], difference["field"]) == ("balances", "hours")
