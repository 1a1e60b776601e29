"""`python -m tests.benchmarks`: measure the bank and write a report to bench-results/."""

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tests.benchmarks import (
    accounts,
    audience,
    cli,
    close,
    commands,
    completions,
    gifts,
    hot,
    lag,
    long_account,
    memory,
    month,
    rebuild,
    singles,
    sponsored,
    two_processes,
    year,
)
from tests.benchmarks.bench import Bench, Plan
from tests.benchmarks.report import Report
from tests.benchmarks.results import Row

WIDTH = 150  # Of a log file, which has none.
MEASUREMENTS = {
    "month": month.measure,
    "commands": commands.measure,
    "cli": cli.measure,
    "lag": lag.measure,
    "gifts": gifts.measure,
    "completions": completions.measure,
    "rebuild": rebuild.measure,
    "audience": audience.measure,
    "accounts": accounts.measure,
    "long-account": long_account.measure,
    "hot": hot.measure,
    "sponsored": sponsored.measure,
    "close": close.measure,
    "http": singles.measure,
    "two-processes": two_processes.measure,
    "year": year.measure,
    "memory": memory.measure,
}


def main() -> None:
    """Run the chosen measurements, in order, and report."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    plan = Plan(runs=asked.runs or (1 if asked.quick else 3), quick=asked.quick)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="databank-bench-") as folder, ExitStack() as stack:
        bench = Bench(plan, Path(folder), console, stack)
        rows: list[Row] = []
        for name in asked.only or MEASUREMENTS:
            console.rule(name)
            rows += MEASUREMENTS[name](bench)
        settings = bench.settings()
    report = Report(rows, bench.references, settings, plan.runs, plan.quick, load)
    report.show(console)
    console.print(f"report: {report.write()}", highlight=False, soft_wrap=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, help="measure this alone (repeatable)"
    )
    parser.add_argument("--runs", type=int, help="runs of each measurement (3)")
    parser.add_argument(
        "--quick", action="store_true", help="short: shows that it works, no result"
    )
    return parser.parse_args()


def _stop(_number: int, _frame: object) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    main()
