"""Who is asked for data answers with a gift, declines, or lets the ask expire."""

import pytest
from msgspec.structs import replace

from services.gifting.domain.rules import BUILT_IN, Abuse, Signal
from services.gifting.verification import verify_store
from tests.support.gifting_world import MIB, MakeWorld, World

TERMS = {"asker": "bob", "giver": "ann", "bytes": 20 * MIB, "message": "please"}
DAYS_LATER = "2015-08-13T12:00:01+08:00"


@pytest.fixture
def ask_id(world: World) -> str:
    """An ask of bob's to ann."""
    made = world.post("/v1/asks", TERMS)
    assert (made.status, made.body["state"]) == (201, "made")
    return str(made.body["ask_id"])


def answer(world: World, ask_id: str, who: str = "ann", **more: object):
    body = {"account": who, "confirmed": True, **more}
    return world.post(f"/v1/asks/{ask_id}/answer", body)


def test_a_friend_answers_with_a_gift(world: World, ask_id: str) -> None:
    given = answer(world, ask_id)
    assert (given.status, given.body["ask_id"], given.body["bytes"]) == (202, ask_id, 20 * MIB)
    world.settle()

    assert world.gift(given.body["gift_id"])["state"] == "completed"
    ask = world.get(f"/v1/asks/{ask_id}").body
    assert (ask["state"], ask["gift_id"]) == ("answered", given.body["gift_id"])
    assert answer(world, ask_id).code == "ask_ended"


def test_a_friend_may_give_another_amount_and_a_refused_gift_is_no_answer(
    world: World, ask_id: str
) -> None:
    assert answer(world, ask_id, bytes=1 << 40).code == "amount_too_large"
    assert world.get(f"/v1/asks/{ask_id}").body["state"] == "made"
    assert answer(world, ask_id, bytes=10 * MIB).body["bytes"] == 10 * MIB


def state(world: World, ask_id: str) -> tuple[str, str | None]:
    ask = world.get(f"/v1/asks/{ask_id}").body
    return ask["state"], ask["gift_id"]


def test_a_gift_that_is_denied_at_once_is_no_answer(make_world: MakeWorld) -> None:
    world = make_world(replace(BUILT_IN, abuse=Abuse(cycle=Signal(deny=1))))
    world.open("ann", "bob")
    world.give("bob", "ann")
    ask_id = str(world.post("/v1/asks", TERMS).body["ask_id"])
    assert answer(world, ask_id).code == "abuse_suspected"
    assert state(world, ask_id) == ("made", None)
    assert world.post(f"/v1/asks/{ask_id}/decline", {"account": "ann"}).body["state"] == "declined"


@pytest.mark.parametrize("how", ["declined", "cancelled", "denied", "refused by the ledger"])
def test_an_ask_whose_gift_comes_to_nothing_can_be_answered_again(
    world: World, ask_id: str, how: str
) -> None:
    if how == "denied":
        world.give("bob", "ann")
        world.give("bob", "ann", 11 * MIB)
    gift = answer(world, ask_id, waits=how not in ("denied", "refused by the ledger")).body
    gift_id = gift["gift_id"]
    assert state(world, ask_id) == ("answered", gift_id)
    if how == "refused by the ledger":
        world.ledger.do(world.command("suspend", "ann"))
    world.settle()
    if how == "declined":
        world.post(f"/v1/gifts/{gift_id}/decline", {"account": "bob"})
    elif how == "cancelled":
        world.post(f"/v1/gifts/{gift_id}/cancel", {"account": "ann"})
    elif how == "denied":
        assert gift["state"] == "delayed"
        world.post(f"/v1/gifts/{gift_id}/deny", {"reason": "resale"})
    world.settle()
    assert world.gift(gift_id)["state"] in ("returned", "refused")
    assert state(world, ask_id) == ("made", None)
    world.ledger.do(world.command("resume", "ann"))
    again = answer(world, ask_id)
    assert state(world, ask_id) == ("answered", again.body["gift_id"])
    *_, last = verify_store(world.bank.gifting.store)
    assert last["result"]["first_difference"] is None


def test_an_ask_whose_gift_comes_back_after_its_time_stays_as_it_is(
    world: World, ask_id: str
) -> None:
    gift_id = answer(world, ask_id, waits=True).body["gift_id"]
    world.settle()
    world.ledger.at(DAYS_LATER)
    world.look_at_due()
    world.settle()
    assert world.gift(gift_id)["code"] == "timed_out"
    assert state(world, ask_id) == ("answered", gift_id)


def test_an_ask_that_is_open_again_expires_in_its_time(world: World, ask_id: str) -> None:
    gift_id = answer(world, ask_id, waits=True).body["gift_id"]
    world.settle()
    world.post(f"/v1/gifts/{gift_id}/cancel", {"account": "ann"})
    world.settle()
    world.ledger.at(DAYS_LATER)
    world.go_on()
    assert state(world, ask_id) == ("expired", None)


def test_a_friend_declines(world: World, ask_id: str) -> None:
    declined = world.post(f"/v1/asks/{ask_id}/decline", {"account": "ann"})
    assert (declined.status, declined.body["state"]) == (200, "declined")
    assert answer(world, ask_id).code == "ask_ended"


def test_an_ask_expires_at_its_deadline(world: World, ask_id: str) -> None:
    world.go_on()
    assert world.get(f"/v1/asks/{ask_id}").body["state"] == "made"
    world.ledger.at(DAYS_LATER)
    assert answer(world, ask_id).code == "ask_expired"
    world.go_on()
    assert world.get(f"/v1/asks/{ask_id}").body["state"] == "expired"


def test_a_foreign_ask_looks_like_an_unknown_one(world: World, ask_id: str) -> None:
    world.open("eve")
    assert world.get(f"/v1/asks/{ask_id}", account="eve").code == "ask_not_found"
    assert world.get(f"/v1/asks/{'0' * 32}", account="eve").code == "ask_not_found"
    assert answer(world, ask_id, "eve").code == "ask_not_found"
    assert answer(world, ask_id, "bob").code == "not_the_giver"
    assert world.post(f"/v1/asks/{ask_id}/decline", {"account": "eve"}).code == "ask_not_found"


def test_nobody_asks_or_is_asked_who_has_no_account(world: World) -> None:
    assert world.post("/v1/asks", TERMS | {"giver": "nobody"}).code == "giver_not_found"
    assert world.post("/v1/asks", TERMS | {"asker": "nobody"}).code == "asker_not_found"
    assert {each.status for each in world.ledger.do(world.command("suspend", "ann"))} == {"done"}
    assert world.post("/v1/asks", TERMS).code == "giver_suspended"
    world.near.away = True
    assert world.post("/v1/asks", TERMS).status == 201


def test_asks_are_limited_and_listed(world: World, ask_id: str) -> None:
    world.open("eve")
    again = world.post("/v1/asks", TERMS)
    assert again.code == "friend_asks_limit"
    other = world.post("/v1/asks", TERMS | {"giver": "eve"})

    def ids(**query: str) -> list[str]:
        return [ask["ask_id"] for ask in world.get("/v1/asks", **query).body["asks"]]

    assert set(ids(account="bob", role="asker")) == {ask_id, other.body["ask_id"]}
    assert ids(account="ann", role="giver") == [ask_id]
    assert ids(account="ann", role="asker") == []
