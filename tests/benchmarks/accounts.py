"""7. A million accounts against ten thousand: what a command costs, the states' size."""

from functools import partial
from pathlib import Path
from random import Random
from statistics import median

from tests.benchmarks.bench import Bench
from tests.benchmarks.ledger_process import (
    BATCH_ITEMS,
    Timing,
    apart,
    close_ledger,
    execute,
    open_ledger,
    timed,
)
from tests.benchmarks.results import Row, Target
from tests.benchmarks.scale import (
    KINDS,
    Population,
    account,
    command,
    compared,
    populated,
    ratios,
    times_pgbench,
)

COST_RATIO_MAX = 2.0
WARM_BATCHES = 10
PARTS = {"seconds": "time", "cpu_seconds": "CPU of the ledger process"}


def measure(bench: Bench) -> list[Row]:
    """Measure both populations in turn, in databases of the same server."""
    few, many = (2_000, 20_000) if bench.plan.quick else (10_000, 1_000_000)
    with (
        populated(bench, "few", few, packs=True) as small,
        populated(bench, "many", many, packs=True) as large,
    ):
        return [row for kind in KINDS for row in _rows(bench, kind, small, large)]


def _rows(bench: Bench, kind: str, small: Population, large: Population) -> list[Row]:
    count = bench.plan.commands // 2
    ways = {each.name: partial(_apart, each, kind, count) for each in (small, large)}
    found = compared(bench, f"accounts-{kind}", ways)
    rates = {name: median(each.per_second for each in found[name]) for name in found}
    told = f"{times_pgbench(bench, rates['many'])}; few: {times_pgbench(bench, rates['few'])}"
    return [
        Row(
            f"accounts-{kind}-{part}",
            f"{name} per command, {KINDS[kind]}: {large.accounts:,} accounts against"
            f" {small.accounts:,}",
            "x", ratios(found["many"], found["few"], part), Target(at_most=COST_RATIO_MAX),
            f"{told}; {large.size()}",
        )
        for part, name in PARTS.items()
    ]  # fmt: skip


def _apart(population: Population, kind: str, count: int, key: str) -> Timing:
    return apart(run, population.url, population.clock_file, population.accounts, kind, count, key)


def run(url: str, clock_file: Path, accounts: int, kind: str, count: int, key: str) -> Timing:
    """Time commands, one per account and batch, uniform over the accounts, once warm."""
    random = Random(key)
    work = [
        [
            command(kind, account(chosen), f"{key}-{number}")
            for chosen in random.sample(range(accounts), BATCH_ITEMS)
        ]
        for number in range(WARM_BATCHES + count // BATCH_ITEMS)
    ]
    ledger = open_ledger(url, clock_file)
    try:
        for batch in work[:WARM_BATCHES]:
            execute(ledger, batch)
        return timed(ledger, work[WARM_BATCHES:], callers=1)
    finally:
        close_ledger(ledger)
