"""8. An account with 10,000 events against fresh ones, alone and in batches on that account."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from services.ledger.application import Ledger
from tests.benchmarks.bench import Bench
from tests.benchmarks.ledger_process import (
    Batch,
    apart,
    close_ledger,
    execute,
    open_ledger,
)
from tests.benchmarks.results import Row, Target, number
from tests.benchmarks.scale import KINDS, command, open_with_packs

COST_RATIO_MAX = 1.3
OLD = "old"
CALLERS = 64
# How many commands a batch has, all of them on the account that is measured.
SIZES = {1: "one command at a time", 100: "100 commands on the account at a time"}


@dataclass(frozen=True)
class Cost:
    """What a command takes: microseconds of time and of the process's CPU, medians of a run."""

    wall_us: float
    cpu_us: float


@dataclass(frozen=True)
class Pair:
    """The cost on the old account and on fresh ones, and how many events the old one had."""

    old: Cost
    fresh: Cost
    events: int


def measure(bench: Bench) -> list[Row]:
    """Measure usage records and gifts in alternation, on old and fresh accounts in alternation."""
    history = 1_000 if bench.plan.quick else 10_000
    pairs: dict[int, list[Pair]] = {size: [] for size in SIZES}
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        with (
            bench.step(f"long account, run {each} of {bench.plan.runs}"),
            bench.server.ledger(f"long-{each}") as (bank, url),
        ):
            found = apart(run, url, bank.clock_file, history, 20 if bench.plan.quick else 200)
        for size, pair in found.items():
            pairs[size].append(pair)
            bench.say(f"long account, run {each}, {SIZES[size]}: {_told(pair)}")
        bench.reference()
    return [row for size in SIZES for row in _rows(size, pairs[size])]


def _told(pair: Pair) -> str:
    return (
        f"{pair.events:,} events: {number(pair.old.wall_us)} µs, {number(pair.old.cpu_us)} µs of"
        f" CPU; fresh: {number(pair.fresh.wall_us)} µs, {number(pair.fresh.cpu_us)} µs of CPU"
    )


def _rows(size: int, pairs: list[Pair]) -> list[Row]:
    events = min(pair.events for pair in pairs)
    what = f"per command on an account with {events:,} events against a fresh one, {SIZES[size]}"
    target, note = Target(at_most=COST_RATIO_MAX), _told(pairs[-1])
    return [
        Row(f"long-account-{size}-seconds", f"time {what}", "x",
            [pair.old.wall_us / pair.fresh.wall_us for pair in pairs], target, note),
        Row(f"long-account-{size}-cpu", f"CPU of the ledger process {what}", "x",
            [pair.old.cpu_us / pair.fresh.cpu_us for pair in pairs], target, note),
    ]  # fmt: skip


def run(url: str, clock_file: Path, history: int, rounds: int) -> dict[int, Pair]:
    """Give one account its history, then compare. Runs in a process of its own."""
    ledger = open_ledger(url, clock_file)
    try:
        fresh = {size: [f"fresh-{size}-{each}" for each in range(rounds)] for size in SIZES}
        names = [name for size in SIZES for name in fresh[size]]
        open_with_packs(ledger, [OLD, *names], packs=True)
        _live(ledger, history)
        return {size: _compare(ledger, size, fresh[size]) for size in SIZES}
    finally:
        close_ledger(ledger)


def _live(ledger: Ledger, history: int) -> None:
    """Make events on the old account: each request makes its own, many share a transaction."""
    with ThreadPoolExecutor(CALLERS) as pool:
        batches = (_batch(OLD, 1, f"life-{each}", each) for each in range(history))
        list(pool.map(lambda batch: execute(ledger, batch), batches))


def _batch(name: str, size: int, key: str, first: int = 0) -> Batch:
    kinds = list(KINDS)
    return [command(kinds[(first + n) % len(kinds)], name, f"{key}-{n}") for n in range(size)]


def _compare(ledger: Ledger, size: int, fresh: list[str]) -> Pair:
    events = ledger.account(OLD)[1]
    costs: dict[bool, list[Cost]] = {True: [], False: []}
    _cost(ledger, _batch(OLD, size, f"{size}-warm"))
    for turn, name in enumerate(fresh):
        # Who comes first finds colder caches.
        for is_old in (True, False) if turn % 2 else (False, True):
            batch = _batch(OLD if is_old else name, size, f"{size}-{turn}", turn // 2)
            costs[is_old].append(_cost(ledger, batch))
    return Pair(_middle(costs[True]), _middle(costs[False]), events)


def _cost(ledger: Ledger, batch: Batch) -> Cost:
    started, cpu = time.perf_counter(), time.process_time()
    execute(ledger, batch)
    wall, spent = time.perf_counter() - started, time.process_time() - cpu
    return Cost(wall / len(batch) * 1e6, spent / len(batch) * 1e6)


def _middle(costs: list[Cost]) -> Cost:
    return Cost(median(each.wall_us for each in costs), median(each.cpu_us for each in costs))
