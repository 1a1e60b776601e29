"""Relay lock and positions, doorbell and parking on a real PostgreSQL."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection

from shared.bus import parking
from shared.bus.doorbell import POLL_S, Doorbell
from shared.bus.parking import BEHIND, Parked
from shared.bus.relay import SqlRelayState
from shared.contracts.envelope import LANES
from shared.db import connect
from shared.errors import UnavailableError
from tests.support.bus import MemoryLog, wait_for
from tests.support.database import Databases

SCHEMA = "ledger_03"


@pytest.fixture
def conn(databases: Databases) -> Iterator[Connection]:
    with connect(databases.ledger_url, schema=SCHEMA) as opened:
        opened.execute("DELETE FROM parked")
        opened.execute("DELETE FROM relay_positions")
        yield opened
        opened.execute("DELETE FROM parked")
        opened.execute("DELETE FROM relay_positions")


def kill_sessions(databases: Databases, channel: str) -> None:
    """End the sessions whose last statement contains some text, as a server's crash would."""
    with psycopg.connect(databases.admin_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE %s AND pid <> pg_backend_pid()",
            (f"%{channel}%",),
        )


def test_one_relay_at_a_time_holds_a_log(databases, conn):
    first = SqlRelayState(databases.ledger_url, SCHEMA)
    second = SqlRelayState(databases.ledger_url, SCHEMA)
    other_log = SqlRelayState(databases.ledger_url, "ledger_02")

    assert first.hold()
    assert first.hold()
    assert not second.hold()
    assert other_log.hold()
    first.close()
    assert wait_for(second.hold)

    for state in (second, other_log):
        state.close()


def test_positions_outlive_the_relay(databases, conn):
    first = SqlRelayState(databases.ledger_url, SCHEMA)
    first.hold()
    assert [first.get(lane) for lane in LANES] == [0, 0]
    first.set("all", 7)
    first.set("all", 12)
    first.set("sagas", 5)
    first.close()

    second = SqlRelayState(databases.ledger_url, SCHEMA)
    assert wait_for(second.hold)

    assert [second.get(lane) for lane in LANES] == [12, 5]
    second.close()


def test_a_relay_that_lost_its_session_stores_nothing(databases, conn):
    state = SqlRelayState(databases.ledger_url, SCHEMA)
    state.hold()
    state.set("all", 7)
    kill_sessions(databases, "INSERT INTO relay_positions")

    with pytest.raises(UnavailableError):
        state.set("all", 8)
    with pytest.raises(UnavailableError, match="does not hold"):
        state.set("all", 9)

    assert wait_for(state.hold)
    assert state.get("all") == 7
    state.close()


def test_a_doorbell_wakes_all_who_wait_and_remembers_who_looked_before(databases, conn):
    bell = Doorbell(databases.ledger_url, "test_rings")
    bell.start()
    assert wait_for(lambda: bell.rings > 0)
    seen, woken = bell.rings, []
    waiters = [
        threading.Thread(target=lambda: woken.append(bell.wait(5, since=seen))) for _ in range(3)
    ]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.1)

    began = time.monotonic()
    conn.execute("NOTIFY test_rings")
    for waiter in waiters:
        waiter.join(5)

    assert woken == [True] * 3
    assert time.monotonic() - began < 1
    assert bell.wait(5, since=seen)
    assert not bell.wait(0.3, since=bell.rings)
    bell.stop()


def test_a_doorbell_that_lost_its_server_polls_and_rings_again_later(databases, conn):
    bell = Doorbell(databases.ledger_url, "test_lost")
    assert not bell.wait(30, since=bell.rings)
    bell.start()
    assert wait_for(lambda: bell.rings > 0)
    kill_sessions(databases, 'LISTEN "test_lost"')

    def rings_again() -> bool:
        seen = bell.rings
        conn.execute("NOTIFY test_lost")
        return bell.wait(POLL_S, since=seen)

    time.sleep(0.7)
    assert wait_for(rings_again)
    bell.stop()


def test_later_events_of_an_account_wait_behind_its_parked_one(conn):
    log = MemoryLog()
    log.fill(30, subjects=3)
    batch = log.batch("all", 0, 30)
    with conn.transaction(), conn.cursor() as cursor:
        parking.park(cursor, "view", batch.events[0], "it broke", 5, at=1_000)
        free = parking.park_behind(cursor, "view", batch, at=2_000)
        again = parking.park_behind(cursor, "view", batch, at=3_000)
        other = parking.park_behind(cursor, "other", batch, at=2_000)

    assert {event.subject for event in free} == {"account-1", "account-2"}
    assert again == free
    assert other == batch.events
    with conn.cursor() as cursor:
        waiting = parking.list_parked(cursor)
        assert parking.count_parked(cursor) == len(waiting) == 10
    assert waiting[0] == Parked(
        "view", log.source, 1 + 1, "account-0", batch.events[0], "it broke", 5, 1_000
    )
    assert {parked.error for parked in waiting[1:]} == {BEHIND}
    assert [parked.sequence for parked in waiting] == sorted(
        int(event.sequence) for event in batch.events if event.subject == "account-0"
    )


def test_a_retry_takes_an_accounts_events_in_order_until_one_fails(conn):
    log = MemoryLog()
    log.fill(9, subjects=3)
    batch = log.batch("all", 0, 9)
    with conn.transaction(), conn.cursor() as cursor:
        for event in batch.events:
            parking.park(cursor, "view", event, "it broke", 5, at=1)

    with conn.transaction(), conn.cursor() as cursor:
        first, second, third = parking.take_for_retry(cursor, "view", "account-1")
        parking.unpark(cursor, [first])
        parking.failed_again(cursor, second, "still broken")

    with conn.cursor() as cursor:
        left = parking.take_for_retry(cursor, "view", "account-1")
        assert [(parked.sequence, parked.error, parked.attempts) for parked in left] == [
            (second.sequence, "still broken", 6),
            (third.sequence, "it broke", 5),
        ]
        assert parking.parked_accounts(cursor, "view") == {f"account-{n}" for n in range(3)}
        assert parking.list_parked(cursor, ["nobody"]) == []
