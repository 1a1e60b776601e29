"""Who is asked for data answers with a gift, declines, or lets the ask expire."""

import pytest

from tests.support.gifting_world import MIB, World

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
