"""Partners and campaigns on real databases, with a ledger beside them."""

import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventsourcing.persistence import ProgrammingError

from services.ledger.domain.commands import Award, OpenAccount
from services.tasks.domain.signature import Signed, sign, signer
from shared.errors import RefusedError
from tests.support.tasks_world import DIDI, GIB, MIB, MakeWorld, World

KEYS = "/v1/partners/didi/apps/didi-app/keys"
AUGUST = "/v1/campaigns/didi-august"


def test_a_partner_buys_and_the_ledger_has_it(world: World) -> None:
    found = world.get("/v1/partners/didi").body
    assert found["bought_bytes"] == found["available_bytes"] == world.available("partner:didi")
    assert found["available_bytes"] == GIB
    assert (found["state"], found["alarm_percent"]) == ("active", None)
    assert world.get("/v1/partners").body["partners"][0]["partner"] == "didi"


def test_a_partner_that_has_bought_nothing_has_nothing(world: World) -> None:
    world.post("/v1/partners", {"partner": "rider", "sponsor_id": "RIDER01"})
    world.settle()
    found = world.get("/v1/partners/rider").body
    assert (found["available_bytes"], found["held_bytes"], found["alarm_percent"]) == (0, 0, None)


def test_a_partner_and_its_campaign_are_told_once_that_little_is_left(world: World) -> None:
    def told(account: str) -> list[str]:
        partition = world.ledger.ledger.partition_for(account)
        _, version = world.ledger.ledger.account(account)
        rows = world.ledger.rows(
            partition.number,
            "SELECT convert_from(state, 'UTF8')::json->>'value' FROM stored_events"
            " WHERE topic = 'bank.ledger.threshold_crossed.v1'"
            f" AND convert_from(state, 'UTF8')::json->>'account' = '{account}'"
            " ORDER BY notification_id",
        )
        assert version > len(rows)
        return [value for (value,) in rows]

    def alarm() -> tuple[int | None, int]:
        found = world.get("/v1/partners/didi").body
        return found["alarm_percent"], found["alarm_of_bytes"]

    world.draft(budget={})
    world.start(amount=GIB - GIB // 10)
    assert (told("partner:didi"), alarm()) == (["20"], (20, GIB))
    world.done(f"{AUGUST}/fundings", {"bytes": GIB // 10})
    world.settle()
    assert (told("partner:didi"), alarm()) == (["20", "5"], (5, GIB))
    world.done("/v1/partners/didi/purchases", {"bytes": GIB})
    world.settle()
    assert (told("partner:didi"), alarm()) == (["20", "5"], (None, GIB))
    award = Award(key="a", account="campaign:didi-august", subscriber="ann", bytes=GIB * 9 // 10)
    opened = OpenAccount(key="o", account="ann", plan="std-30mb")
    assert {each.status for each in world.ledger.do(opened, award)} == {"done"}
    assert told("campaign:didi-august") == ["20"]
    assert world.ledger.verified()["events"] > 0


def test_what_is_asked_twice_is_done_once(world: World) -> None:
    bought = {"bytes": GIB, "amount_fen": 100_00}
    first = world.post("/v1/partners/didi/purchases", bought, key="k")
    again = world.post("/v1/partners/didi/purchases", bought, key="k")
    other = world.post("/v1/partners/didi/purchases", bought | {"bytes": 1}, key="k")
    assert (first.status, again.status, other.status) == (201, 201, 409)
    assert again.headers["Idempotency-Hit"] == "true"
    world.settle()
    assert world.available("partner:didi") == 2 * GIB
    assert world.post("/v1/partners", {"partner": "didi", "sponsor_id": "X"}).code == (
        "partner_exists"
    )


def test_a_campaign_is_funded_started_paused_and_ended(world: World) -> None:
    world.draft()
    assert world.post(f"{AUGUST}/start", {}).code == "campaign_not_approved"
    world.start()
    found = world.campaign()
    assert (found["state"], found["funded_bytes"]) == ("running", 100 * MIB)
    assert found["offer"] == {"version": 2, "known_version": 2, "known": True}
    assert world.available("campaign:didi-august") == 100 * MIB
    assert world.available("partner:didi") == GIB - 100 * MIB
    offer = world.near.offers["didi-august"]
    assert (offer.campaign, offer.partner, offer.asp_id) == (
        "campaign:didi-august", "partner:didi", "didi-app",
    )  # fmt: skip
    assert offer.hosts == ["udache.com", "xiaojukeji.com"]
    assert (offer.state, offer.budget) == ("running", "escrow")
    for verb, state in (("pause", "paused"), ("start", "running"), ("end", "ended")):
        world.done(f"{AUGUST}/{verb}")
        assert world.near.offers["didi-august"].state == state
    assert world.post(f"{AUGUST}/start", {}).code == "campaign_ended"
    assert world.verify()["ok"] is True


def test_a_partner_that_cannot_pay_funds_nothing(world: World) -> None:
    world.draft(budget={"total_bytes": 3 * GIB})
    world.done(f"{AUGUST}/approve")
    world.done(f"{AUGUST}/fundings", {"bytes": 2 * GIB}, key="f")
    world.settle()
    assert world.post(f"{AUGUST}/fundings", {"bytes": 2 * GIB}, key="f").code == (
        "insufficient_data"
    )
    assert world.campaign()["fundings"][0]["state"] == "refused"
    assert world.campaign()["funded_bytes"] == 0
    assert world.post(f"{AUGUST}/start", {}).code == "campaign_not_funded"
    assert world.available("partner:didi") == GIB


def test_parallel_fundings_never_pass_the_budget(world: World) -> None:
    world.draft()
    world.done(f"{AUGUST}/approve")
    world.settle()

    def fund(_: int) -> int:
        return world.post(f"{AUGUST}/fundings", {"bytes": 10 * MIB}).status

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(fund, range(40)))
    world.settle()
    assert answers.count(202) == 10
    assert answers.count(422) == 30
    assert world.available("campaign:didi-august") == 100 * MIB


def test_an_offer_that_the_ledger_could_not_be_told_is_told_later(world: World) -> None:
    world.draft()
    world.done(f"{AUGUST}/approve")
    world.settle()
    world.done(f"{AUGUST}/fundings", {"bytes": MIB})
    world.settle()
    world.near.away = True
    answer = world.post(f"{AUGUST}/start", {})
    assert (answer.status, answer.body["state"]) == (202, "running")
    assert answer.body["offer"]["known"] is False
    world.near.away = False
    world.put_offers()
    assert world.campaign()["offer"]["known"] is True
    assert world.near.offers["didi-august"].state == "running"
    assert world.tasks.offers.due(10) == []


def test_new_terms_of_a_running_campaign_count_at_once(world: World) -> None:
    world.draft()
    world.start()
    changed = DIDI | {"offer": {"rating_group": "didi", "hosts": ["didialift.com"]}}
    answer = world.done(f"{AUGUST}/terms", changed)
    assert (answer["version"], answer["state"]) == (2, "running")
    assert answer["terms"]["offer"]["content"]["version"] == 2
    assert world.near.offers["didi-august"].hosts == ["didialift.com"]
    world.done(f"{AUGUST}/terms", DIDI | {"offer": None, "tasks": [
        {"kind": "sign_in", "name": "sign-in"}]})  # fmt: skip
    assert world.near.offers["didi-august"].state == "ended"


def test_no_host_and_no_secret_is_in_the_log(world: World) -> None:
    world.draft()
    world.start()
    key = world.done(KEYS)
    with world.tasks.store.connection() as conn:
        rows: list[Any] = conn.execute(
            "SELECT convert_from(state, 'UTF8') FROM stored_events"
        ).fetchall()
    told = str(rows)
    assert "didi-august" in told
    assert "xiaojukeji" not in told
    assert key["key_id"] in told
    assert key["secret"].removeprefix("whsec_") not in told


def call(secret: str, body: bytes = b"{}") -> Signed:
    at = int(time.time())
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    return Signed("r-1", str(at), sign(raw, "r-1", at, body), body)


def test_a_key_signs_and_a_rotated_one_ends(world: World) -> None:
    old = world.done(KEYS, key="k1")
    assert world.done(KEYS, key="k1") == old
    new = world.done(f"{KEYS}:rotate", {"overlap_hours": 1})
    now = time.time_ns() // 1_000_000

    def signs(secret: str, at: int) -> str:
        caller = world.tasks.keyring.partner("didi")
        assert caller is not None
        signed = call(secret)
        stamped = Signed(signed.request_id, str(at // 1000), "", signed.body)
        raw = base64.b64decode(secret.removeprefix("whsec_"))
        signature = sign(raw, "r-1", at // 1000, signed.body)
        return signer(
            Signed(stamped.request_id, stamped.timestamp, signature, stamped.body), caller.keys, at
        ).key_id

    assert signs(old["secret"], now) == old["key_id"]
    assert signs(new["secret"], now) == new["key_id"]
    later = now + 2 * 3_600_000
    assert signs(new["secret"], later) == new["key_id"]
    with pytest.raises(RefusedError, match="no valid key"):
        signs(old["secret"], later)
    assert world.tasks.keyring.partner("nobody") is None


def test_a_neutral_country_refuses_offers_by_content(make_world: MakeWorld) -> None:
    world = make_world(neutral=True)
    world.register(bought=0)
    wish: dict[str, Any] = {
        "campaign": "didi-august", "partner": "didi", "asp_id": "didi-app", "terms": DIDI,
    }  # fmt: skip
    assert world.post("/v1/campaigns", wish).code == "content_offers_forbidden"
    everything = DIDI | {"offer": {"rating_group": "any"}}
    world.done("/v1/campaigns", wish | {"terms": everything})
    assert world.post(f"{AUGUST}/terms", DIDI).code == "content_offers_forbidden"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"partner": "nobody"}, "partner_not_found"),
        ({"asp_id": "other"}, "app_not_found"),
        ({"campaign": "UPPER"}, "invalid_request"),
        ({"terms": DIDI | {"colour": "red"}}, "invalid_request"),
        ({"terms": DIDI | {"starts_at": "soon"}}, "invalid_request"),
    ],
)
def test_what_cannot_be_a_campaign_is_refused(world: World, change: Any, code: str) -> None:
    wish = {
        "campaign": "didi-august", "partner": "didi", "asp_id": "didi-app", "terms": DIDI, **change,
    }  # fmt: skip
    assert world.post("/v1/campaigns", wish).code == code
    assert world.get("/v1/campaigns").body["campaigns"] == []


def test_pages_go_on_where_the_one_before_ended(world: World) -> None:
    for number in range(5):
        world.draft(f"c-{number}")
    seen, after = [], None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        page = world.get("/v1/campaigns", partner="didi", state="drafted", **query).body
        seen += [each["campaign"] for each in page["campaigns"]]
        after = page["next_after"]
        if after is None:
            break
    assert sorted(seen) == [f"c-{number}" for number in range(5)]
    world.register("other", bought=0)
    assert world.get("/v1/campaigns", partner="other").body["campaigns"] == []


def test_verification_finds_a_row_that_says_something_else(world: World) -> None:
    world.draft()
    assert world.verify()["ok"] is True
    with world.tasks.store.connection() as conn:
        conn.execute("UPDATE campaigns SET state = 'running'")
    found = world.verify()
    assert found["ok"] is False
    assert found["first_difference"]["expected"] == "drafted"


def test_the_log_and_the_lists_of_hosts_are_only_ever_added_to(world: World) -> None:
    world.draft()
    for statement in ("DELETE FROM stored_events", "UPDATE content_lists SET hosts = '{}'"):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            world.tasks.store.connection() as conn,
        ):
            conn.execute(statement)


def test_the_digest_is_of_the_hosts_that_are_kept(world: World) -> None:
    world.draft()
    content = world.campaign()["terms"]["offer"]["content"]
    with world.tasks.store.connection() as conn:
        row: Any = conn.execute("SELECT hosts FROM content_lists").fetchone()
    hosts = row[0] if isinstance(row, tuple) else row["hosts"]
    made = hashlib.sha256("\n".join(sorted(hosts)).encode()).hexdigest()
    assert (content["hosts_digest"], content["count"]) == (made, 2)


def test_the_metrics_tell_of_campaigns_and_of_offers_that_the_ledger_lacks(world: World) -> None:
    world.draft()
    world.draft("didi-autumn", budget={"unlimited": True})
    world.done("/v1/campaigns/didi-autumn/approve")
    world.near.away = True
    assert world.post("/v1/campaigns/didi-autumn/start", {}).status == 202

    def told() -> str:
        return world.app.test_client().get("/metrics").text

    assert 'databank_tasks_campaigns{state="drafted"} 1.0' in told()
    assert 'databank_tasks_campaigns{state="running"} 1.0' in told()
    assert "databank_tasks_offers_unknown 1.0" in told()
    world.near.away = False
    world.put_offers()
    assert "databank_tasks_offers_unknown 0.0" in told()


def test_a_suspended_partner_gives_nothing_and_the_ledger_knows(world: World) -> None:
    world.draft("other", offer=DIDI["offer"] | {"rating_group": "other"})
    for name in ("didi-august", "other"):
        if name != "other":
            world.draft(name)
        world.start(name)
    world.draft("drafted")
    world.done(f"{AUGUST}/pause")
    world.done("/v1/partners/didi/suspend", {"reason": "unpaid"})
    assert world.campaign("other")["state"] == "paused"
    assert {name: offer.state for name, offer in world.near.offers.items()} == {
        "didi-august": "paused", "other": "paused",
    }  # fmt: skip
    assert world.campaign("drafted")["state"] == "drafted"
    answer = world.post("/v1/campaigns/other/start", {})
    assert (answer.status, answer.body["code"]) == (409, "partner_suspended")
    world.done("/v1/partners/didi/resume")
    # Nothing begins by itself: each is looked at.
    assert world.campaign("other")["state"] == "paused"
    world.done("/v1/campaigns/other/start")
    assert world.near.offers["other"].state == "running"
    assert world.verify()["ok"]


def test_where_the_ledger_is_away_a_suspension_is_told_later(world: World) -> None:
    world.draft()
    world.start()
    world.near.away = True
    world.done("/v1/partners/didi/suspend", {"reason": "unpaid"})
    world.near.away = False
    states = [world.near.offers["didi-august"].state]
    world.put_offers()
    states.append(world.near.offers["didi-august"].state)
    assert states == ["running", "paused"]


def test_a_campaign_starts_if_a_contract_is_in_force_when_it_begins(world: World) -> None:
    world.draft(starts_at="2016-06-30T00:00:00")
    world.draft("later", starts_at="2016-07-01T00:00:00")
    world.start()
    world.done("/v1/campaigns/later/approve")
    world.settle()
    world.done("/v1/campaigns/later/fundings", {"bytes": MIB})
    world.settle()
    answer = world.post("/v1/campaigns/later/start", {})
    assert (answer.status, answer.body["code"]) == (409, "contract_not_in_force")
    contract = {"starts_at": "2016-07-01", "ends_at": "2017-07-01", "terms_version": "t2"}
    world.done("/v1/partners/didi/contracts", contract)
    world.done("/v1/campaigns/later/start")
