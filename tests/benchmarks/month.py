"""1. The month's usage through `Ledger.execute()`, in order of time, in batches of 1,000."""

from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.bench import Bench
from tests.benchmarks.ledger_process import (
    Timing,
    batches,
    close_ledger,
    open_accounts,
    open_ledger,
    timed,
)
from tests.benchmarks.results import Row, Target


def measure(bench: Bench) -> list[Row]:
    """Measure one batch after the other, and four callers at once."""
    return [
        _row(bench, "month", 1, "one batch after the other", Target(times_pgbench=10)),
        _row(bench, "month-4", 4, "four callers at once", Target()),
    ]


def _row(bench: Bench, name: str, callers: int, how: str, target: Target) -> Row:
    timings = bench.ledger_runs(name, run, callers)
    cpu = min(timing.cpu_seconds / timing.items for timing in timings) * 1e6
    return Row(
        name, f"{data.month_source()} through execute(), {how}", "records/s",
        [timing.per_second for timing in timings], target, f"{cpu:.1f} µs of CPU each",
    )  # fmt: skip


def run(url: str, clock_file: Path, callers: int) -> Timing:
    """Open the accounts, then time the month. Runs in a process of its own."""
    month = data.month()
    ledger = open_ledger(url, clock_file)
    try:
        open_accounts(ledger, month.subscribers)
        return timed(ledger, list(batches(month.usage)), callers)
    finally:
        close_ledger(ledger)
