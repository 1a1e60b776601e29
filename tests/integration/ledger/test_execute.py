"""The SQL path: a real partition decides, stores and answers exactly as the batches in memory."""

from typing import Any

import msgspec
import pytest

from services.ledger.codec import decode_event, encode
from services.ledger.domain.commands import Buy, Transfer, Usage
from tests.support.ledger import MIB, kept
from tests.support.ledger_story import opening, tell
from tests.support.memory import CALENDAR, MemoryBank


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_real_partition_equals_the_one_in_memory(ledger, seed):
    memory = MemoryBank(2)
    for step, (now, batch) in enumerate(tell(seed)):
        memory.clock.at = ledger.clock.at = now
        assert encode(ledger.do(*batch)) == encode(memory.do(*batch))
        if step % 3 == 0:
            ledger.settle()
            settle_alike(memory)
    ledger.settle()
    settle_alike(memory)

    for partition in memory.partitions:
        assert real_log(ledger, partition.number) == [
            (*row[:3], without_cause(row[2], row[3])) for row in partition.log
        ]
        assert real_states(ledger, partition.number) == partition.states
        assert real_keys(ledger, partition.number) == {
            key: (row.body, row.stream, row.version, row.events)
            for key, row in partition.keys.items()
        }
    assert ledger.verified()["events"] == sum(len(each.log) for each in memory.partitions) > 500


def settle_alike(memory: MemoryBank) -> None:
    """Let everything arrive in the order in which a real ledger's `settle` delivers it."""
    before = -1
    while (after := sum(len(each.log) for each in memory.partitions)) != before:
        before = after
        for source, origin in enumerate(memory.partitions):
            for target in range(len(memory.partitions)):
                if origin.log:
                    memory.deliver(target, source, len(origin.log) - 1)


def without_cause(topic: str, state: bytes) -> Any:
    """Return a stored event without the one field that memory has no use for."""
    return msgspec.structs.replace(decode_event(topic, state), causation_id="")


def real_log(ledger: Any, number: int) -> list[Any]:
    rows = ledger.rows(
        number,
        "SELECT originator_id, originator_version, topic, state FROM stored_events"
        " ORDER BY notification_id",
    )
    return [
        (i.bytes, version, topic, without_cause(topic, state)) for i, version, topic, state in rows
    ]


def real_states(ledger: Any, number: int) -> dict[bytes, tuple[int, bytes]]:
    rows = ledger.rows(number, "SELECT id, version, state FROM account_state")
    return {row[0].bytes: (row[1], row[2]) for row in rows}


def real_keys(ledger: Any, number: int) -> dict[bytes, Any]:
    rows = ledger.rows(number, "SELECT key, body, stream, version, events FROM command_keys")
    return {row[0]: (row[1], row[2].bytes, row[3], row[4]) for row in rows}


def test_a_repeat_gets_the_first_outcome_in_the_same_batch_and_later(ledger):
    ledger.do(*opening())
    gift = Transfer(key="g", account="person-0", to="person-1", bytes=MIB)
    first, again = ledger.do(gift, gift)
    (later,) = ledger.do(gift)

    assert [first.repeated, again.repeated, later.repeated] == [False, True, True]
    assert kept(first) == kept(again) == kept(later)
    assert ledger.ledger.account("person-0")[0].transferred == MIB


def test_a_refusal_sinks_nobody_else_and_leaves_its_key_free(ledger):
    ledger.do(*opening())
    too_much = Transfer(key="g", account="person-0", to="person-1", bytes=40 * MIB)
    refused, done = ledger.do(
        too_much, Transfer(key="h", account="person-0", to="person-1", bytes=1)
    )
    assert (refused.code, done.status) == ("insufficient_data", "done")

    ledger.do(Buy(key="b", account="person-0", bytes=20 * MIB))
    assert ledger.do(too_much)[0].status == "done"


def test_usage_shares_events_of_at_most_200_lines(ledger):
    ledger.do(*opening())
    at = ledger.clock.now()
    records = [
        Usage(usage_id=f"u{n}", account="person-0", bytes=MIB, occurred_at=at) for n in range(450)
    ]
    outcomes = ledger.do(*records)

    assert [o.spent_bytes for o in outcomes] == [MIB] * 30 + [0] * 420
    events = ledger.ledger.partition_for("person-0").account_events("person-0", 0, 100)
    topics = [topic for _, topic, _ in events]
    assert topics.count("bank.ledger.data_spent.v1") == 3
    assert [kept(o) for o in ledger.do(*records)] == [kept(o) for o in outcomes]
    ledger.verified()


def test_an_old_clock_never_writes_before_the_logs_last_event(ledger):
    ledger.do(*opening())
    ledger.at("2015-08-10T11:00:00+08:00")
    ledger.do(Buy(key="late", account="person-0", bytes=1))

    number = ledger.ledger.partition_for("person-0").number
    instants = {event.recorded_at for *_, event in real_log(ledger, number)}
    assert instants == {CALENDAR.parse("2015-08-10T12:00:00+08:00")}
    ledger.verified()
