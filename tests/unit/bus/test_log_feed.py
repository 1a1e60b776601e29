"""Following logs without a broker, and keeping level beside one."""

import time
from threading import Event, Thread

import pytest

from shared.bus.inbox import Inbox
from shared.bus.levelling import Leveller
from shared.bus.log_feed import LogFeed
from tests.support.bus import MemoryConsumer, MemoryLog, MemoryReader, sequences, wait_for


@pytest.fixture
def stop():
    event = Event()
    yield event
    event.set()


def start(target) -> Thread:
    thread = Thread(target=target)
    thread.start()
    return thread


def test_consumers_follow_every_log_as_it_grows(stop):
    logs = [MemoryLog(partition=number) for number in range(3)]
    view, saga = MemoryConsumer(), MemoryConsumer(name="saga", lane="sagas")
    reader = MemoryReader(logs)
    start(LogFeed(Inbox([view, saga], reader), reader, stop).run)
    for log in logs:
        log.fill(600)

    assert wait_for(lambda: all(view.of(log.source) == sequences(log) for log in logs))
    assert wait_for(lambda: all(saga.of(log.source) == sequences(log, "sagas") for log in logs))
    logs[1].add("late", sagas=True)
    assert wait_for(lambda: view.of(logs[1].source) == sequences(logs[1]))


def test_a_feed_goes_on_after_producer_and_database_were_away(stop):
    log, view = MemoryLog(), MemoryConsumer(away=True)
    log.fill(20)
    reader = MemoryReader([log])
    reader.away = True
    start(LogFeed(Inbox([view], reader), reader, stop).run)
    time.sleep(0.3)
    reader.away = False
    time.sleep(0.3)
    view.away = False

    assert wait_for(lambda: view.of(log.source) == sequences(log))
    assert view.parked == []


def test_a_feed_ends_within_two_seconds_of_the_stop(stop):
    log = MemoryLog()
    reader = MemoryReader([log])
    thread = start(LogFeed(Inbox([MemoryConsumer()], reader), reader, stop).run)
    time.sleep(0.2)

    began = time.monotonic()
    stop.set()
    thread.join(5)

    assert not thread.is_alive()
    assert time.monotonic() - began < 2


def test_an_idle_feed_does_not_spin(stop):
    reader = MemoryReader([MemoryLog()])
    start(LogFeed(Inbox([MemoryConsumer()], reader), reader, stop).run)
    time.sleep(1.0)

    assert reader.reads <= 3


def test_the_leveller_pulls_at_start_and_when_woken(stop):
    log, view = MemoryLog(), MemoryConsumer()
    log.fill(10)
    reader = MemoryReader([log])
    leveller = Leveller(Inbox([view], reader), reader, stop)
    thread = start(leveller.run)
    assert wait_for(lambda: view.of(log.source) == sequences(log))
    log.fill(5)
    assert not wait_for(lambda: view.of(log.source) == sequences(log), 0.3)

    leveller.wake(log.source)

    assert wait_for(lambda: view.of(log.source) == sequences(log))
    stop.set()
    thread.join(2)
    assert not thread.is_alive()


def test_a_wake_that_fails_is_not_forgotten(stop):
    log, view = MemoryLog(), MemoryConsumer()
    log.fill(10)
    reader = MemoryReader([log])
    leveller = Leveller(Inbox([view], reader), reader, stop)
    start(leveller.run)
    assert wait_for(lambda: view.of(log.source) == sequences(log))
    log.fill(5)
    reader.away = True
    leveller.wake()
    time.sleep(0.3)
    reader.away = False

    assert wait_for(lambda: view.of(log.source) == sequences(log), 4)
