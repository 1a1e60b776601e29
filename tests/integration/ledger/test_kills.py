"""Processes killed and stopped under load: what was acknowledged is there, once and whole."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any

import httpx2
import pytest

from services.ledger.domain.commands import AnyCommand, Buy, OpenAccount, Transfer, Usage
from shared.clock import BankClock
from shared.errors import BusyError, UnavailableError
from shared.ids import partition_of
from tests.support.bank import wait_until
from tests.support.ledger import MIB, LedgerChild, client, kept

ACCOUNTS = [f"a{n}" for n in range(8)]
CLIENTS = 6
AT_ONCE = 10
DAY_MS = 86_400_000
KILLS = 3
WEB_KILLS = 2
PAUSE_S = 0.05
BUSY_AFTER_S = 5
LETS_GO_AFTER_S = 10


class Load:
    """Clients that do one thing after another, each until it is acknowledged."""

    def __init__(self, do: Callable[[int, int], Any], retry_on: type[Exception]) -> None:
        self.acknowledged: dict[tuple[int, int], Any] = {}
        self.errors = 0
        self._do, self._retry_on = do, retry_on
        self._stop = Event()
        self._threads = [Thread(target=self._run, args=(n,), daemon=True) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, client_number: int) -> None:
        step = 0
        while not self._stop.is_set():
            try:
                outcome = self._do(client_number, step)
            except self._retry_on:
                self.errors += 1
                self._stop.wait(PAUSE_S)
                continue
            self.acknowledged[client_number, step] = outcome
            step += 1

    def wait_for_more(self, count: int) -> None:
        """Wait until this many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= wanted, 60, f"{count} more are acknowledged")

    def stop(self) -> None:
        """Stop when the last ones are acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)


@contextmanager
def load(do: Callable[[int, int], Any], retry_on: type[Exception]) -> Iterator[Load]:
    """Keep clients busy while the block runs."""
    made = Load(do, retry_on)
    try:
        yield made
    finally:
        made.stop()


def open_all(ledger: Any) -> None:
    ledger.do(*(OpenAccount(key="o", account=name, plan="std-5gb") for name in ACCOUNTS))


def batch_of(client_number: int, step: int) -> list[AnyCommand | Usage]:
    """Return what a client asks at a step: a mixed batch over several accounts."""
    mine, now = f"c{client_number}-{step}", BankClock().now()
    batch: list[AnyCommand | Usage] = []
    for n in range(AT_ONCE):
        giver, to = ACCOUNTS[(client_number + n) % 8], ACCOUNTS[(client_number + n + 1) % 8]
        batch += [
            Buy(key=f"{mine}-{n}", account=giver, bytes=2),
            Transfer(key=f"{mine}-t{n}", account=giver, to=to, bytes=1),
            # Any instant will do, but the same at each repeat.
            Usage(usage_id=f"{mine}-{n}", account=giver, bytes=3, occurred_at=now - now % DAY_MS),
        ]
    return batch


def test_a_killed_postgres_loses_nothing_acknowledged_and_keeps_nothing_half(server, make_ledger):
    ledger = make_ledger(BankClock())
    open_all(ledger)

    with load(lambda c, s: ledger.do(*batch_of(c, s)), UnavailableError) as clients:
        for _ in range(KILLS):
            clients.wait_for_more(30)
            server.kill()
            server.start()
        clients.wait_for_more(30)

    for (number, step), outcomes in clients.acknowledged.items():
        again = ledger.do(*batch_of(number, step))
        assert all(outcome.repeated for outcome in again)
        assert [kept(outcome) for outcome in again] == [kept(outcome) for outcome in outcomes]
    check_whole(ledger, len(clients.acknowledged) * AT_ONCE)


def check_whole(ledger: Any, times: int) -> None:
    """Check that each of the commands took effect once and nothing else did."""
    ledger.settle()
    states = [ledger.ledger.account(name)[0] for name in ACCOUNTS]
    month = 5 * 1024 * MIB
    assert sum(state.earned - month for state in states) == 2 * times
    assert sum(state.transferred for state in states) == times
    assert sum(state.received for state in states) == times
    assert sum(state.spent for state in states) == 3 * times
    orphans = (
        "SELECT count(*) FROM command_keys k WHERE k.events <> (SELECT count(*) FROM stored_events"
        " WHERE originator_id = k.stream AND originator_version >= k.version"
        " AND originator_version < k.version + k.events)"
    )
    assert [ledger.rows(number, orphans) for number in range(2)] == [[(0,)], [(0,)]]
    ledger.verified()


def test_a_killed_web_process_leaves_each_repeated_key_done_once(make_web, make_ledger):
    web, ledger = make_web(), make_ledger(BankClock())
    open_all(ledger)
    clients = [client(web.base) for _ in range(CLIENTS)]

    def send(number: int, step: int) -> Any:
        giver, to = ACCOUNTS[number], ACCOUNTS[number + 1]
        key = f"c{number}-{step}"
        commands = [
            {"type": "buy", "key": key, "account": giver, "bytes": 2},
            {"type": "transfer", "key": f"t{key}", "account": giver, "to": to, "bytes": 1},
        ]
        answer = clients[number].post(
            "/v1/commands", json={"commands": commands}, headers={"X-Request-Id": key}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["outcomes"]

    with load(send, httpx2.TransportError) as busy:
        for _ in range(WEB_KILLS):
            busy.wait_for_more(150)
            web.kill()
            web.start()
        busy.wait_for_more(150)

    assert busy.errors >= WEB_KILLS
    ledger.settle()
    times = len(busy.acknowledged)
    states = [ledger.ledger.account(name)[0] for name in ACCOUNTS]
    assert sum(state.earned - 5 * 1024 * MIB for state in states) == 2 * times
    assert sum(state.transferred for state in states) == times
    assert sum(state.received for state in states) == times
    # Also where the first answer was lost, the outcome is that of the client's own first try.
    for (number, step), outcomes in busy.acknowledged.items():
        assert {outcome["request_id"] for outcome in outcomes} == {f"c{number}-{step}"}
        assert {outcome["status"] for outcome in outcomes} == {"done"}
    ledger.verified()
    for each in clients:
        each.close()


@pytest.fixture
def stopped(ledger_url, make_ledger):
    """A writer in another process that stopped in the middle of a batch on a0's partition."""
    ledger = make_ledger(BankClock())
    open_all(ledger)
    child = LedgerChild(ledger_url, "stop_in_a_batch", "stopped", "a0")
    with closing(child):
        assert child.hear() == "stopped"
        yield child


