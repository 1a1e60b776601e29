"""The gate: each event once, in order, whatever comes."""

from threading import Thread

import msgspec
import pytest

from shared.bus.inbox import ATTEMPTS_MAX, Inbox
from shared.contracts.envelope import Batch
from shared.errors import UnavailableError
from tests.support.bus import MemoryBeginner, MemoryConsumer, MemoryLog, MemoryReader, sequences


@pytest.fixture
def log() -> MemoryLog:
    made = MemoryLog()
    made.fill(40)
    return made


def test_a_message_that_continues_the_position_is_applied(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log]))

    assert inbox.receive(log.batch("all", 0, 10))
    assert inbox.receive(log.batch("all", view.positions[log.source], 10))

    assert view.of(log.source) == sequences(log)[:20]
    assert inbox.counts.applied == 20


def test_a_message_that_came_before_is_dropped(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log]))
    inbox.receive(log.batch("all", 0, 10))

    assert inbox.receive(log.batch("all", 0, 10))

    assert view.of(log.source) == sequences(log)[:10]
    assert inbox.counts.dropped == 10


def test_a_message_that_overlaps_is_applied_from_the_position_on(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log]))
    inbox.receive(log.batch("all", 0, 10))

    assert inbox.receive(log.batch("all", 0, 15))

    assert view.of(log.source) == sequences(log)[:15]


def test_a_message_beyond_a_gap_is_not_applied_but_pulled(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log], limit=7))

    assert not inbox.receive(log.batch("all", sequences(log)[9], 10))
    assert view.applied == []
    inbox.catch_up(log.source)

    assert view.of(log.source) == sequences(log)
    assert inbox.counts.gaps == 1


def test_a_head_beyond_the_position_tells_of_a_lost_tail(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log]))
    head = Batch(log.source, "all", log.head("all"), log.head("all"), [])

    assert not inbox.receive(head)
    inbox.catch_up(log.source)
    assert inbox.receive(head)

    assert view.of(log.source) == sequences(log)


def two_logs() -> list[MemoryLog]:
    made = [MemoryLog(), MemoryLog(partition=1)]
    for log in made:
        log.fill(20)
    return made


def test_messages_of_several_sources_are_under_way_at_once_where_the_consumer_can():
    logs, able, plain = two_logs(), MemoryBeginner(), MemoryConsumer(name="plain")
    inbox = Inbox([able, plain], MemoryReader(logs))

    assert inbox.receive_all([log.batch("all", 0, 20) for log in logs]) == set()

    assert (able.most_under_way, able.under_way) == (2, 0)
    for log in logs:
        assert able.of(log.source) == plain.of(log.source) == sequences(log)


def test_of_several_messages_the_one_that_lacks_something_is_told_and_the_others_applied():
    logs, able = two_logs(), MemoryBeginner()
    inbox = Inbox([able], MemoryReader(logs))
    beyond = logs[1].batch("all", sequences(logs[1])[4], 10)

    assert inbox.receive_all([logs[0].batch("all", 0, 20), beyond]) == {logs[1].source}

    assert able.of(logs[0].source) == sequences(logs[0])
    assert able.of(logs[1].source) == []


def test_an_event_that_fails_among_several_messages_is_parked_alone():
    logs = two_logs()
    poison = sequences(logs[1])[7]
    able = MemoryBeginner(
        fails_on=lambda event: event.source == logs[1].source and int(event.sequence) == poison
    )
    inbox = Inbox([able], MemoryReader(logs), pause_s=0.001)

    assert inbox.receive_all([log.batch("all", 0, 20) for log in logs]) == set()

    assert [sequence for _, sequence, error in able.parked if error != "behind"] == [poison]
    assert able.of(logs[0].source) == sequences(logs[0])
    assert able.positions == {log.source: log.head("all") for log in logs}


def test_while_a_consumer_is_away_all_messages_wait_and_none_is_applied_twice():
    logs, able = two_logs(), MemoryBeginner()
    inbox = Inbox([able], MemoryReader(logs))
    batches = [log.batch("all", 0, 20) for log in logs]
    able.away = True
    with pytest.raises(UnavailableError):
        inbox.receive_all(batches)
    able.away = False

    assert inbox.receive_all(batches) == inbox.receive_all(batches) == set()

    for log in logs:
        assert able.of(log.source) == sequences(log)


def test_a_strangers_message_is_counted_and_dropped(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log]))
    stranger = MemoryLog(bank_id="other")
    stranger.fill(3)
    earlier_epoch = MemoryLog(epoch=0)
    earlier_epoch.fill(3)

    assert inbox.receive(stranger.batch("all", 0, 3))
    assert inbox.receive(earlier_epoch.batch("all", 0, 3))

    assert view.applied == []
    assert inbox.counts.foreign_messages == 2


