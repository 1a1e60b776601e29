"""The log is only added to, what is changed behind its back is found, and replay is the state."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

from services.ledger.codec import encode
from services.ledger.domain.account import STATE_FORMAT
from services.ledger.domain.commands import Buy, OpenAccount, Transfer, Usage
from services.ledger.verification import verify_partition
from shared.ids import stream_id
from tests.support.ledger import MIB, LedgerChild, as_admin
from tests.support.ledger_story import tell
from tests.support.memory import OPERATOR

CHANGES = [
    "UPDATE {t} SET state = state",
    "UPDATE {t} SET topic = 'x' WHERE false",
    "DELETE FROM {t}",
    "DELETE FROM {t} WHERE false",
    "TRUNCATE {t}",
    """INSERT INTO {t} SELECT * FROM {t} ON CONFLICT (originator_id, originator_version)
       DO UPDATE SET state = excluded.state""",
    """MERGE INTO {t} a USING {t} b ON a.notification_id = b.notification_id
       WHEN MATCHED THEN DELETE""",
]
FORBIDDEN = [
    "DROP TABLE {t}",
    "ALTER TABLE {t} DISABLE TRIGGER ALL",
    "DROP TRIGGER stored_events_append_only ON {t}",
    "CREATE TABLE ledger_00.more (a int)",
    "SELECT setval('ledger_00.stored_events_notification_id_seq', 1)",
    "UPDATE ledger_00.command_keys SET events = 0",
    "DELETE FROM ledger_00.command_keys",
    "SET session_replication_role = replica",
]


@pytest.fixture
def told(ledger):
    """A ledger on one partition with a few accounts; ann's events are not the log's first ones."""
    ledger.do(
        OpenAccount(key="o", account="bob", plan="std-30mb"),
        OpenAccount(key="o", account="ann", plan="std-30mb"),
        *(Buy(key=f"b{n}", account="ann", bytes=1000 + n) for n in range(3)),
        Usage(usage_id="u", account="ann", bytes=777, occurred_at=ledger.clock.now()),
        Transfer(key="t", account="ann", to="bob", bytes=MIB),
        Transfer(key="lost", account="ann", to="nobody", bytes=5),
    )
    ledger.settle()
    ledger.verified()
    return ledger


@pytest.mark.parametrize("statement", CHANGES)
def test_no_event_is_changed_by_anybody(told, ledger_url, admin_url, statement):
    before = told.rows(0, "SELECT * FROM stored_events ORDER BY notification_id")
    for url in (ledger_url, admin_url):
        with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.format(t="ledger_00.stored_events"))
    assert told.rows(0, "SELECT * FROM stored_events ORDER BY notification_id") == before


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_service_role_may_not_remove_what_guards_the_log(told, ledger_url, statement):
    with psycopg.connect(ledger_url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement.format(t="ledger_00.stored_events"))


def partition_and_row(told: Any, account: str) -> tuple[int, str]:
    """Return where an account lives: its partition's number, and its stream as SQL."""
    number = told.ledger.partition_for(account).number
    return number, f"originator_id = '{stream_id(account).hex()}'"


def difference(told: Any) -> dict[str, Any]:
    """Return the first difference that verify finds; there must be one."""
    found = [list(verify_partition(partition))[-1] for partition in told.partitions]
    differences = [report["first_difference"] for report in found if report["first_difference"]]
    assert len(differences) == 1
    named: dict[str, Any] = differences[0]
    json.dumps(named)
    return named


def test_a_changed_byte_in_an_event_is_found_and_named(told, admin_url):
    number, where = partition_and_row(told, "ann")
    rows = told.rows(
        number, f"SELECT notification_id, state FROM stored_events WHERE {where} ORDER BY 1"
    )
    sequence, state = next(row for row in rows if b'"granted":1001' in row[1])
    at = state.index(b"1001") + 3
    as_admin(
        admin_url,
        f"UPDATE ledger_0{number}.stored_events SET state = set_byte(state, {at}, 50)"
        f" WHERE notification_id = {sequence}",
    )
    found = difference(told)
    assert (found["account"], found["field"]) == ("ann", "state")


@pytest.mark.parametrize("byte", [0, 34, 255])
def test_an_event_that_is_no_longer_readable_is_found_and_named(told, admin_url, byte):
    number, where = partition_and_row(told, "ann")
    as_admin(
        admin_url,
        f"UPDATE ledger_0{number}.stored_events SET state = set_byte(state, 1, {byte ^ 1})"
        f" WHERE {where} AND originator_version = 3",
    )
    found = difference(told)
    expected = told.rows(
        number,
        f"SELECT notification_id FROM stored_events WHERE {where} AND originator_version = 3",
    )
    assert (found["field"], found["sequence"]) == ("event", expected[0][0])


