"""The bus on a real RabbitMQ: whatever dies or gets lost, each event is applied once, in order."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pika
import pytest

from shared.bus.rabbit import RabbitPublisher
from shared.bus.topology import Topology, bank_topology
from shared.contracts.envelope import BATCH_CONTENT_TYPE
from shared.errors import UnavailableError
from tests.support.bus import MemoryLog, MemoryReader, wait_for
from tests.support.rabbit import Broker
from tests.support.rabbit_bank import Follower, RabbitBank, total

# Generous: a busy machine with two cores starts a broker in 10 to 40 s.
WAIT_S = 60


@pytest.fixture
def make_bank() -> Iterator[Callable[..., RabbitBank]]:
    """Makes banks on a broker; they are ended, and removed from it, after the test."""
    made: list[RabbitBank] = []

    def make(url: str, name: str, topology: Topology | None = None) -> RabbitBank:
        made.append(RabbitBank(url, name, topology))
        return made[-1]

    yield make
    for bank in made:
        bank.end()


@pytest.fixture
def bank(amqp_url: str, bank_id: str, make_bank: Callable[..., RabbitBank]) -> RabbitBank:
    return make_bank(amqp_url, bank_id)


@pytest.fixture
def doomed_bank(
    private_broker: Broker, bank_id: str, make_bank: Callable[..., RabbitBank]
) -> RabbitBank:
    """A bank on a broker of its own that the test may kill (it must run again at the end)."""
    return make_bank(private_broker.url, bank_id)


def test_everything_arrives_through_the_broker_alone(bank):
    followers = bank.follow()
    bank.relay()
    bank.fill(1)
    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)
    pulled = (total(followers, "gaps"), bank.reader.reads)
    bank.fill(10_000)

    assert wait_for(bank.is_level, WAIT_S)
    assert (total(followers, "gaps"), bank.reader.reads) == pulled
    assert total(followers, "applied") == len(bank.view.applied) + len(bank.saga.applied)


def test_a_consumer_that_is_stopped_and_resumed_gets_what_waited(bank):
    bank.follow()
    bank.relay()
    bank.fill(500)
    assert wait_for(bank.is_level, WAIT_S)
    bank.end_followers()
    bank.fill(2_000)
    assert wait_for(bank.is_published, WAIT_S)
    assert not bank.is_level()

    began = time.monotonic()
    bank.follow()

    assert wait_for(bank.is_level, WAIT_S)
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)
    bank.end_followers()
    assert time.monotonic() - began < WAIT_S


def test_consumers_end_within_two_seconds_of_the_stop(bank):
    bank.follow()
    bank.relay()
    bank.fill(500)
    assert wait_for(bank.is_level, WAIT_S)

    began = time.monotonic()
    bank.end_followers()

    assert time.monotonic() - began < 2


def test_a_standby_takes_over_when_the_active_consumer_ends(bank):
    first, second = bank.follow()
    standby = Follower(bank.url, bank.topology, "gateway", [bank.view], bank.reader)
    bank.relay()
    bank.fill(500)
    assert wait_for(bank.is_level, WAIT_S)
    first.end()
    bank.fill(500)

    assert wait_for(bank.is_level, WAIT_S)
    assert total([standby], "applied") >= 1_000
    standby.end()
    second.end()
    bank.followers = []


def test_a_broker_killed_and_wiped_with_messages_queued_loses_nothing(doomed_bank, private_broker):
    bank = doomed_bank
    bank.follow()
    bank.relay()
    bank.fill(500)
    assert wait_for(bank.is_level, WAIT_S)
    bank.end_followers()
    bank.fill(5_000)
    assert wait_for(bank.is_published, WAIT_S)
    assert bank.waiting("gateway") > 0

    private_broker.kill()
    private_broker.wipe()
    bank.follow()
    private_broker.start()

    assert wait_for(bank.is_level, WAIT_S)
    bank.fill(500)
    assert wait_for(bank.is_level, WAIT_S)
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)


def test_a_broker_killed_and_wiped_under_running_consumers_loses_nothing(
    doomed_bank, private_broker
):
    bank = doomed_bank
    bank.follow()
    bank.relay()
    bank.fill(500)
    assert wait_for(bank.is_level, WAIT_S)
    # The database is away, so messages pile up in front of running consumers.
    bank.view.away = bank.saga.away = True
    bank.fill(5_000)
    assert wait_for(bank.is_published, WAIT_S)

    private_broker.kill()
    private_broker.wipe()
    bank.view.away = bank.saga.away = False
    private_broker.start()

    assert wait_for(bank.is_level, WAIT_S)
    bank.fill(500)
    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)


def test_a_broker_killed_while_publishing_loses_nothing(doomed_bank, private_broker):
    bank = doomed_bank
    bank.follow()
    bank.relay()
    bank.fill(300)
    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)
    # RabbitMQ 3.10 forgets the leaders of queues that are younger than that.
    time.sleep(5)
    bank.fill(6_000)
    time.sleep(0.2)
    private_broker.kill()
    bank.fill(500)
    private_broker.start()

    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)


@pytest.mark.slow
def test_queues_that_come_back_without_a_leader_are_made_anew(doomed_bank, private_broker):
    bank = doomed_bank
    bank.follow()
    bank.relay()
    bank.fill(300)
    # Killed right after the queues were made: they take messages and never confirm one.
    time.sleep(0.3)
    private_broker.kill()
    bank.fill(500)
    private_broker.start()

    assert wait_for(lambda: bank.is_level() and bank.is_published(), 2 * WAIT_S)
    bank.fill(100)
    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)


def test_a_relay_killed_between_confirm_and_position_costs_duplicates_only(bank, bank_id, tmp_path):
    bank.logs[0].fill(3_000)
    first, _ = bank.follow()
    positions = tmp_path / "positions"

    statuses = [run_relay_child(bank, bank_id, positions, kill_at) for kill_at in (2, 3, 0)]

    assert statuses == [-9, -9, 0]
    assert wait_for(bank.is_level, WAIT_S)
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)
    assert wait_for(lambda: total([first], "dropped") >= 500, 5)


def run_relay_child(bank: RabbitBank, bank_id: str, positions: Path, kill_at: int) -> int:
    environment = {
        **os.environ,
        "AMQP_URL": bank.url,
        "BANK_ID": bank_id,
        "EVENTS": "3000",
        "POSITIONS": str(positions),
        "KILL_AT": str(kill_at),
    }
    root = Path(__file__).parents[2]
    child = [sys.executable, "-m", "tests.support.relay_child"]
    return subprocess.run(child, env=environment, cwd=root, timeout=90, check=False).returncode


def test_a_message_that_no_queue_wants_stays_with_the_relay(amqp_url, bank_id, make_bank):
    nobody = Topology(bank_id, {})
    bank = make_bank(amqp_url, bank_id, nobody)
    bank.fill(10)
    bank.relay()

    assert not wait_for(bank.is_published, 1)
    assert bank.states[0].positions == {}
    with (
        closing(RabbitPublisher(amqp_url, nobody)) as publisher,
        pytest.raises(UnavailableError, match="no queue wants"),
    ):
        publisher.publish(bank.logs[0].page("all", 0, 10))
    bank.topology = bank_topology(bank_id, 1)
    bank.follow()

    assert wait_for(lambda: bank.is_published() and bank.is_level(), WAIT_S)


def test_a_queue_that_somebody_removed_is_made_again(bank):
    bank.follow()
    bank.relay()
    bank.fill(100)
    assert wait_for(bank.is_level, WAIT_S)
    with pika.BlockingConnection(pika.URLParameters(bank.url)) as connection:
        for queue in ("gateway", "ledger.00"):
            connection.channel().queue_delete(bank.topology.queue(queue))
    bank.fill(100)

    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)


def test_foreign_and_malformed_messages_are_dropped_and_hold_up_nothing(bank):
    gateway, _ = bank.follow()
    foreign = MemoryLog("other")
    foreign.fill(3)
    page = foreign.page("all", 0, 3)
    headers = {
        "source": foreign.source, "lane": "all", "previous": "0", "sequence": str(page.sequence),
    }  # fmt: skip
    for _ in range(3):
        bank.publish("ledger.00.all", page.body, BATCH_CONTENT_TYPE, headers)
    bank.publish("ledger.00.all", b"{", BATCH_CONTENT_TYPE, headers)
    bank.publish("ledger.00.all", b"not from a relay", "text/plain", {})
    bank.relay()
    bank.fill(100)

    assert wait_for(bank.is_level, WAIT_S)
    assert gateway.inbox.counts.foreign_messages == 3
    assert gateway.inbox.counts.malformed_messages == 2
    assert {source for source, _ in bank.view.applied} == {log.source for log in bank.logs}
    assert wait_for(lambda: bank.waiting("gateway") == 0, 5)


def test_a_message_that_is_lost_is_pulled_at_once(bank):
    followers = bank.follow()
    bank.relay()
    bank.fill(100)
    assert wait_for(lambda: bank.is_level() and bank.is_published(), WAIT_S)
    # As if the broker had lost these: the relay has been told that they were confirmed.
    bank.end_relays()
    bank.fill(600)
    for log, state in zip(bank.logs, bank.states, strict=True):
        state.positions = {lane: log.head(lane) for lane in ("all", "sagas")}

    began = time.monotonic()
    bank.relay()

    assert wait_for(bank.is_level, WAIT_S)
    assert time.monotonic() - began < 5
    assert total(followers, "gaps") >= 2


def test_a_full_queue_drops_its_oldest_and_the_consumer_pulls(amqp_url, bank_id, make_bank):
    small = Topology(bank_id, bank_topology(bank_id, 1).queues, queue_bytes_max=500_000)
    bank = make_bank(amqp_url, bank_id, small)
    bank.relay()
    bank.fill(8_000)
    assert wait_for(bank.is_published, WAIT_S)
    assert bank.waiting("gateway") < 10

    bank.follow()

    assert wait_for(bank.is_level, WAIT_S)


def test_banks_share_a_broker_without_meeting(amqp_url, bank, bank_id, make_bank):
    other = make_bank(amqp_url, bank_id[::-1] + "x")
    for one in (bank, other):
        one.follow()
        one.relay()
        one.fill(300)

    assert wait_for(lambda: bank.is_level() and other.is_level(), WAIT_S)
    foreign = total([*bank.followers, *other.followers], "foreign_messages")
    assert foreign == 0


def test_a_reader_that_is_away_at_the_start_costs_nothing_but_time(bank):
    class Away(MemoryReader):
        known = False

        def sources(self):
            if not self.known:
                raise UnavailableError("nobody has told the sources yet")
            return super().sources()

    bank.reader = Away(bank.logs)
    bank.follow()
    bank.relay()
    bank.fill(300)
    assert wait_for(bank.is_published, WAIT_S)
    assert bank.view.applied == []
    bank.reader.known = True

    assert wait_for(bank.is_level, WAIT_S)


@pytest.mark.slow
def test_a_broker_that_falls_silent_is_noticed_and_left(doomed_bank, private_broker):
    bank = doomed_bank
    bank.follow()
    bank.relay()
    bank.fill(100)
    assert wait_for(bank.is_level, WAIT_S)
    private_broker.pause()
    bank.fill(100)
    # The net under the broker: heads are compared every 10 s, and the log is pulled.
    try:
        assert wait_for(bank.is_level, 25)
    finally:
        private_broker.resume()
    bank.fill(100)

    assert wait_for(lambda: bank.is_level() and bank.is_published(), 60)
