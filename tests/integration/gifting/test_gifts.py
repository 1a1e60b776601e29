"""A gift arrives, or its sender has it back; both sides see how far it is and why."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from services.gifting.domain.rules import BUILT_IN, Fee, Gifts
from shared.contracts.gifting import FeePayer
from tests.support.gifting_world import MIB, World

DAYS_LATER = "2015-08-13T12:00:01+08:00"


@pytest.fixture
def waiting(world: World) -> str:
    """A gift of ann's that is held until bob accepts it."""
    asked = world.give("ann", "bob", waits=True)
    world.settle()
    assert world.gift(asked.body["gift_id"])["state"] == "held"
    return str(asked.body["gift_id"])


def steps(world: World, gift_id: str) -> list[str]:
    return [step["step"] for step in world.gift(gift_id)["steps"]]


def by(account: str) -> dict[str, str]:
    return {"account": account}


def test_a_gift_by_rule_arrives_without_anybody_doing_more(world: World) -> None:
    asked = world.give("ann", "bob")
    assert (asked.status, asked.body["state"]) == (202, "offered")
    had = world.available("ann")

    world.settle()

    gift = world.gift(asked.body["gift_id"])
    assert gift["state"] == "completed"
    assert steps(world, gift["gift_id"]) == [
        "gift_requested", "gift_offered", "gift_sent", "gift_completed",
    ]  # fmt: skip
    assert sum(lot["bytes"] for lot in gift["lots"]) == 10 * MIB
    assert world.available("ann") == had - 10 * MIB
    assert asked.headers["Location"].endswith(f"/v1/gifts/{gift['gift_id']}")


def test_a_gift_that_waits_is_held_until_its_receiver_accepts(world: World, waiting: str) -> None:
    assert world.held("ann") == 10 * MIB
    had = world.available("bob")

    accepted = world.post(f"/v1/gifts/{waiting}/accept", by("bob"))
    assert (accepted.status, accepted.body["state"]) == (202, "accepted")
    world.settle()

    assert world.gift(waiting)["state"] == "completed"
    assert world.available("bob") == had + 10 * MIB
    assert world.held("ann") == 0


@pytest.mark.parametrize(
    ("verb", "who", "became"), [("decline", "bob", "declined"), ("cancel", "ann", "cancelled")]
)
def test_a_declined_or_cancelled_gift_is_the_senders_again(
    world: World, waiting: str, verb: str, who: str, became: str
) -> None:
    had = world.available("ann")

    answer = world.post(f"/v1/gifts/{waiting}/{verb}", by(who))
    assert answer.status == 202
    world.settle()

    gift = world.gift(waiting)
    assert (gift["state"], gift["code"]) == ("returned", became)
    assert (world.held("ann"), world.available("ann")) == (0, had)


def test_a_gift_that_nobody_accepts_comes_back_at_its_deadline(world: World, waiting: str) -> None:
    world.ledger.at(DAYS_LATER)
    late = world.post(f"/v1/gifts/{waiting}/accept", by("bob"))
    assert (late.status, late.code) == (409, "gift_timed_out")

    world.look_at_due()
    world.settle()

    gift = world.gift(waiting)
    assert (gift["state"], gift["code"]) == ("returned", "timed_out")
    assert world.held("ann") == 0


def test_only_the_parties_know_of_a_gift_and_each_does_only_its_own(
    world: World, waiting: str
) -> None:
    world.open("eve")
    assert world.get(f"/v1/gifts/{waiting}", account="eve").code == "gift_not_found"
    assert world.get(f"/v1/gifts/{'0' * 32}", account="eve").code == "gift_not_found"
    assert world.post(f"/v1/gifts/{waiting}/accept", by("eve")).code == "gift_not_found"
    assert world.post(f"/v1/gifts/{'0' * 32}/accept", by("eve")).code == "gift_not_found"
    assert world.get(f"/v1/gifts/{waiting}", account="bob").status == 200
    assert world.post(f"/v1/gifts/{waiting}/accept", by("ann")).code == "not_the_receiver"
    assert world.post(f"/v1/gifts/{waiting}/cancel", by("bob")).code == "not_the_sender"


