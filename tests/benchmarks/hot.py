"""9. Crowds on few accounts: half of each batch on one account, and Zipf's law, against uniform."""

from collections.abc import Callable
from itertools import accumulate
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
    populated,
    times_pgbench,
    told,
    total,
)

ACCOUNTS = 10_000
UNIFORM = "uniform"
WAYS = {
    UNIFORM: "one per account",
    "hot": "half of each batch on one account",
    "zipf": "Zipf 1.0",
}
SHARE_MIN = 0.5
WARM_ROUNDS = 3
CUMULATED = list(accumulate(1 / rank for rank in range(1, ACCOUNTS + 1)))


def measure(bench: Bench) -> list[Row]:
    """Measure usage records, and gifts, of which each is an event of its own."""
    with populated(bench, "hot", ACCOUNTS, packs=True) as population:
        return [row for kind in KINDS for row in _rows(bench, population, kind)]


def _rows(bench: Bench, population: Population, kind: str) -> list[Row]:
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        with bench.step(f"hot-{kind}, run {each} of {bench.plan.runs}"):
            bench.server.checkpoint()
            found = apart(
                run, population.url, population.clock_file, kind, bench.plan.commands // 3, each
            )
        for way, timing in found.items():
            rates[way].append(timing.per_second)
            bench.say(f"hot-{kind} ({WAYS[way]}), run {each}: {told(timing)}")
        bench.reference()
    return [_row(bench, kind, way, rates) for way in WAYS if way != UNIFORM]


def _row(bench: Bench, kind: str, way: str, rates: dict[str, list[float]]) -> Row:
    shares = [this / that for this, that in zip(rates[way], rates[UNIFORM], strict=True)]
    note = (
        f"{times_pgbench(bench, median(rates[way]))};"
        f" uniform: {times_pgbench(bench, median(rates[UNIFORM]))}"
    )
    what = f"{WAYS[way]}, rate against uniform, {KINDS[kind]}, {ACCOUNTS:,} accounts"
    return Row(f"hot-{kind}-{way}", what, "x", shares, Target(at_least=SHARE_MIN), note)


def run(url: str, clock_file: Path, kind: str, count: int, number: int) -> dict[str, Timing]:
    """Time a batch of each way in turn, after some unmeasured. Runs in a process of its own."""
    random = Random(number)
    ledger = open_ledger(url, clock_file)
    timings: dict[str, list[Timing]] = {way: [] for way in WAYS}
    try:
        for turn in range(WARM_ROUNDS + count // BATCH_ITEMS):
            for way in WAYS:
                batch = [
                    command(kind, account(chosen), f"{number}-{turn}-{way}-{n}")
                    for n, chosen in enumerate(CHOICES[way](random))
                ]
                if turn < WARM_ROUNDS:
                    execute(ledger, batch)
                else:
                    timings[way].append(timed(ledger, [batch], callers=1))
        return {way: total(each) for way, each in timings.items()}
    finally:
        close_ledger(ledger)


def _uniform(random: Random) -> list[int]:
    return random.sample(range(ACCOUNTS), BATCH_ITEMS)


def _hot(random: Random) -> list[int]:
    half = BATCH_ITEMS // 2
    chosen = [0] * half + random.sample(range(1, ACCOUNTS), BATCH_ITEMS - half)
    random.shuffle(chosen)
    return chosen


def _zipf(random: Random) -> list[int]:
    return random.choices(range(ACCOUNTS), cum_weights=CUMULATED, k=BATCH_ITEMS)


CHOICES: dict[str, Callable[[Random], list[int]]] = {UNIFORM: _uniform, "hot": _hot, "zipf": _zipf}
