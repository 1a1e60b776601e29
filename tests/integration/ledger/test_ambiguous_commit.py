"""A connection that dies at its COMMIT: retried inside, applied once, answered as at first."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from services.ledger import application
from services.ledger.domain.commands import (
    Adjust,
    AnyCommand,
    Award,
    Buy,
    ChangePlan,
    ClawBack,
    CloseAccount,
    CloseMonth,
    Fund,
    Hold,
    OpenAccount,
    Post,
    Release,
    Resume,
    Reverse,
    Suspend,
    Touch,
    Transfer,
    Usage,
)
from services.ledger.items import Item
from services.ledger.partition import ATTEMPTS_MAX
from shared.bus.inbox import Inbox
from shared.bus.readers import Readers
from shared.contracts.gifting import GiftOffered
from shared.errors import UnavailableError
from tests.support.fault_proxy import Cut, FaultProxy
from tests.support.gifting import SOURCE, GiftingLog
from tests.support.ledger import MIB, kept
from tests.support.memory import OPERATOR

ROUNDS = 16
HOLD_ROUNDS = 4
LEDGER = "/bank/1/ledger_00"


@pytest.fixture
def proxy(server):
    made = FaultProxy(server.socket)
    yield made
    made.close()


@pytest.fixture
def ledger(make_ledger, ledger_url, proxy):
    """A ledger whose connections pass through the proxy."""
    url = make_conninfo(ledger_url, host="127.0.0.1", port=proxy.port)
    made = make_ledger(url=url, partitions=1)
    made.do(
        OpenAccount(key="o", account="ann", plan="std-1gb", active_from="2015-07"),
        OpenAccount(key="o", account="bob", plan="std-1gb"),
        OpenAccount(key="o", account="partner:didi"),
        OpenAccount(key="o", account="campaign:ride", partner="partner:didi"),
        Buy(key="b", account="partner:didi", bytes=100 * MIB),
        Fund(key="f", account="partner:didi", campaign="campaign:ride", bytes=50 * MIB),
    )
    made.settle()
    return made


def each_kind(key: str, now: int) -> list[AnyCommand | Usage]:
    """Return one of every command."""
    return [
        OpenAccount(key=key, account=f"new-{key}", plan="std-30mb"),
        Buy(key=key, account="ann", bytes=MIB),
        Fund(key=f"f{key}", account="partner:didi", campaign="campaign:ride", bytes=2),
        Award(key=key, account="campaign:ride", subscriber="bob", bytes=3),
        Transfer(key=f"t{key}", account="ann", to="bob", bytes=5),
        CloseMonth(key=f"c{key}", account=f"new-{key}", month="2015-07"),
        Usage(usage_id=key, account="ann", bytes=7, occurred_at=now),
    ]


def test_a_lost_commit_takes_effect_once_whatever_the_command(ledger, proxy):
    cuts, now = cycle(Cut), ledger.clock.now()
    for number in range(ROUNDS):
        for command in each_kind(f"k{number}", now):
            proxy.cut_next(next(cuts))
            (first,) = ledger.do(command)
            (again,) = ledger.do(command)
            assert first.status == "done", command
            assert kept(again) == kept(first)

    assert proxy.cut_count == 7 * ROUNDS
    ann, didi = (ledger.ledger.account(name)[0] for name in ("ann", "partner:didi"))
    assert (ann.spent, ann.transferred) == (7 * ROUNDS, 5 * ROUNDS)
    assert ann.earned == 2 * (1 << 30) + ROUNDS * MIB
    assert didi.transferred == 50 * MIB + 2 * ROUNDS
    ledger.verified()


def test_a_lost_commit_of_holds_and_corrections_takes_effect_once(ledger, proxy):
    cuts, now = cycle(Cut), ledger.clock.now()

    def twice(command: AnyCommand | Usage) -> Any:
        proxy.cut_next(next(cuts))
        (first,) = ledger.do(command)
        (again,) = ledger.do(command)
        assert first.status == "done", (command, first)
        assert kept(again) == kept(first)
        return first

    for n in range(HOLD_ROUNDS):
        hold = Hold(key=f"h{n}", account="ann", bytes=10, deadline="2015-08-12T00:00:00")
        held = twice(hold).result["hold_id"]
        post = Post(key=f"p{n}", account="ann", hold_id=held, to="bob", bytes=4)
        sent = twice(post).result["transfer_id"]
        twice(Release(key=f"r{n}", account="ann", hold_id=held))
        twice(Adjust(key=f"a{n}", account="ann", direction="take", bytes=3, reason="test"))
        twice(Usage(usage_id=f"u{n}", account="ann", bytes=7, occurred_at=now))
        twice(Reverse(key=f"v{n}", account="ann", usage_id=f"u{n}", reason="test"))
        ledger.settle()
        twice(ClawBack(key=f"w{n}", account="bob", transfer_id=sent, reason="test"))
        twice(OpenAccount(key=f"n{n}", account=f"n{n}", plan="std-30mb"))
        twice(Suspend(key=f"s{n}", account=f"n{n}"))
        twice(Resume(key=f"e{n}", account=f"n{n}"))
        twice(ChangePlan(key=f"c{n}", account=f"n{n}", plan="std-1gb"))
        twice(CloseAccount(key=f"x{n}", account=f"n{n}"))

    assert proxy.cut_count == 12 * HOLD_ROUNDS
    ledger.settle()
    ann = ledger.ledger.account("ann")[0]
    assert (ann.transferred, ann.adjusted, ann.spent) == (4 * HOLD_ROUNDS, 3 * HOLD_ROUNDS, 0)
    assert sum(lot.held for lot in ann.lots.values()) == 0
    assert ann.received == 4 * HOLD_ROUNDS
    ledger.verified()


def test_a_lost_commit_of_the_inbox_moves_effect_and_position_together(ledger, proxy):
    for number, cut in zip(range(12), cycle(Cut), strict=False):
        to = "bob" if number % 2 else "nobody"
        ledger.do(Transfer(key=f"t{number}", account="ann", to=to, bytes=1))
        proxy.cut_next(cut, cut)
        ledger.settle()
        assert stored_position(ledger) >= last_that_asked(ledger)
        assert ledger.consumers[0].position(LEDGER) == ledger.logs[0].head("sagas")

    bob, ann = (ledger.ledger.account(name)[0] for name in ("bob", "ann"))
    assert (bob.received, ann.returned, ann.transferred) == (6, 6, 12)
    assert proxy.cut_count >= 12
    ledger.verified()


def test_a_lost_commit_of_what_gifting_asks_answers_each_gift_once(ledger, proxy):
    gifts, cuts = GiftingLog(), cycle(Cut)
    inbox = Inbox(ledger.consumers, Readers(ledger.reader, gifts), pause_s=0.001)
    for number in range(8):
        much = 3 << 30 if number % 4 == 3 else 10
        gifts.add(
            GiftOffered(
                account="ann", recorded_at=1, actor="gifting", gift_id=f"g{number}",
                receiver="bob" if number % 2 else "nobody", bytes=much, fee_bytes=1,
            )
        )  # fmt: skip
        cut = next(cuts)
        proxy.cut_next(cut, cut)
        inbox.catch_up(SOURCE)
        ledger.settle()
        assert stored_position(ledger, SOURCE) == number + 1

    ann, bob, fees = (ledger.ledger.account(name)[0] for name in ("ann", "bob", "operator:fees"))
    assert (bob.received, fees.received) == (20, 2)
    assert (ann.transferred, ann.returned) == (6 * 11, 4 * 11)
    refused = "SELECT count(*) FROM stored_events WHERE topic = 'bank.ledger.transfer_refused.v1'"
    assert ledger.rows(0, refused) == [(2,)]
    assert proxy.cut_count >= 8
    ledger.verified()


def last_that_asked(ledger) -> int:
    """Return the sequence of the last event of which something came."""
    asking = "'bank.ledger.data_transferred.v1', 'bank.ledger.arrival_refused.v1'"
    ((sequence,),) = ledger.rows(
        0, f"SELECT max(notification_id) FROM stored_events WHERE topic IN ({asking})"
    )
    return int(sequence)


def stored_position(ledger, source: str = LEDGER) -> int:
    ((sequence,),) = ledger.rows(
        0, f"SELECT sequence FROM inbox_positions WHERE source = '{source}'"
    )
    return int(sequence)


def test_an_inbox_whose_every_commit_is_lost_moves_neither_effect_nor_position(ledger, proxy):
    ledger.do(Transfer(key="t", account="ann", to="bob", bytes=1))
    before = stored_position(ledger)
    proxy.cut_next(*[Cut.BEFORE] * ATTEMPTS_MAX)
    with pytest.raises(UnavailableError):
        ledger.settle()
    assert (stored_position(ledger), ledger.ledger.account("bob")[0].received) == (before, 0)

    ledger.settle()
    assert ledger.ledger.account("bob")[0].received == 1
    assert ledger.partitions[0].parked() == []


def test_a_lost_commit_of_the_cycle_grants_each_month_once(ledger, proxy):
    ledger.at("2015-09-01T00:00:01+08:00")
    for cut in Cut:
        proxy.cut_next(cut)
        partition = ledger.partitions[0]
        items = [Item(Touch(key="cycle", account="bob"), "ledger", OPERATOR)]
        partition.execute(items)
    assert ledger.ledger.account("bob")[0].earned == 2 * (1 << 30)
    ledger.verified()


def test_a_whole_batch_with_refusals_and_repeats_survives_a_lost_commit(ledger, proxy):
    batch = [command for n in range(30) for command in each_kind(f"k{n}", ledger.clock.now())]
    batch += [Transfer(key="much", account="bob", to="ann", bytes=3 << 30), batch[1], batch[6]]
    proxy.cut_next(Cut.ANSWERED)
    first = ledger.do(*batch)
    again = ledger.do(*batch)

    assert [outcome.code for outcome in first[210:]] == ["insufficient_data", None, None]
    assert [kept(outcome) for outcome in again] == [kept(outcome) for outcome in first]
    assert all(outcome.repeated for outcome in first[210:] if outcome.status == "done")
    ledger.verified()


def test_connections_that_die_between_batches_are_not_noticed(ledger, proxy):
    for number in range(3):
        proxy.cut_all()
        assert ledger.do(Buy(key=f"b{number}", account="ann", bytes=1))[0].status == "done"
        proxy.cut_all()
        assert ledger.ledger.account("ann")[0].earned > 0


def test_a_silent_network_gets_a_clear_answer_and_the_repeat_the_first_outcome(
    ledger, proxy, monkeypatch
):
    monkeypatch.setattr(application, "ANSWER_TIMEOUT_S", 1.0)
    command = Buy(key="silent", account="ann", bytes=MIB)
    before = ledger.ledger.account("ann")[0].earned
    proxy.go_silent()
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        ledger.do(command)
    assert time.monotonic() - began < 3

    monkeypatch.undo()
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(ledger.do, command)
        proxy.recover()
        assert later.result(30)[0].status == "done"
    assert ledger.ledger.account("ann")[0].earned == before + MIB
    ledger.verified()