def test_the_gateway_reads_on_somebodys_behalf_and_others_not_at_all(
    world: World, waiting: str
) -> None:
    assert world.get(f"/v1/gifts/{waiting}", caller="gateway").code == "invalid_request"
    assert world.get("/v1/gifts", caller="gateway").code == "invalid_request"
    assert world.get(f"/v1/gifts/{waiting}", caller="gateway", account="ann").status == 200
    assert world.get(f"/v1/gifts/{waiting}", caller="ledger").code == "forbidden"
    assert world.give("ann", "bob", caller="ledger").code == "forbidden"


def test_a_key_takes_effect_once_and_only_for_the_same_terms(world: World) -> None:
    first = world.give("ann", "bob", key="once")
    again = world.give("ann", "bob", key="once")
    other = world.give("ann", "bob", 11 * MIB, key="once")

    assert again.body["gift_id"] == first.body["gift_id"]
    assert again.headers["Idempotency-Hit"] == "true"
    assert (other.status, other.code) == (409, "conflict")
    assert len(world.get("/v1/gifts").body["gifts"]) == 1
    world.settle()
    assert world.give("ann", "bob", key="once").status == 201


def test_a_refused_request_leaves_its_key_free(world: World) -> None:
    assert world.give("ann", "bob", 1 << 40, key="k").code == "amount_too_large"
    assert world.give("ann", "bob", key="k").status == 202


def test_a_write_without_a_key_is_refused(world: World) -> None:
    answer = world.app.test_client().post(
        "/v1/gifts", json={"sender": "ann", "receiver": "bob", "bytes": 10 * MIB},
        headers={"Authorization": "Bearer operator-token"},
    )  # fmt: skip
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.get_json(force=True)["detail"]


def test_a_sender_confirms_a_new_receiver_with_a_second_factor(world: World) -> None:
    answer = world.give("ann", "bob", confirmed=False)
    assert (answer.status, answer.code) == (403, "step_up_required")
    assert answer.body["reasons"] == ["new_receiver"]
    assert world.get("/v1/gifts").body["gifts"] == []

    gift_id = world.give("ann", "bob").body["gift_id"]
    asked = world.gift(gift_id)["steps"][0]
    assert (asked["step"], asked["confirmed_for"]) == ("gift_requested", ["new_receiver"])
    assert asked["rule_version"] == BUILT_IN.version


def test_what_cannot_arrive_comes_back_with_the_ledgers_reason(world: World) -> None:
    asked = world.give("ann", "bob", waits=True)
    world.settle()
    world.ledger.do(world.command("close_account", "bob"))
    gift_id = asked.body["gift_id"]
    had = world.available("ann")

    world.post(f"/v1/gifts/{gift_id}/accept", by("bob"))
    world.settle()

    gift = world.gift(gift_id)
    assert (gift["state"], gift["code"]) == ("returned", "account_closed")
    assert world.available("ann") == had
    repeated = world.give("ann", "bob", key=None)
    assert repeated.code == "receiver_closed"


def test_a_gift_asked_for_while_the_ledger_is_away_goes_on_when_it_is_back(world: World) -> None:
    world.near.away = True
    asked = world.give("ann", "bob")
    # What was asked for at one instant goes on in no order.
    world.clock.at += 1
    too_much = world.give("ann", "bob", 1 << 29)
    assert (asked.status, asked.body["state"]) == (202, "requested")
    world.go_on()
    assert world.gift(asked.body["gift_id"])["state"] == "requested"

    world.near.away = False
    world.go_on()
    world.settle()

    assert world.gift(asked.body["gift_id"])["state"] == "completed"
    refused = world.gift(too_much.body["gift_id"])
    assert (refused["state"], refused["code"]) == ("refused", "plan_share_limit")


def test_a_star_of_new_accounts_is_seen_also_where_they_gave_while_the_ledger_was_away(
    world: World,
) -> None:
    # Opened less than 60 days before: old enough to give, and new.
    star = ["cat", "dan", "eve", "fay"]
    world.open(*star)
    world.near.away = True
    asked = []
    for second, sender in enumerate(star[:3]):
        world.ledger.at(f"{DAYS_LATER[:17]}{second:02}+08:00")
        asked.append(world.give(sender, "bob").body["gift_id"])
    world.near.away = False
    world.go_on()
    world.settle()

    first, then, third = [world.gift(each) for each in asked]
    assert (first["state"], then["state"]) == ("completed", "completed")
    assert (third["state"], third["reasons"]) == ("delayed", ["star"])
    later = world.give(star[3], "bob").body
    assert (later["state"], later["reasons"]) == ("delayed", [])
    assert world.gift(later["gift_id"])["reasons"] == ["star"]


