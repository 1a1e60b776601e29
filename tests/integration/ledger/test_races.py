"""Many at once on one balance, one key, one log: what fits is done once, the rest is refused."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from random import Random
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from services.ledger.domain.commands import OpenAccount
from shared.contracts.ledger import MonthClosed
from shared.ids import partition_of
from tests.support.ledger import (
    MIB,
    NOON,
    LedgerChild,
    LedgerWeb,
    RealLedger,
    remaining,
    sandbox_clock,
)

PARALLEL = 100
FITS = 30
WRITERS = ("one", "two")
ROGUES = 2
BATCHES = 60
ACCOUNTS = 20
PACE_S = 0.002
NOTHING = b'{"account":"nobody","recorded_at":0,"actor":"test"}'


class Scene:
    """Two web processes on the same partitions, and accounts that no other test knows."""

    def __init__(self, webs: list[LedgerWeb], ledger: RealLedger, number: int) -> None:
        self.webs, self.ledger = webs, ledger
        self.ann, self.bob = f"ann-{number}", f"bob-{number}"
        self.didi, self.ride = f"partner:didi-{number}", f"campaign:ride-{number}"
        webs[0].do(
            {"type": "open_account", "key": "o", "account": self.ann, "plan": "std-30mb"},
            {"type": "open_account", "key": "o", "account": self.bob, "plan": "std-30mb"},
            {"type": "open_account", "key": "o", "account": self.didi},
            {"type": "open_account", "key": "o", "account": self.ride, "partner": self.didi},
            {"type": "buy", "key": "b", "account": self.didi, "bytes": FITS * MIB},
        )

    def at_once(self, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send each command in a request of its own, all at the same time, to both processes."""
        with ThreadPoolExecutor(len(commands)) as pool:
            answers = [
                pool.submit(self.webs[n % 2].do, command) for n, command in enumerate(commands)
            ]
            return [answer.result()[0] for answer in answers]

    def account(self, name: str) -> dict[str, Any]:
        """Return an account's state."""
        return self.webs[0].account(name)


@pytest.fixture(scope="module")
def scenes(server, tmp_path_factory):
    """Makes scenes, all on one database."""
    folder, url = tmp_path_factory.mktemp("races"), server.new_ledger()
    settings = sandbox_clock(folder, NOON)
    with ExitStack() as stack:
        webs = [stack.enter_context(closing(LedgerWeb(url, folder, **settings))) for _ in range(2)]
        ledger = stack.enter_context(closing(RealLedger(url)))
        yield (Scene(webs, ledger, number) for number in count(1))


@pytest.fixture
def scene(scenes):
    """A scene of this test's own."""
    return next(scenes)


def contested(scene: Scene, name: str) -> dict[str, Any]:
    """Return a command of which only some fit."""
    if name == "gifts of a balance":
        return {"type": "transfer", "account": scene.ann, "to": scene.bob, "bytes": MIB}
    return {"type": "fund", "account": scene.didi, "campaign": "campaign:none", "bytes": MIB}


@pytest.mark.parametrize("name", ["gifts of a balance", "funding from a partner"])
def test_of_a_hundred_at_once_exactly_what_fits_succeeds(scene, name):
    command = contested(scene, name)
    outcomes = scene.at_once([{**command, "key": f"k{n}"} for n in range(PARALLEL)])

    counts = Counter(outcome.get("code", outcome["status"]) for outcome in outcomes)
    assert counts == {"done": FITS, "insufficient_data": PARALLEL - FITS}
    state = scene.account(command["account"])
    assert (remaining(state), state["transferred"]) == (0, FITS * MIB)


def test_of_a_hundred_awards_at_once_exactly_the_budget_is_paid(scene):
    fund = {"account": scene.didi, "campaign": scene.ride, "bytes": FITS * MIB}
    scene.webs[0].do({"type": "fund", "key": "f", **fund})
    scene.ledger.settle()
    award = {"type": "award", "account": scene.ride, "bytes": MIB}
    people = (scene.ann, scene.bob)
    outcomes = scene.at_once(
        [{**award, "subscriber": people[n % 2], "key": f"k{n}"} for n in range(PARALLEL)]
    )
    scene.ledger.settle()

    assert sum(outcome["status"] == "done" for outcome in outcomes) == FITS
    assert remaining(scene.account(scene.ride)) == 0
    assert sum(scene.account(name)["received"] for name in people) == FITS * MIB
    scene.ledger.verified()


