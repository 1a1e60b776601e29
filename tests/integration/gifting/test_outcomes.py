"""`Prefer: wait`: the answer is the durable outcome, if it comes in time."""

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

from msgspec.structs import replace

from services.gifting.domain.rules import BUILT_IN, Gifts
from shared.sagas.waiting import WAITERS_MAX
from tests.support.gifting_world import MIB, World


def test_who_waits_hears_that_the_gift_has_arrived(world: World) -> None:
    with world.moving():
        answer = world.give("ann", "bob", wait_s=5)
    assert (answer.status, answer.body["state"]) == (201, "completed")


def test_who_waits_for_what_does_not_come_gets_its_place_in_time(world: World) -> None:
    began = monotonic()
    answer = world.give("ann", "bob", wait_s=1)
    assert (answer.status, answer.body["state"]) == (202, "offered")
    assert 0.9 < monotonic() - began < 3


def test_an_operator_who_releases_a_gift_hears_that_it_has_arrived(world: World) -> None:
    for amount in (10 * MIB, 11 * MIB):
        world.give("bob", "ann", amount)
    delayed = world.give("ann", "bob").body
    assert delayed["state"] == "delayed"
    path = f"/v1/gifts/{delayed['gift_id']}/release"
    with world.moving():
        answer = world.post(path, {"reason": "they are sisters"}, wait_s=5)
    assert (answer.status, answer.body["state"]) == (200, "completed")


def test_asking_a_ledger_that_hangs_is_part_of_the_time(world: World) -> None:
    world.near.away, world.near.hangs_s = True, 1.5
    began = monotonic()
    answer = world.give("ann", "bob", wait_s=2)
    assert (answer.status, answer.body["state"]) == (202, "requested")
    assert 1.9 < monotonic() - began < 3


def test_a_gift_that_waits_for_its_receiver_keeps_nobody_waiting(world: World) -> None:
    with world.moving():
        began = monotonic()
        answer = world.give("ann", "bob", waits=True, wait_s=5)
        assert (answer.status, answer.body["state"]) == (202, "held")
        assert monotonic() - began < 4
        path = f"/v1/gifts/{answer.body['gift_id']}/accept"
        accepted = world.post(path, {"account": "bob"}, wait_s=5)
    assert (accepted.status, accepted.body["state"]) == (200, "completed")


def test_who_waits_hears_why_the_ledger_refused(make_world: Callable[..., World]) -> None:
    # Without any check before, so that the ledger alone refuses.
    gifts = Gifts(sender_keeps_bytes=0, plan_share_percent=None)
    world = make_world(replace(BUILT_IN, gifts=gifts))
    world.open("ann", "bob")
    with world.moving():
        world.give("ann", "bob", 900 * MIB)
        world.near.away = True
        asked = world.give("ann", "bob", 200 * MIB, key="late")
        assert asked.body["state"] == "requested"
        world.near.away = False
        world.go_on()
        answer = world.give("ann", "bob", 200 * MIB, key="late", wait_s=5)
    assert (answer.status, answer.code, answer.body["state"]) == (
        422,
        "insufficient_data",
        "refused",
    )


def test_who_takes_a_share_hears_that_it_has_arrived(world: World) -> None:
    with world.moving():
        terms = {"sender": "ann", "bytes": 20 * MIB, "shares": 2, "split": "fixed"}
        made = world.post("/v1/red-packets", terms, wait_s=5)
        assert (made.status, made.body["state"]) == (201, "open")
        path = f"/v1/red-packets/{made.body['token']}/claim"
        taken = world.post(path, {"receiver": "bob"}, wait_s=5)
    assert (taken.status, taken.body["state"], taken.body["bytes"]) == (201, "delivered", 10 * MIB)


def test_when_too_many_wait_already_nobody_more_does(world: World) -> None:
    with ExitStack() as stack:
        for _ in range(WAITERS_MAX):
            stack.enter_context(world.gifting.waiting.for_rest("0" * 32))
        began = monotonic()
        answer = world.give("ann", "bob", wait_s=5)
    assert (answer.status, monotonic() - began < 3) == (202, True)
