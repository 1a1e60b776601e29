"""The relay: every page in order, stored only after the confirm."""

from threading import Event, Thread

import pytest

from shared.bus.inbox import Inbox
from shared.bus.relay import Relay
from shared.contracts.envelope import Batch, decode_batch
from shared.errors import UnavailableError
from tests.support.bus import MemoryConsumer, MemoryLog, MemoryReader, sequences, wait_for


class Wire:
    """A publisher that hands over what was published, and may break before or after that."""

    def __init__(self, receive) -> None:
        self.receive = receive
        self.breaks: list[str] = []
        self.heads: list[tuple[str, int]] = []
        self.pages = 0

    def publish(self, page) -> None:
        how = self.breaks.pop(0) if self.breaks else ""
        if how == "before":
            raise UnavailableError("the broker is away")
        self.pages += 1
        self.receive(decode_batch(page.body, page.source, page.lane, page.head))
        if how == "after":
            raise UnavailableError("the confirm was lost")

    def publish_head(self, head) -> None:
        self.heads.append((head.lane, head.sequence))
        self.receive(Batch(head.source, head.lane, head.sequence, head.sequence, []))

    def close(self) -> None:
        pass


class State:
    """Positions in memory that can be lost between confirm and store."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.free = True
        self.loses = 0

    def hold(self) -> bool:
        return self.free

    def get(self, lane: str) -> int:
        return self.positions.get(lane, 0)

    def set(self, lane: str, sequence: int) -> None:
        if self.loses:
            self.loses -= 1
            raise UnavailableError("died before the position was stored")
        self.positions[lane] = sequence

    def close(self) -> None:
        pass


class Setup:
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.log.fill(1_200)
        self.view = MemoryConsumer()
        self.saga = MemoryConsumer(name="saga", lane="sagas")
        self.inbox = Inbox([self.view, self.saga], MemoryReader([self.log]))
        self.wire = Wire(self.inbox.receive)
        self.state = State()
        self.stop = Event()

    def run(self) -> Thread:
        relay = Relay(self.log, self.state, self.wire, self.stop)
        thread = Thread(target=relay.run)
        thread.start()
        return thread

    def is_level(self) -> bool:
        views = self.view.of(self.log.source) == sequences(self.log)
        return views and self.saga.of(self.log.source) == sequences(self.log, "sagas")


@pytest.fixture
def setup():
    made = Setup()
    yield made
    made.stop.set()


def test_every_lane_is_published_in_pages_and_order(setup):
    thread = setup.run()

    assert wait_for(setup.is_level)
    setup.stop.set()
    thread.join(3)

    assert setup.wire.pages == 3 + 1
    assert setup.state.positions == {lane: setup.log.head(lane) for lane in ("all", "sagas")}
    assert setup.inbox.counts.gaps == setup.inbox.counts.dropped == 0


def test_a_page_that_was_not_confirmed_is_published_again(setup):
    setup.wire.breaks = ["before", "after", "", "after"]
    thread = setup.run()

    assert wait_for(setup.is_level)
    setup.stop.set()
    thread.join(3)

    assert setup.inbox.counts.dropped > 0


def test_a_position_that_was_not_stored_costs_duplicates_only(setup):
    setup.state.loses = 2
    thread = setup.run()

    assert wait_for(setup.is_level)
    setup.stop.set()
    thread.join(3)

    assert setup.inbox.counts.dropped >= 500


def test_heads_tell_every_second_how_far_each_lane_is(setup):
    thread = setup.run()

    heads = [("all", setup.log.head("all")), ("sagas", setup.log.head("sagas"))]
    assert wait_for(lambda: setup.wire.heads.count(heads[0]) >= 2)
    setup.stop.set()
    thread.join(3)

    assert sorted(setup.wire.heads[-2:]) == heads


def test_without_the_lock_nothing_is_published(setup):
    setup.state.free = False
    thread = setup.run()

    assert not wait_for(lambda: setup.wire.pages > 0, 0.3)
    setup.state.free = True
    assert wait_for(setup.is_level)
    setup.stop.set()
    thread.join(3)


def test_a_log_that_a_restore_made_shorter_goes_on_from_its_head(setup):
    setup.state.positions = {"all": 10_000, "sagas": 10_000}
    thread = setup.run()

    assert wait_for(lambda: setup.state.positions.get("sagas") == setup.log.head("sagas"))
    assert wait_for(lambda: setup.state.positions.get("all") == setup.log.head("all"))
    setup.log.fill(5)
    assert wait_for(lambda: setup.wire.pages > 0)
    setup.stop.set()
    thread.join(3)
