"""10. The month's close of 200,000 accounts, each with a whole plan lot to be carried over."""

import time
from dataclasses import replace
from pathlib import Path

from services.ledger.domain.context import Meta
from services.ledger.month_ends import MonthSums
from shared.collector import collect_rarely
from tests.benchmarks.bench import Bench
from tests.benchmarks.data import MONTH
from tests.benchmarks.ledger_process import CALLER, Timing, apart, close_ledger, open_ledger
from tests.benchmarks.results import Row, Target
from tests.benchmarks.scale import populated, told

PER_SECOND_MIN = 8_000
RSS_MB_MAX = 300.0


def measure(bench: Bench) -> list[Row]:
    """Measure `Ledger.close_month` on fresh accounts, in a process that did not open them."""
    accounts = 5_000 if bench.plan.quick else 200_000
    timings = []
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        with populated(bench, f"close-{each}", accounts, packs=False) as population:
            bench.server.checkpoint()
            with bench.step(f"close, run {each} of {bench.plan.runs}"):
                timing = apart(run, population.url, population.clock_file, accounts)
        timings.append(timing)
        bench.say(f"close, run {each}: {told(timing)}, peak memory {timing.rss_mb:.0f} MB")
        bench.reference()
    cpu = min(timing.cpu_seconds / timing.items for timing in timings) * 1e6
    return [
        Row("close", f"month close of {accounts:,} accounts, every one carries over", "accounts/s",
            [timing.per_second for timing in timings], Target(at_least=PER_SECOND_MIN),
            f"{cpu:.1f} µs of CPU each"),
        Row("close-memory", f"peak memory of the process that closes {accounts:,} accounts", "MB",
            [timing.rss_mb for timing in timings], Target(at_most=RSS_MB_MAX)),
    ]  # fmt: skip


def run(url: str, clock_file: Path, accounts: int) -> Timing:
    """Close the month of every account. Runs in a process of its own."""
    ledger = open_ledger(url, clock_file)
    try:
        collect_rarely()  # As every process of the bank does once it has started.
        meta = Meta(actor=CALLER, correlation_id="close")
        sums = MonthSums()
        started, cpu = time.perf_counter(), time.process_time()
        for step in ledger.close_month(MONTH, meta):
            sums = step.sums
        timing = Timing(
            accounts, time.perf_counter() - started, time.process_time() - cpu, rss_mb=0.0
        )
    finally:
        close_ledger(ledger)
    if sums.carried_accounts != accounts:
        raise AssertionError(f"not every account was closed: {sums}")
    return replace(timing, rss_mb=_peak_mb())


def _peak_mb() -> float:
    """Return this process's own peak; getrusage also counts that of the process it came from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
