"""Many at once: limits, keys and shares hold, whoever comes first."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from msgspec.structs import replace

from services.gifting.domain.rules import BUILT_IN, Abuse, Signal
from tests.support.gifting_world import MIB, Reply, World

PARALLEL = 100
CALM = replace(
    BUILT_IN, abuse=Abuse(velocity=Signal(), fan_out=Signal(), fan_in=Signal(), star=Signal())
)


def at_once(calls: Sequence[Callable[[], Reply]]) -> list[Reply]:
    """Make all calls at the same time; return their answers."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def codes(answers: list[Reply]) -> Counter[Any]:
    return Counter(answer.code or answer.status for answer in answers)


def test_of_a_hundred_gifts_at_once_exactly_as_many_as_the_limit_are_made(
    make_world: Callable[..., World],
) -> None:
    world = make_world(CALM)
    receivers = [f"bob-{number}" for number in range(PARALLEL)]
    world.open("ann", *receivers)

    answers = at_once([partial(world.give, "ann", each) for each in receivers])

    assert codes(answers) == {202: 3, "day_gifts_limit": 97}
    world.settle()
    assert len(world.get("/v1/gifts", state="completed").body["gifts"]) == 3


def test_one_receiver_gets_no_more_than_its_limit_from_a_hundred_at_once(
    make_world: Callable[..., World],
) -> None:
    world = make_world(CALM)
    senders = [f"ann-{number}" for number in range(PARALLEL)]
    world.open("bob", *senders)

    answers = at_once([partial(world.give, each, "bob") for each in senders])

    assert codes(answers) == {202: 10, "receiver_gifts_limit": 90}


def test_limits_hold_between_two_processes(make_world: Callable[..., World]) -> None:
    world = make_world(CALM)
    receivers = [f"bob-{number}" for number in range(PARALLEL)]
    world.open("ann", *receivers)
    with world.twin() as other:
        both = [world, other] * (PARALLEL // 2)
        answers = at_once(
            [partial(one.give, "ann", to) for one, to in zip(both, receivers, strict=True)]
        )

    assert codes(answers) == {202: 3, "day_gifts_limit": 97}


def test_bytes_packets_and_shares_are_limited_at_once_as_well(
    make_world: Callable[..., World],
) -> None:
    world = make_world(CALM)
    makers = [f"ann-{number}" for number in range(10)]
    world.open("bob", *makers)
    world.open("dan", plan="std-5gb")
    packet = {"bytes": 20 * MIB, "shares": 2}
    with world.twin() as other:
        both = [world, other] * 5
        gifts = [
            partial(one.give, "dan", to, 1024 * MIB) for one, to in zip(both, makers, strict=True)
        ]
        assert codes(at_once(gifts)) == {202: 2, "plan_share_limit": 8}
        many = [partial(one.post, "/v1/red-packets", packet | {"sender": "bob"}) for one in both]
        assert codes(at_once(many)) == {202: 5, "packets_day_limit": 5}
        tokens = [
            world.post("/v1/red-packets", packet | {"sender": maker}).body["token"]
            for maker in makers
        ]
        world.settle()
        claims = [
            partial(one.post, f"/v1/red-packets/{token}/claim", {"receiver": "dan"})
            for one, token in zip(both, tokens, strict=True)
        ]
        assert codes(at_once(claims)) == {202: 3, "shares_day_limit": 7}


def test_one_key_at_once_makes_one_gift(make_world: Callable[..., World]) -> None:
    world = make_world(CALM)
    world.open("ann", "bob")

    answers = at_once([lambda: world.give("ann", "bob", key="same") for _ in range(20)])

    assert codes(answers) == {202: 20}
    assert len({answer.body["gift_id"] for answer in answers}) == 1


def test_a_stampede_on_a_packet_hands_out_every_share_once_and_nothing_more(
    make_world: Callable[..., World],
) -> None:
    world = make_world(CALM)
    crowd = [f"bob-{number}" for number in range(PARALLEL)]
    world.open("ann", *crowd)
    had = world.available("ann")
    terms = {"sender": "ann", "bytes": 20 * MIB, "shares": 20, "split": "lucky"}
    token = world.post("/v1/red-packets", terms).body["token"]
    world.settle()
    path = f"/v1/red-packets/{token}/claim"

    answers = at_once([partial(world.post, path, {"receiver": each}) for each in crowd])

    assert codes(answers) == {202: 20, "packet_empty": 80}
    assert {answer.body.get("position") for answer in answers} == {None, *range(20)}
    world.settle()
    packet = world.get(f"/v1/red-packets/{token}").body
    assert (packet["state"], packet["cause"], packet["returned_bytes"]) == (
        "ended",
        "all_claimed",
        0,
    )
    assert sum(claim["bytes"] for claim in packet["claims"]) == 20 * MIB
    assert had - world.available("ann") == 20 * MIB
