"""What gifting has put aside is taken in again, all and in order; nobody waits for nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from services.gifting.domain.gift import Gift
from shared.bus import parking
from shared.bus.positions import InboxPosition
from shared.contracts.envelope import Envelope
from shared.sagas.inbox import TakeIn
from shared.sagas.writer import Writer
from tests.support.gifting_world import World

PutAside = Callable[..., list[str]]
LISTED = 3


def _fail(*_: Any) -> bool:
    raise RuntimeError("broken for this test")


def parked(world: World) -> list[tuple[str, str]]:
    return [(row["account"], row["error"]) for row in world.bank.consumer.parked(limit=10_000)]


@pytest.fixture
def put_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> PutAside:
    """`put_aside("bob", …)`: gifts of ann's of which all that the ledger says is put aside."""

    def put(*receivers: str) -> list[str]:
        with monkeypatch.context() as broken:
            broken.setattr(Gift, "on", _fail)
            gifts = [str(world.give("ann", one).body["gift_id"]) for one in receivers]
            world.settle()
        return gifts

    return put


def test_more_than_a_list_shows_at_once_is_taken_in_again(
    world: World, put_aside: PutAside, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open("cat")
    gifts = put_aside("bob", "cat")
    waiting = len(parked(world))
    assert waiting > LISTED
    short = {"limit": LISTED}
    monkeypatch.setattr(parking.list_parked, "__kwdefaults__",
                        (parking.list_parked.__kwdefaults__ or {}) | short)  # fmt: skip
    assert world.bank.consumer.retry_parked() == {"applied": waiting, "still_parked": 0}
    assert {world.gift(each)["state"] for each in gifts} == {"completed"}


def test_what_is_stuck_is_counted_and_keeps_no_other_waiting(
    world: World, put_aside: PutAside, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open("cat")
    stuck, free = put_aside("bob", "cat")
    waiting = len(parked(world))
    hear = Gift.on

    def of_one(gift: Gift, *told: Any) -> bool:
        return _fail() if gift.gift_id == stuck else hear(gift, *told)

    monkeypatch.setattr(Gift, "on", of_one)
    done = world.bank.consumer.retry_parked()
    left = [account for account, _ in parked(world)]
    assert done == {"applied": waiting - len(left), "still_parked": len(left)}
    assert {*left} == {stuck}
    assert world.gift(free)["state"] == "completed"


def test_what_is_parked_behind_an_event_while_a_retry_takes_that_in_waits_for_nothing(
    world: World, put_aside: PutAside, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gift,) = put_aside("bob")
    with world.bank.gifting.store.connection() as conn:
        first, *later = parking.list_parked(conn.cursor())
        parking.unpark(conn.cursor(), later)
    consumer, run = world.bank.consumer, Writer.run

    def take_in(events: list[Envelope]) -> None:
        for each in events:
            position = InboxPosition(consumer.name, each.source, consumer.lane, 0)
            run(world.bank.gifting.writer, TakeIn([each], position))

    def and_then(writer: Writer, job: Any) -> Any:
        """Let the inbox take in what follows just when the retry has taken in the first."""
        result = run(writer, job)
        if isinstance(job, TakeIn):
            monkeypatch.setattr(Writer, "run", run)
            take_in([each.event for each in later])
        return result

    monkeypatch.setattr(Writer, "run", and_then)
    assert first.account == gift
    consumer.retry_parked()
    assert parked(world) == []
    assert world.gift(gift)["state"] == "completed"
