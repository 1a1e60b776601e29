"""Keys, and messages as they look on the wire."""

import pika
import pytest

from shared.bus.rabbit import decode_message, joined
from shared.bus.topology import bank_topology, routing_key
from shared.contracts.envelope import BATCH_CONTENT_TYPE, HEAD_CONTENT_TYPE, Batch
from tests.support.bus import MemoryLog


def properties(content_type: str, **headers: str) -> pika.BasicProperties:
    return pika.BasicProperties(content_type=content_type, headers=headers)


def test_a_key_names_service_partition_and_lane():
    assert routing_key("ledger_02", "sagas") == "ledger.02.sagas"


def test_names_carry_the_bank_so_that_banks_share_a_broker():
    topology = bank_topology("8f3a", 2)

    assert topology.exchange == "databank.8f3a"
    assert topology.queue("gateway") == "databank.8f3a.gateway"
    assert sorted(topology.queues) == [
        "gateway",
        "gateway.gifts",
        "gifting.00",
        "ledger.00",
        "ledger.01",
        "tasks.00",
    ]


def test_a_batch_is_read_as_it_was_published():
    log = MemoryLog()
    log.fill(5)
    page = log.page("all", 0, 5)
    headers = {"source": log.source, "lane": "all", "previous": "0", "sequence": str(page.sequence)}

    batch = decode_message(properties(BATCH_CONTENT_TYPE, **headers), page.body)

    assert batch == log.batch("all", 0, 5)


def test_a_head_has_no_events():
    headers = {"source": "/b/1/ledger_00", "lane": "all", "previous": "7", "sequence": "7"}

    batch = decode_message(properties(HEAD_CONTENT_TYPE, **headers), b'{"head":"7"}')

    assert batch is not None
    assert (batch.previous, batch.sequence, batch.events) == (7, 7, [])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"[]"),
        ({"source": "s", "lane": "all", "previous": "x", "sequence": "1"}, b"[]"),
        ({"source": "s", "lane": "all", "previous": "0", "sequence": "1"}, b"{"),
        ({"source": "s", "lane": "all", "previous": "0", "sequence": "1"}, b'[{"a":1}]'),
        ({"source": "s", "lane": "all", "previous": "0", "sequence": "1"}, b"[]"),
    ],
)
def test_what_no_relay_publishes_is_malformed(headers, body):
    assert decode_message(properties(BATCH_CONTENT_TYPE, **headers), body) is None


def pages_of(log: MemoryLog, size: int) -> list[Batch]:
    pages = [log.batch("all", 0, size)]
    while pages[-1].sequence < log.head("all"):
        pages.append(log.batch("all", pages[-1].sequence, size))
    return pages


def test_messages_that_continue_each_other_are_applied_as_one():
    first, second = MemoryLog(partition=0), MemoryLog(partition=1)
    first.fill(6)
    second.fill(6)
    mixed = [
        page for both in zip(pages_of(first, 2), pages_of(second, 2), strict=True) for page in both
    ]

    assert len(mixed) == 6
    assert joined(mixed) == [first.batch("all", 0, 6), second.batch("all", 0, 6)]


def test_messages_that_do_not_continue_each_other_stay_apart_in_their_order():
    log = MemoryLog()
    log.fill(6)
    begin, _, end = pages_of(log, 2)

    assert joined([begin, begin, end]) == [begin, begin, end]


def test_a_head_behind_its_last_message_says_nothing_new():
    log = MemoryLog()
    log.fill(3)
    (page,) = pages_of(log, 3)
    head = Batch(page.source, "all", page.sequence, page.sequence, [])

    assert joined([page, head]) == [page]
    assert joined([head, head]) == [head]