@pytest.mark.parametrize("version", [1, 3, 7, "last"])
def test_a_missing_event_is_found_and_named(told, admin_url, version):
    number, where = partition_and_row(told, "ann")
    last = told.ledger.account("ann")[1]
    as_admin(
        admin_url,
        f"DELETE FROM ledger_0{number}.stored_events"
        f" WHERE {where} AND originator_version = {last if version == 'last' else version}",
    )
    found = difference(told)
    assert (found["account"], found["field"]) == ("ann", "version")


def test_swapped_events_are_found(told, admin_url):
    number, where = partition_and_row(told, "ann")
    table = f"ledger_0{number}.stored_events"
    as_admin(
        admin_url,
        f"UPDATE {table} SET originator_version = -1 WHERE {where} AND originator_version = 3",
        f"UPDATE {table} SET originator_version = 3 WHERE {where} AND originator_version = 4",
        f"UPDATE {table} SET originator_version = 4 WHERE {where} AND originator_version = -1",
    )
    assert difference(told)["field"] == "version"


STATES = {
    "state": ("""UPDATE {t} SET state = replace(convert_from(state, 'UTF8'), '"spent":777',
              '"spent":778')::bytea WHERE account = 'ann'""", "ann"),
    "version": ("UPDATE {t} SET version = version + 1 WHERE account = 'ann'", "ann"),
    "accounts": ("DELETE FROM {t} WHERE account = 'ann'", "-"),
    "account": ("""INSERT INTO {t} SELECT gen_random_uuid(), 'eve', version, format, state
                FROM {t} WHERE account = 'ann'""", "eve"),
}  # fmt: skip


@pytest.mark.parametrize("field", STATES)
def test_a_changed_state_is_found_and_named(told, admin_url, field):
    statement, account = STATES[field]
    number, _ = partition_and_row(told, "ann")
    as_admin(admin_url, statement.format(t=f"ledger_0{number}.account_state"))
    found = difference(told)
    assert (found["account"], found["field"]) == (account, field)
    assert found["where"] == f"ledger_0{number}.account_state"


def test_a_state_of_another_format_is_folded_anew_when_it_is_needed(told, admin_url):
    number, _ = partition_and_row(told, "ann")
    table = f"ledger_0{number}.account_state"
    before, version = told.ledger.account("ann")
    as_admin(admin_url, f"UPDATE {table} SET format = 0, state = 'of an older release'")

    assert told.ledger.account("ann") == (before, version)
    told.verified()
    (outcome,) = told.do(Buy(key="more", account="ann", bytes=1))
    assert outcome.events[0].id == f"ann:{version + 1}"
    rows = told.rows(number, "SELECT format, state FROM account_state WHERE account = 'ann'")
    assert rows == [(STATE_FORMAT, encode(told.ledger.account("ann")[0]))]
    told.verified()


def test_closing_a_month_folds_states_of_another_format_too(told, admin_url):
    as_admin(
        admin_url,
        *(f"UPDATE ledger_0{n}.account_state SET format = 0, state = ''" for n in range(2)),
    )
    told.at("2015-09-02T00:00:00+08:00")
    result = list(told.ledger.close_month("2015-08", OPERATOR))[-1]
    assert result.sums.accounts == 2
    told.verified()


SURROUNDINGS = [("0", "UTC"), ("1", "America/New_York"), ("4711", "Pacific/Kiritimati")]


def test_replay_gives_the_same_bytes_whatever_the_hash_seed_and_the_time_zone(ledger, ledger_url):
    for now, commands in tell(steps=15):
        ledger.clock.at = now
        ledger.do(*commands)
        ledger.settle()
    answers = set()
    for seed, zone in SURROUNDINGS:
        child = LedgerChild(ledger_url, "replay", PYTHONHASHSEED=seed, TZ=zone)
        with closing(child):
            answers.add(child.hear())
    assert len(answers) == 1
    assert len(answers.pop()) == 2 * 64 + 1


def test_verify_is_clean_at_every_instant_while_writers_go_on(told):
    def write(name: str) -> None:
        for number in range(60):
            told.do(Buy(key=f"w{number}", account=name, bytes=1))

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, name) for name in ("ann", "bob")]
        looks = 0
        while looks < 3 or not all(writer.done() for writer in writers):
            told.verified()
            looks += 1
    assert told.verified()["events"] == 2 + 2 + 3 + 1 + 2 + 3 + 120