def test_the_time_to_accept_begins_when_the_ledger_is_back(world: World) -> None:
    world.near.away = True
    asked = world.give("ann", "bob", waits=True)
    packet = world.post("/v1/red-packets", {"sender": "ann", "bytes": 20 * MIB, "shares": 2})
    world.ledger.at(DAYS_LATER)
    world.near.away = False
    world.go_on()
    world.settle()

    gift = world.gift(asked.body["gift_id"])
    assert (gift["state"], gift["deadline"]) == ("held", "2015-08-16T12:00:01+08:00")
    opened = world.get(f"/v1/red-packets/{packet.body['token']}").body
    assert (opened["state"], opened["deadline"]) == ("open", "2015-08-14T12:00:01+08:00")


def test_a_delayed_gift_waits_for_an_operator(world: World) -> None:
    world.give("bob", "ann")
    world.give("bob", "ann", 11 * MIB)
    # Data that go to and fro within a week look like a cycle.
    asked = world.give("ann", "bob")
    assert (asked.status, asked.body["state"]) == (202, "delayed")
    gift_id = asked.body["gift_id"]
    assert world.gift(gift_id)["reasons"] == ["cycle"]
    world.go_on()
    world.settle()
    assert world.gift(gift_id)["state"] == "delayed"
    path = f"/v1/gifts/{gift_id}/release"
    assert world.post(path, {"reason": "r"}, caller="gateway").code == "forbidden"

    released = world.post(path, {"reason": "they are sisters"})
    assert (released.status, released.body["state"]) == (202, "offered")
    world.settle()

    assert world.gift(gift_id)["state"] == "completed"
    step = next(s for s in world.gift(gift_id)["steps"] if s["step"] == "gift_released")
    assert (step["actor"], step["reason"]) == ("operator", "they are sisters")
    assert world.post(path, {"reason": "again"}).code == "gift_not_delayed"


def test_both_sides_see_what_an_operator_took_back_of_a_gift_and_of_a_share(world: World) -> None:
    gift_id = world.give("ann", "bob").body["gift_id"]
    made = world.post("/v1/red-packets", {"sender": "ann", "bytes": 10 * MIB, "shares": 1})
    world.settle()
    path = f"/v1/red-packets/{made.body['token']}"
    world.post(f"{path}/claim", {"receiver": "bob"})
    world.settle()
    share = world.get(path).body["claims"][0]
    for arrived in (world.gift(gift_id)["transfer_id"], share["transfer_id"]):
        by_hand = world.command("claw_back", "bob", transfer_id=arrived, reason="hijacked")
        assert [each.status for each in world.ledger.do(by_hand)] == ["done"]
    world.settle()

    for viewer in ("ann", "bob"):
        gift = world.get(f"/v1/gifts/{gift_id}", account=viewer).body
        assert (gift["state"], gift["clawed_back_bytes"]) == ("completed", 10 * MIB)
        last = gift["steps"][-1]
        assert (last["step"], last["reason"]) == ("gift_clawed_back", None)
        (share,) = world.get(path, account=viewer).body["claims"]
        assert (share["state"], share["clawed_back_bytes"]) == ("delivered", 10 * MIB)
    assert world.available("bob") == world.available("ann")
    assert world.gift(gift_id)["steps"][-1]["reason"] == "hijacked"


def test_each_side_is_told_what_is_its_own_and_an_operator_everything(world: World) -> None:
    world.give("bob", "ann")
    world.give("bob", "ann", 11 * MIB)
    asked = world.give("ann", "bob", caller="gateway")
    gift_id = asked.body["gift_id"]
    assert (asked.body["state"], asked.body["reasons"]) == ("delayed", [])
    world.post(f"/v1/gifts/{gift_id}/release", {"reason": "no resale, ticket 4711"})
    world.settle()

    def told(viewer: str) -> str:
        listed = world.get("/v1/gifts", caller="gateway", account=viewer, state="completed").body
        return str([world.get(f"/v1/gifts/{gift_id}", account=viewer).body, listed])

    assert not any(word in told("ann") for word in ("4711", "cycle"))
    assert "plan:2015-08" in str(world.get(f"/v1/gifts/{gift_id}", account="ann").body["legs"])
    received = world.get(f"/v1/gifts/{gift_id}", account="bob").body
    assert (received["state"], received["legs"], received["detail"]) == ("completed", [], None)
    assert not any(word in told("bob") for word in ("4711", "cycle", "new_receiver"))
    whole = str(world.gift(gift_id))
    assert all(word in whole for word in ("4711", "cycle", "new_receiver", "plan:2015-08"))