def test_while_a_stopped_writer_holds_a_partition_others_are_told_busy_and_go_on_after(
    stopped, make_ledger
):
    ledger = make_ledger(BankClock())
    elsewhere = next(name for name in ACCOUNTS if partition_of(name, 2) != partition_of("a0", 2))
    began = time.monotonic()
    with pytest.raises(BusyError):
        ledger.do(Buy(key="k", account="a0", bytes=1))
    assert BUSY_AFTER_S - 1 < time.monotonic() - began < BUSY_AFTER_S + 2
    assert ledger.do(Buy(key="k", account=elsewhere, bytes=1))[0].status == "done"
    wait_until(lambda: is_done(ledger, "k2"), LETS_GO_AFTER_S + 5, "the stopped writer lets go")
    assert time.monotonic() - began < LETS_GO_AFTER_S + 5

    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.hear() == "stopped"
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.hear() == "done"
    assert ledger.ledger.account("a0")[0].earned == 5 * 1024 * MIB + 2
    ledger.verified()


def is_done(ledger: Any, key: str) -> bool:
    try:
        outcome = ledger.do(Buy(key=key, account="a0", bytes=1))[0]
    except BusyError:
        return False
    return bool(outcome.status == "done")


def test_a_stopped_writer_that_is_killed_lets_go_at_once_and_leaves_nothing(
    stopped, make_ledger, make_web
):
    web = make_web()
    body = {"commands": [{"type": "buy", "key": "k", "account": "a0", "bytes": 1}]}
    answer = web.client.post("/v1/commands", json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.headers["Retry-After"] == "1"

    os.kill(stopped.pid, signal.SIGKILL)
    began = time.monotonic()
    assert web.do(*body["commands"])[0]["status"] == "done"
    assert time.monotonic() - began < 2
    ledger = make_ledger(BankClock())
    assert ledger.ledger.account("a0")[0].earned == 5 * 1024 * MIB + 1
    ledger.verified()