def test_the_same_key_sent_twenty_times_at_once_takes_effect_once(scene):
    gift = {"type": "transfer", "key": "k", "account": scene.ann, "to": scene.bob, "bytes": MIB}
    outcomes = scene.at_once([gift] * 20)

    assert Counter(outcome.get("repeated", False) for outcome in outcomes) == {True: 19, False: 1}
    for outcome in outcomes:
        outcome.pop("repeated", None)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert scene.account(scene.ann)["transferred"] == MIB


def test_the_same_usage_sent_twenty_times_at_once_is_charged_once(scene):
    line = {"usage_id": "u", "account": scene.ann, "bytes": MIB, "occurred_at": NOON}

    def send(number: int) -> Any:
        answer = scene.webs[number % 2].client.post("/v1/usage", json={"lines": [line] * 3})
        return [outcome["spent_bytes"] for outcome in answer.json()["outcomes"]]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(send, range(20))) == [[MIB] * 3] * 20
    assert scene.account(scene.ann)["spent"] == MIB


class Tail:
    """Reads a log by position alone, as a consumer does, while others write to it."""

    def __init__(self, url: str, schema: str) -> None:
        self.seen: list[tuple[int, str, int]] = []
        self._url, self._schema = url, schema
        self._done = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as conn:
            last, ended = 0, False
            while not ended:
                # The last look begins after the last commit.
                ended = self._done.wait(PACE_S)
                rows = conn.execute(
                    "SELECT notification_id, originator_id::text, originator_version"
                    f" FROM {self._schema}.stored_events WHERE notification_id > %s"
                    " ORDER BY notification_id",
                    (last,),
                ).fetchall()
                self.seen += rows
                last = rows[-1][0] if rows else last

    def end(self) -> None:
        """Look once more and stop."""
        self._done.set()
        self._thread.join()


@contextmanager
def tails(url: str) -> Iterator[list[Tail]]:
    """Tail both logs while the block runs."""
    made = [Tail(url, f"ledger_0{number}") for number in range(2)]
    try:
        yield made
    finally:
        for tail in made:
            tail.end()


def roll_back_often(ledger: Any, seed: int, stop: Callable[[], bool]) -> int:
    """Append events of no account, half of them rolled back; return how many were kept."""
    rng, kept = Random(seed), 0
    partition = ledger.partitions[0]
    while not stop():
        row = (rng.randbytes(16), 1, MonthClosed.TYPE, NOTHING)
        with partition.connection() as conn, conn.transaction() as transaction:
            partition.recorder.append(conn.cursor(), [row])
            if rng.random() < 0.5:
                raise psycopg.Rollback(transaction)
            kept += 1
    return kept


def test_writers_in_several_processes_lose_nothing_and_a_reader_misses_nothing(
    ledger_url, make_ledger
):
    ledger = make_ledger()
    accounts = [f"a{n}" for n in range(ACCOUNTS)]
    assert {partition_of(account, 2) for account in accounts} == {0, 1}
    ledger.do(*(OpenAccount(key="o", account=a, plan="std-30mb") for a in accounts))

    with tails(ledger_url) as readers, ExitStack() as stack, ThreadPoolExecutor(ROGUES) as pool:
        children = [
            stack.enter_context(
                closing(LedgerChild(ledger_url, "write", name, str(BATCHES), ",".join(accounts)))
            )
            for name in WRITERS
        ]
        for child in children:
            assert child.hear() == "ready"
        for child in children:
            child.tell("go")
        rogues = [
            pool.submit(
                roll_back_often, make_ledger(), seed, lambda: all(child.ended for child in children)
            )
            for seed in range(ROGUES)
        ]
        assert [child.wait() for child in children] == [0, 0]
        strange = sum(rogue.result() for rogue in rogues)

    for number, reader in enumerate(readers):
        assert reader.seen == ledger.rows(
            number,
            "SELECT notification_id, originator_id::text, originator_version FROM stored_events"
            " ORDER BY notification_id",
        )
    assert strange > 50
    assert sum(len(reader.seen) for reader in readers) == (
        2 * ACCOUNTS + len(WRITERS) * BATCHES * ACCOUNTS + strange
    )
    for account in accounts:
        state, version = ledger.ledger.account(account)
        assert version == 2 + len(WRITERS) * BATCHES
        assert state.earned == 30 * MIB + len(WRITERS) * BATCHES
        events = ledger.ledger.partition_for(account).account_events(account, 0, 10_000)
        assert [event[0] for event in events] == list(range(1, version + 1))