def test_an_operator_denies_a_delayed_gift(world: World) -> None:
    world.give("bob", "ann")
    world.give("bob", "ann", 11 * MIB)
    asked = world.give("ann", "bob")
    gift_id = asked.body["gift_id"]

    denied = world.post(f"/v1/gifts/{gift_id}/deny", {"reason": "resale"})

    assert (denied.status, denied.body["state"]) == (200, "refused")
    assert world.gift(gift_id)["code"] == "denied_by_operator"
    assert world.gift(gift_id)["steps"][-1]["reason"] == "resale"


def test_a_quote_says_what_a_gift_would_do_and_stores_nothing(world: World) -> None:
    terms = {"sender": "ann", "receiver": "bob", "bytes": 10 * MIB}
    quote = world.post("/v1/gifts:quote", terms)

    assert quote.status == 200
    assert quote.body["refused"] is None
    assert quote.body["step_up"] is True
    assert quote.body["complete"] is True
    assert [leg["lot_id"] for leg in quote.body["legs"]] == ["plan:2015-08"]
    assert quote.body["legs"][0]["arrives_until"] == "2015-09-01T00:00:00+08:00"
    assert quote.body["allowed_bytes"] == 512 * MIB
    much = world.post("/v1/gifts:quote", terms | {"bytes": 600 * MIB})
    assert much.body["refused"]["code"] == "plan_share_limit"
    assert world.get("/v1/gifts").body["gifts"] == []


def test_a_fee_is_paid_to_the_operator_on_top_or_out_of_the_gift(
    make_world: Callable[..., World],
) -> None:
    payers: list[tuple[FeePayer, int]] = [("sender", 100), ("receiver", 99)]
    for payer, arrives in payers:
        fee = Fee(mode="percent", percent=1, payer=payer)
        world = make_world(replace(BUILT_IN, gifts=Gifts(fee=fee)))
        world.open("ann", "bob")
        had = world.available("ann"), world.available("bob")

        asked = world.give("ann", "bob", 100 * MIB)
        world.settle()

        assert world.gift(asked.body["gift_id"])["state"] == "completed"
        left = had[0] - world.available("ann"), world.available("bob") - had[1]
        assert left == ((101 if payer == "sender" else 100) * MIB, arrives * MIB)
        assert world.available("operator:fees") == MIB


def test_who_used_no_data_for_sixty_days_is_given_none_a_newcomer_is(world: World) -> None:
    world.open("old", active_from="2015-06")
    for opened, used, code in (
        (None, None, "receiver_inactive"),
        (None, "2015-06-11T11:59:59+08:00", "receiver_inactive"),
        (None, "2015-06-11T12:00:00+08:00", None),
        ("2015-07", None, None),
    ):
        if used is not None:
            world.use("old", used)
        if opened is not None:
            world.open("newcomer", active_from=opened)
        answer = world.give("ann", "old" if opened is None else "newcomer")
        assert answer.code == code, (opened, used)


def test_lists_are_paged_newest_first_by_account_role_and_state(world: World) -> None:
    world.open("cat")
    made = []
    for number, (sender, receiver) in enumerate([("ann", "bob"), ("ann", "cat"), ("bob", "cat")]):
        world.ledger.at(f"2015-08-10T12:0{number}:00+08:00")
        made.append(world.give(sender, receiver).body["gift_id"])
    world.settle()

    def ids(**query: str) -> list[str]:
        answer = world.get("/v1/gifts", **query)
        assert answer.status == 200, answer.body
        return [gift["gift_id"] for gift in answer.body["gifts"]]

    assert ids() == made[::-1]
    assert ids(account="bob") == [made[2], made[0]]
    assert ids(account="bob", role="receiver") == [made[0]]
    assert ids(account="bob", role="sender") == [made[2]]
    assert ids(state="completed", account="cat") == [made[2], made[1]]
    assert ids(state="held") == []
    first = world.get("/v1/gifts", limit=2)
    rest = world.get("/v1/gifts", limit=2, after=first.body["next_after"])
    assert [gift["gift_id"] for gift in rest.body["gifts"]] == made[:1]
    assert rest.body["next_after"] is None
    assert world.get("/v1/gifts", role="sender").code == "invalid_request"
    assert world.get("/v1/gifts", after="x").code == "invalid_request"
