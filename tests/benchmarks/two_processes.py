"""12. Two ledger processes, each with half of the partitions, against one with all of them."""

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

from shared.ids import partition_of
from tests.benchmarks.bench import Bench
from tests.benchmarks.ledger_process import (
    BATCH_ITEMS,
    PARTITIONS,
    Batch,
    close_ledger,
    execute,
    open_ledger,
    timed,
)
from tests.benchmarks.results import Row, number
from tests.benchmarks.scale import (
    KINDS,
    Population,
    account,
    command,
    populated,
    times_pgbench,
)
from tests.benchmarks.together import await_others, together

ACCOUNTS = 10_000
WARM_BATCHES = 10
PROCESSES = (1, 2)


@dataclass(frozen=True)
class Span:
    """When a process began and ended (seconds of the machine's clock), and what it did."""

    began: float
    ended: float
    items: int


def measure(bench: Bench) -> list[Row]:
    """Report both rates; two cores that PostgreSQL shares leave a second process little."""
    with populated(bench, "two-processes", ACCOUNTS, packs=True) as population:
        return [_row(bench, population, kind) for kind in KINDS]


def _row(bench: Bench, population: Population, kind: str) -> Row:
    name = f"two-processes-{kind}"
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        for processes in PROCESSES[:: 1 if each % 2 else -1]:
            with bench.step(f"{name}: {processes}, run {each} of {bench.plan.runs}"):
                bench.server.checkpoint()
                rates[processes].append(_rate(bench, population, kind, processes, each))
            bench.say(f"{name}: {processes}, run {each}: {number(rates[processes][-1])} /s")
        bench.reference()
    one, two = (median(rates[processes]) for processes in PROCESSES)
    gains = [this / that for this, that in zip(rates[2], rates[1], strict=True)]
    return Row(
        name, f"two ledger processes on different partitions against one, {KINDS[kind]}", "x",
        gains, note=f"two: {times_pgbench(bench, two)}; one: {times_pgbench(bench, one)}",
    )  # fmt: skip


def _rate(bench: Bench, population: Population, kind: str, processes: int, number_of: int) -> float:
    count = bench.plan.commands // processes
    calls = [
        (population.url, population.clock_file, kind, count, (which, processes), number_of)
        for which in range(processes)
    ]
    spans = together(run, calls)
    seconds = max(span.ended for span in spans) - min(span.began for span in spans)
    return sum(span.items for span in spans) / seconds


def run(
    url: str, clock_file: Path, kind: str, count: int, share: tuple[int, int], number_of: int
) -> Span:
    """Execute commands on this process's share of the partitions, several callers at once.

    `share` is which of how many processes this is.
    """
    which, processes = share
    work = _work(kind, count, share, f"{number_of}-{which}-of-{processes}")
    # Each has its own clock file: one must not read what another just writes.
    ledger = open_ledger(url, clock_file.with_name(f"clock-{which}"))
    try:
        for batch in work[:WARM_BATCHES]:
            execute(ledger, batch)
        await_others()
        began = time.monotonic()
        done = timed(ledger, work[WARM_BATCHES:], callers=PARTITIONS // processes)
        return Span(began, time.monotonic(), done.items)
    finally:
        close_ledger(ledger)


def _work(kind: str, count: int, share: tuple[int, int], key: str) -> list[Batch]:
    """Make batches that have the same number of commands per partition in every process."""
    random, (which, processes) = Random(key), share
    names = [
        name
        for name in map(account, range(ACCOUNTS))
        if partition_of(name, PARTITIONS) % processes == which
    ]
    size = BATCH_ITEMS // processes
    return [
        [command(kind, name, f"{key}-{number_of}") for name in random.sample(names, size)]
        for number_of in range(WARM_BATCHES + count // size)
    ]