def test_a_message_whose_events_are_no_chain_is_dropped(log):
    view = MemoryConsumer()
    inbox = Inbox([view], MemoryReader([log]))
    whole = log.batch("all", 0, 10)
    holed = msgspec.structs.replace(whole, events=whole.events[:4] + whole.events[5:])

    assert not inbox.receive(holed)

    assert view.applied == []
    assert inbox.counts.malformed_messages == 1


def test_a_lane_reaches_only_its_consumers(log):
    view, saga = MemoryConsumer(), MemoryConsumer(name="saga", lane="sagas")
    inbox = Inbox([view, saga], MemoryReader([log]))

    inbox.receive(log.batch("sagas", 0, 100))
    assert view.applied == []
    inbox.level()

    assert saga.of(log.source) == sequences(log, "sagas")
    assert view.of(log.source) == sequences(log)


def test_consumers_at_different_positions_each_get_what_they_lack(log):
    old, new = MemoryConsumer(name="old"), MemoryConsumer(name="new")
    Inbox([old], MemoryReader([log])).receive(log.batch("all", 0, 30))
    inbox = Inbox([old, new], MemoryReader([log]))

    assert inbox.position(log.source, "all") == 0
    assert inbox.receive(log.batch("all", 0, 40))

    assert old.of(log.source) == new.of(log.source) == sequences(log)


def test_a_poison_event_is_parked_after_five_attempts_and_blocks_its_account_alone(log):
    poison = sequences(log)[13]
    view = MemoryConsumer(fails_on=lambda event: int(event.sequence) == poison)
    inbox = Inbox([view], MemoryReader([log]))

    assert inbox.receive(log.batch("all", 0, 40))

    account = dict(log.lane("all"))[poison]
    behind = [at for at, subject in log.lane("all") if subject == account and at >= poison]
    assert view.attempts == ATTEMPTS_MAX
    assert view.tries == [poison] * ATTEMPTS_MAX
    assert view.parked[0] == (account, poison, f"ValueError: cannot handle {log.source}/{poison}")
    assert [at for _, at, _ in view.parked] == behind
    assert view.of(log.source) == [at for at in sequences(log) if at not in behind]
    assert view.positions[log.source] == log.head("all")


def test_an_event_that_fails_for_a_while_is_not_parked(log):
    failures = iter([True] * 6)
    view = MemoryConsumer(
        fails_on=lambda event: event.subject == "account-3" and next(failures, False)
    )
    inbox = Inbox([view], MemoryReader([log]))

    inbox.receive(log.batch("all", 0, 40))

    assert view.parked == []
    assert view.of(log.source) == sequences(log)


def test_a_consumer_that_is_away_never_counts_as_a_failure(log):
    view = MemoryConsumer(away=True)
    inbox = Inbox([view], MemoryReader([log]))
    for _ in range(ATTEMPTS_MAX * 2):
        with pytest.raises(UnavailableError):
            inbox.receive(log.batch("all", 0, 40))
    view.away = False

    inbox.receive(log.batch("all", 0, 40))

    assert view.parked == []
    assert view.of(log.source) == sequences(log)


def test_one_consumer_that_is_away_does_not_hold_up_another(log):
    away, view = MemoryConsumer(name="away", away=True), MemoryConsumer()
    inbox = Inbox([away, view], MemoryReader([log]))

    with pytest.raises(UnavailableError):
        inbox.receive(log.batch("all", 0, 40))

    assert view.of(log.source) == sequences(log)


def test_level_goes_on_with_other_sources_when_one_fails():
    class HalfAway(MemoryReader):
        def head(self, source, lane):
            if source == broken.source:
                raise UnavailableError("this log is away")
            return super().head(source, lane)

    broken, sound = MemoryLog(partition=0), MemoryLog(partition=1)
    for log in (broken, sound):
        log.fill(10)
    view = MemoryConsumer()

    with pytest.raises(UnavailableError):
        Inbox([view], HalfAway([broken, sound])).level()

    assert view.of(sound.source) == sequences(sound)


def test_receiving_and_pulling_at_once_apply_each_event_once(log):
    log.fill(960)
    view = MemoryConsumer(pause_s=0.001)
    inbox = Inbox([view], MemoryReader([log], limit=7))

    def deliver() -> None:
        at = 0
        while at < log.head("all"):
            batch = log.batch("all", at, 11)
            inbox.receive(batch)
            at = batch.sequence

    threads = [Thread(target=deliver) for _ in range(2)]
    threads += [Thread(target=inbox.catch_up, args=[log.source]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inbox.level()

    assert view.of(log.source) == sequences(log)
    assert view.overlaps == 0
    assert view.parked == []
