"""A red packet: claims and what comes back are the total, and anybody can check the split."""

import pytest
from msgspec.structs import replace

from services.gifting.domain.rules import BUILT_IN, Fee, RedPackets
from services.gifting.domain.split import check_split
from tests.support.gifting_world import MIB, MakeWorld, World

NEXT_DAY = "2015-08-11T12:00:01+08:00"
TERMS = {"sender": "ann", "bytes": 20 * MIB, "shares": 4, "split": "lucky", "message": "hi"}


@pytest.fixture
def token(world: World) -> str:
    """An open packet of ann's, of four shares."""
    world.open("cat", "dan", "eve")
    made = world.post("/v1/red-packets", TERMS)
    assert (made.status, made.body["state"]) == (202, "offered")
    world.settle()
    assert show(world, made.body["token"])["state"] == "open"
    return str(made.body["token"])


def show(world: World, token: str, **query: str) -> dict[str, object]:
    return world.get(f"/v1/red-packets/{token}", **query).body


def claim(world: World, token: str, who: str, key: str | None = None):
    return world.post(f"/v1/red-packets/{token}/claim", {"receiver": who}, key=key)


def test_shares_arrive_and_the_rest_comes_back_at_the_deadline(world: World, token: str) -> None:
    had = world.available("ann")
    for who in ("bob", "cat"):
        assert claim(world, token, who).status == 202
    world.settle()
    world.ledger.at(NEXT_DAY)
    assert claim(world, token, "dan").code == "packet_timed_out"
    world.look_at_due()
    world.settle()

    packet = world.get(f"/v1/red-packets/{token}").body

    assert (packet["state"], packet["cause"]) == ("ended", "timed_out")
    given = sum(claim["bytes"] for claim in packet["claims"])
    assert packet["delivered_bytes"] == given
    assert given + packet["returned_bytes"] == 20 * MIB
    assert (had - world.available("ann"), world.held("ann")) == (given, 0)
    terms = (packet["bytes"], packet["shares"], packet["split"], packet["share_bytes_min"])
    claims = {claim["position"]: claim["bytes"] for claim in packet["claims"]}
    seed, commitment = bytes.fromhex(packet["seed"]), packet["seed_commitment"]
    assert check_split(seed, commitment, terms, claims)
    assert not check_split(seed, commitment, terms, {0: claims[0] + 1})


def test_one_person_has_one_share_however_often_it_asks(world: World, token: str) -> None:
    first = claim(world, token, "bob", key="k")
    again = claim(world, token, "bob", key="k")
    other = claim(world, token, "bob", key="another")

    assert first.body["claim_id"] == again.body["claim_id"] == other.body["claim_id"]
    assert other.headers["Idempotency-Hit"] == "true"
    assert show(world, token)["claimed_shares"] == 1


def test_nobody_takes_a_share_of_an_own_packet_or_of_one_that_is_not_there(
    world: World, token: str
) -> None:
    assert claim(world, token, "ann").code == "own_packet"
    assert claim(world, "x" * 22, "bob").code == "packet_not_found"
    assert claim(world, token, "nobody").code == "receiver_not_found"


