"""Sponsored traffic on a real database: offers over HTTP, finite budgets over four partitions."""

from typing import Any

import pytest

from services.ledger.domain.commands import Buy, CloseMonth, Fund, OpenAccount, Usage
from services.ledger.domain.context import Meta
from services.ledger.offering import change_members, offers_of, put_offer
from services.ledger.rehearsal import rehearse
from shared.contracts.offers import Caps, Offer
from shared.errors import RefusedError
from tests.support.ledger import MIB, NOON, LedgerWeb, sandbox_clock
from tests.support.memory import CALENDAR, RULEBOOK

RIDES, PARTNER = "campaign:rides", "partner:didi"
BY_TASKS = Meta(actor="tasks", correlation_id="request")
PEOPLE = [f"p{n}" for n in range(12)]


def offer(**changes: Any) -> Offer:
    terms: dict[str, Any] = {
        "campaign": RIDES, "version": 1, "partner": PARTNER, "sponsor_id": "s", "asp_id": "a",
        "rating_group": "didi", "hosts": ["didi.com"], "budget": "escrow",
        "starts_at": CALENDAR.parse("2015-08-01T00:00:00"),
    }  # fmt: skip
    return Offer(**(terms | changes))


def use(name: str, account: str, amount: int, **more: Any) -> Usage:
    at = CALENDAR.parse("2015-08-10T11:00:00")
    return Usage(usage_id=name, account=account, bytes=amount, occurred_at=at,
                 **{"host": "api.didi.com", **more})  # fmt: skip


@pytest.fixture
def bank(make_ledger):
    """Twelve people over four partitions, and a campaign with 10 MiB."""
    ledger = make_ledger(partitions=4)
    ledger.do(
        *(OpenAccount(key="o", account=name, plan="std-30mb") for name in PEOPLE),
        OpenAccount(key="o", account=PARTNER),
        OpenAccount(key="o", account=RIDES, partner=PARTNER),
        Buy(key="b", account=PARTNER, bytes=100 * MIB),
        Fund(key="f", account=PARTNER, campaign=RIDES, bytes=10 * MIB),
    )
    ledger.settle()
    return ledger


def settled(bank: Any, records: list[Usage]) -> list[Any]:
    """Charge records as an importer does: what is put off is sent again."""
    done: dict[str, Any] = {}
    for _ in range(30):
        left = [one for one in records if one.usage_id not in done]
        if not left:
            return [done[one.usage_id] for one in records]
        outcomes = bank.do(*left)
        done |= {each.usage_id: each for each in outcomes if each.status != "retry"}
        bank.settle()
    raise AssertionError(f"put off for ever: {left}")


def test_an_offer_is_in_every_partition_once_and_no_host_is_in_any_log(bank):
    assert put_offer(bank.ledger, offer(), BY_TASKS) == 4
    assert put_offer(bank.ledger, offer(), BY_TASKS) == 0
    assert [each.hosts for each in offers_of(bank.ledger)] == [["didi.com"]]
    bank.do(use("u", "p1", MIB))

    for number in range(4):
        rows = bank.rows(number, "SELECT convert_from(state, 'UTF8') FROM stored_events")
        assert sum("hosts_digest" in text for (text,) in rows) == 1
        assert not any("didi.com" in text for (text,) in rows)
    bank.verified()


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (offer(hosts=["other.com"]), "offer_conflict"),
        (offer(version=0), "offer_outdated"),
        (offer(version=2, ends_at=CALENDAR.parse("2015-07-01T00:00:00")), "offer_invalid"),
        (offer(version=2, budget="unlimited", caps=Caps(per_day_bytes=1)), "offer_invalid"),
    ],
)
def test_what_is_no_next_version_is_refused(bank, other, code):
    put_offer(bank.ledger, offer(), BY_TASKS)
    with pytest.raises(RefusedError) as refused:
        put_offer(bank.ledger, other, BY_TASKS)

    assert refused.value.code == code
    assert offers_of(bank.ledger) == [offer()]


