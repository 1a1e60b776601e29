"""Whatever a transport does to messages, each event takes effect once and in order."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bus.inbox import Inbox
from shared.contracts.envelope import Batch
from shared.errors import UnavailableError
from tests.support.bus import CrashError, MemoryConsumer, MemoryLog, MemoryReader, sequences

LANES = ("all", "sagas")


@st.composite
def logs(draw) -> list[MemoryLog]:
    """Two logs with holes in their ids, and accounts that appear again and again."""
    made = [MemoryLog(partition=0), MemoryLog(partition=1)]
    event = st.tuples(st.integers(0, 1), st.integers(0, 3), st.booleans(), st.integers(0, 2))
    for log, account, sagas, hole in draw(st.lists(event, min_size=1, max_size=40)):
        made[log].add(f"account-{account}", sagas=sagas, hole=hole)
    return made


STEP = st.one_of(
    # A message with these bounds arrives: late, early, doubled, overlapping, as chance has it.
    st.tuples(
        st.just("batch"),
        st.integers(0, 1),
        st.sampled_from(LANES),
        st.integers(0, 45),
        st.integers(1, 12),
    ),
    st.tuples(st.just("head"), st.integers(0, 1), st.sampled_from(LANES)),
    st.tuples(st.just("stranger"), st.integers(1, 5)),
    st.tuples(st.just("pull"), st.integers(0, 1)),
    st.tuples(st.just("crash"), st.integers(0, 1), st.sampled_from(["before", "after"])),
    st.tuples(st.just("away"), st.integers(0, 2)),
    st.tuples(st.just("restart")),
)


class World:
    """Two logs, a view and a saga behind one inbox, and what the network does to them."""

    def __init__(self, made: list[MemoryLog]) -> None:
        self.logs = made
        self.reader = MemoryReader(made, limit=5)
        self.consumers = [MemoryConsumer(), MemoryConsumer(name="saga", lane="sagas")]
        self.restart()

    def restart(self) -> None:
        """A new process: nothing but the durable positions is left."""
        self.inbox = Inbox(self.consumers, self.reader, pause_s=0)
        self.reader.away = False
        for consumer in self.consumers:
            consumer.away = False

    def step(self, kind: str, *arguments) -> None:
        """Let one thing happen; a crash takes the process with it."""
        try:
            getattr(self, f"on_{kind}")(*arguments)
        except UnavailableError:
            pass
        except CrashError:
            self.restart()
        self.check_order()

    def on_batch(self, which: int, lane: str, after: int, limit: int) -> None:
        log = self.logs[which]
        page = log.batch(lane, after, limit)
        if page.events and not self.inbox.receive(page) and after % 2:
            self.inbox.catch_up(log.source)

    def on_head(self, which: int, lane: str) -> None:
        log = self.logs[which]
        head = log.head(lane)
        if not self.inbox.receive(Batch(log.source, lane, head, head, [])):
            self.inbox.catch_up(log.source)

    def on_stranger(self, count: int) -> None:
        stranger = MemoryLog(bank_id="other")
        stranger.fill(count)
        self.inbox.receive(stranger.batch("all", 0, count))

    def on_pull(self, which: int) -> None:
        self.inbox.catch_up(self.logs[which].source)

    def on_crash(self, which: int, when: str) -> None:
        self.consumers[which].crash = when

    def on_away(self, which: int) -> None:
        if which == 2:
            self.reader.away = not self.reader.away
        else:
            self.consumers[which].away = not self.consumers[which].away

    def on_restart(self) -> None:
        self.restart()

    def check_order(self) -> None:
        """At every moment the effects are the log's beginning, and the position says how much."""
        for consumer in self.consumers:
            for log in self.logs:
                applied = consumer.of(log.source)
                assert applied == sequences(log, consumer.lane)[: len(applied)]
                assert consumer.positions.get(log.source, 0) == (applied[-1] if applied else 0)


@given(logs(), st.lists(STEP, max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_delivery_with_crashes_applies_each_event_once_in_order(made, steps):
    world = World(made)
    for kind, *arguments in steps:
        world.step(kind, *arguments)

    for consumer in world.consumers:
        consumer.crash = ""
    world.restart()
    world.inbox.level()

    for consumer in world.consumers:
        for log in world.logs:
            assert consumer.of(log.source) == sequences(log, consumer.lane)
        assert consumer.parked == []


@given(logs(), st.lists(STEP, max_size=30), st.sets(st.integers(1, 45), max_size=4))
@settings(max_examples=150, deadline=None)
def test_poison_blocks_only_the_accounts_it_is_about(made, steps, poison):
    world = World(made)
    view = world.consumers[0]
    view.fails_on = lambda event: int(event.sequence) in poison
    for kind, *arguments in steps:
        if kind != "crash":
            with suppress(UnavailableError):
                getattr(world, f"on_{kind}")(*arguments)
    world.restart()
    world.inbox.level()

    in_order = [event for log in made for event in log.lane("all")]
    assert len(view.applied) + len(view.parked) == len(in_order)
    assert len(set(view.applied)) == len(view.applied)
    bad = {subject for log in made for at, subject in log.lane("all") if at in poison}
    assert {subject for subject, _, _ in view.parked} == bad