@pytest.mark.parametrize(
    ("fee", "whole"),
    [(Fee(mode="fixed", bytes=4 * MIB), 4 * MIB), (Fee(mode="percent", percent=5), MIB)],
)
def test_a_packets_fee_is_held_on_top_and_goes_with_the_shares_that_are_taken(
    make_world: MakeWorld, fee: Fee, whole: int
) -> None:
    world = make_world(replace(BUILT_IN, red_packets=RedPackets(fee=fee)))
    world.open("ann", "bob", "cat")
    had = world.available("ann")
    made = world.post("/v1/red-packets", TERMS | {"split": "fixed"})
    world.settle()
    assert (made.body["fee"]["bytes"], world.held("ann")) == (whole, 20 * MIB + whole)

    claim(world, made.body["token"], "bob")
    world.settle()
    world.ledger.at(NEXT_DAY)
    world.look_at_due()
    world.settle()

    packet = show(world, made.body["token"])
    assert (packet["state"], packet["returned_bytes"]) == ("ended", 15 * MIB)
    assert had - world.available("ann") == 5 * MIB + whole // 4
    assert (world.held("ann"), world.available("operator:fees")) == (0, whole // 4)


def test_a_packet_needs_its_fee_too_and_the_refusal_tells_what_would_do(
    make_world: MakeWorld,
) -> None:
    fee = Fee(mode="percent", percent=25)
    world = make_world(replace(BUILT_IN, red_packets=RedPackets(fee=fee)))
    world.open("ann", plan="std-30mb")

    refused = world.post("/v1/red-packets", TERMS | {"bytes": 30 * MIB})

    assert (refused.code, refused.body["allowed_bytes"]) == ("insufficient_data", 24 * MIB)
    assert world.post("/v1/red-packets", TERMS | {"bytes": 24 * MIB}).status == 202


def test_what_shares_are_worth_is_told_when_they_are_claimed_and_to_all_at_the_end(
    world: World, token: str
) -> None:
    claim(world, token, "bob")
    world.settle()

    own = world.get(f"/v1/red-packets/{token}", account="bob").body
    foreign = world.get(f"/v1/red-packets/{token}", account="cat").body
    senders = world.get(f"/v1/red-packets/{token}", account="ann").body

    assert [each["receiver"] for each in own["claims"]] == ["bob"]
    assert (foreign["claims"], foreign["delivered_bytes"], foreign["seed"]) == ([], None, None)
    assert [each["receiver"] for each in senders["claims"]] == ["bob"]
    for who in ("cat", "dan", "eve"):
        claim(world, token, who)
    world.settle()
    ended = world.get(f"/v1/red-packets/{token}", account="cat").body
    assert len(ended["claims"]) == 4
    assert [each.get("receiver") for each in ended["claims"]] == [None, "cat", None, None]
    assert ended["seed"] is not None


def test_a_share_that_cannot_arrive_is_the_senders_again(world: World, token: str) -> None:
    had = world.available("ann")
    world.near.away = True
    assert claim(world, token, "nobody").status == 202
    world.settle()

    packet = world.get(f"/v1/red-packets/{token}").body
    assert [(each["state"], each["code"]) for each in packet["claims"]] == [
        ("returned", "account_not_found")
    ]
    assert claim(world, token, "nobody").code == "account_not_found"
    world.ledger.at(NEXT_DAY)
    world.look_at_due()
    world.settle()
    ended = world.get(f"/v1/red-packets/{token}").body
    assert (ended["state"], ended["returned_bytes"]) == ("ended", 20 * MIB)
    assert (world.available("ann"), world.held("ann")) == (had, 0)


def test_a_packet_that_the_ledger_cannot_hold_is_refused(world: World) -> None:
    refused = world.post("/v1/red-packets", TERMS | {"bytes": 5 << 30})
    assert refused.code == "insufficient_data"
    world.near.away = True
    asked = world.post("/v1/red-packets", TERMS | {"bytes": 5 << 30})
    assert (asked.status, asked.body["state"]) == (202, "requested")
    world.near.away = False
    world.go_on()

    packet = world.get(f"/v1/red-packets/{asked.body['packet_id']}").body
    assert (packet["state"], packet["code"]) == ("refused", "insufficient_data")


def test_the_same_key_tells_the_same_token_and_no_log_holds_it(world: World) -> None:
    made = [world.post("/v1/red-packets", TERMS, key="p") for _ in range(2)]
    assert made[0].body["token"] == made[1].body["token"]
    assert made[0].body["packet_id"] == made[1].body["packet_id"]
    assert "token" not in world.get(f"/v1/red-packets/{made[0].body['token']}").body
    page = world.bank.log.page("all", 0, 500)
    assert page.count == 2
    assert made[0].body["token"].encode() not in page.body


def test_packets_are_limited_per_day_and_shares_per_person(world: World) -> None:
    world.open("gus", "hal", "ida")
    tokens = []
    for who in ("ann", "gus", "hal", "ida"):
        made = world.post("/v1/red-packets", TERMS | {"sender": who})
        tokens.append(made.body["token"])
    for _ in range(4):
        assert world.post("/v1/red-packets", TERMS).status == 202
    assert world.post("/v1/red-packets", TERMS).code == "packets_day_limit"
    world.settle()
    answers = [claim(world, token, "bob") for token in tokens]
    assert [answer.code for answer in answers] == [None, None, None, "shares_day_limit"]
    assert answers[-1].body["allowed_from"] == "2015-08-11T00:00:00+08:00"


def test_a_packet_is_listed_for_its_sender_alone(world: World, token: str) -> None:
    mine = world.get("/v1/red-packets", account="ann").body["red_packets"]
    assert [packet["state"] for packet in mine] == ["open"]
    assert world.get("/v1/red-packets", account="bob").body["red_packets"] == []
    packet_id = mine[0]["packet_id"]
    assert world.get(f"/v1/red-packets/{packet_id}", account="ann").status == 200
    assert world.get(f"/v1/red-packets/{packet_id}", account="bob").code == "packet_not_found"


def test_a_share_that_came_back_counts_no_more(world: World) -> None:
    tokens = []
    for who in ("ann", "gus", "hal", "ida"):
        world.open(who) if who != "ann" else None
        tokens.append(world.post("/v1/red-packets", TERMS | {"sender": who}).body["token"])
    world.settle()
    world.near.away = True
    claim(world, tokens[0], "late")
    world.settle()
    world.near.away = False
    world.open("late")

    answers = [claim(world, token, "late") for token in tokens]

    assert [answer.code for answer in answers] == ["account_not_found", None, None, None]