def test_four_partitions_pay_a_budget_to_the_byte_and_the_rest_falls_to_the_users(bank):
    put_offer(bank.ledger, offer(), BY_TASKS)
    records = [use(f"u{n}", PEOPLE[n % 12], MIB // 3 + n) for n in range(60)]
    outcomes = settled(bank, records)

    assert sum(each.sponsored_bytes for each in outcomes) == 10 * MIB
    for one, outcome in zip(records, outcomes, strict=True):
        paid = outcome.sponsored_bytes + outcome.spent_bytes + outcome.unfunded_bytes
        assert paid == one.bytes
    bank.verified()


def test_records_sent_again_after_a_lost_answer_are_charged_once(bank):
    put_offer(bank.ledger, offer(), BY_TASKS)
    records = [use(f"u{n}", PEOPLE[n % 12], MIB // 2) for n in range(24)]
    first = settled(bank, records)
    again = bank.do(*records)

    assert [each.sponsored_bytes for each in again] == [each.sponsored_bytes for each in first]
    assert all(each.repeated for each in again)
    bank.verified()


def test_only_who_is_listed_is_sponsored_until_it_is_taken_off(bank):
    put_offer(bank.ledger, offer(listed=True, budget="unlimited"), BY_TASKS)
    change_members(bank.ledger, RIDES, PEOPLE[:6], [])
    change_members(bank.ledger, RIDES, PEOPLE[:6], [PEOPLE[0]])
    outcomes = bank.do(*(use("u", name, MIB) for name in PEOPLE))

    assert [each.sponsored_bytes for each in outcomes] == [0, *[MIB] * 5, *[0] * 6]
    bank.verified()


def test_offers_and_sponsored_usage_over_http(server, tmp_path):
    web = LedgerWeb(server.new_ledger(), tmp_path, **sandbox_clock(tmp_path, NOON))
    try:
        web.do({"type": "open_account", "key": "o", "account": "ann", "plan": "std-30mb"})
        body = {
            "campaign": RIDES, "version": 1, "partner": PARTNER, "sponsor_id": "s", "asp_id": "a",
            "rating_group": "didi", "hosts": ["didi.com"], "budget": "unlimited", "starts_at": 0,
        }  # fmt: skip
        put = web.client.put("/v1/offers/rides", json=body)
        assert (put.status_code, put.json()["version"]) == (200, 1)
        assert web.client.put("/v1/offers/other", json=body).status_code == 422
        listed = web.client.put("/v1/offers/rides/members", json={"add": ["ann"]})
        assert listed.json() == {"added": 1, "removed": 0}
        assert [each["campaign"] for each in web.client.get("/v1/offers").json()["offers"]] == [
            RIDES
        ]
        second = body | {"campaign": "campaign:Xrides", "rating_group": "x", "hosts": []}
        assert web.client.put("/v1/offers/Xrides", json=second).status_code == 200
        first = web.client.get("/v1/offers", params={"limit": 1}).json()
        rest = web.client.get("/v1/offers", params={"after": first["next_after"]}).json()
        names = [each["campaign"] for each in (*first["offers"], *rest["offers"])]
        assert (names, rest["next_after"]) == (["campaign:Xrides", RIDES], None)
        for wrong in ({"after": "zzz"}, {"limit": 0}, {"partner": "didi"}):
            assert web.client.get("/v1/offers", params=wrong).status_code == 422
        line = {"usage_id": "u", "account": "ann", "bytes": 9, "host": "x.didi.com",
                "occurred_at": "2015-08-10T11:00:00"}  # fmt: skip
        (outcome,) = web.client.post("/v1/usage", json={"lines": [line]}).json()["outcomes"]
        assert (outcome["sponsored_bytes"], outcome["spent_bytes"]) == (9, 0)
        why = web.client.get("/v1/usage/u?account=ann").json()
        assert why["sponsored_bytes"] == 9
        assert why["sponsored"]["campaign"] == RIDES
    finally:
        web.close()


def test_the_dry_run_of_rules_knows_what_an_offer_blocked(bank):
    capped = Caps(per_subscriber_bytes=3 * MIB)
    put_offer(bank.ledger, offer(budget="unlimited", caps=capped, at_cap="block"), BY_TASKS)
    (outcome,) = bank.do(use("u1", PEOPLE[0], 5 * MIB))
    assert (outcome.sponsored_bytes, outcome.unfunded_bytes) == (3 * MIB, 2 * MIB)
    # A later version blocks nothing; what the first has blocked was nobody's all the same.
    put_offer(bank.ledger, offer(budget="unlimited", caps=capped, version=2), BY_TASKS)
    bank.at("2015-09-01T06:00:00")
    bank.do(CloseMonth(key="c", account=PEOPLE[0], month="2015-08"))

    *_, end = rehearse(bank.ledger, RULEBOOK.latest())

    assert (end["result"]["accounts"], end["result"]["changed_accounts"]) == (1, 0)
