"""2. One command per account per batch, uniform over 10,000 accounts."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from services.ledger.domain.commands import AnyCommand, Buy, Usage
from shared.calendar import Calendar
from tests.benchmarks.bench import Bench
from tests.benchmarks.data import CLOCK
from tests.benchmarks.ledger_process import (
    BATCH_ITEMS,
    Batch,
    Timing,
    close_ledger,
    open_accounts,
    open_ledger,
    timed,
)
from tests.benchmarks.results import Row, Target

ACCOUNTS = 10_000
PACK_BYTES = 10 << 20
USAGE_BYTES = 1_024
KINDS = {
    "buy": "one `buy` per account and batch",
    "usage": "one usage record per account and batch",
}


def measure(bench: Bench) -> list[Row]:
    """Measure packs bought, and single usage records."""
    return [_row(bench, kind, what) for kind, what in KINDS.items()]


def _row(bench: Bench, kind: str, what: str) -> Row:
    timings = bench.ledger_runs(kind, run, kind, bench.plan.commands)
    cpu = min(timing.cpu_seconds / timing.items for timing in timings) * 1e6
    return Row(
        f"commands-{kind}", f"{what}, uniform over {ACCOUNTS:,} accounts", "commands/s",
        [timing.per_second for timing in timings], Target(times_pgbench=4),
        f"{cpu:.1f} µs of CPU each",
    )  # fmt: skip


def run(url: str, clock_file: Path, kind: str, count: int) -> Timing:
    """Open the accounts, then time `count` commands. Runs in a process of its own."""
    accounts = [f"subscriber-{number:05d}" for number in range(ACCOUNTS)]
    ledger = open_ledger(url, clock_file)
    try:
        open_accounts(ledger, accounts)
        return timed(ledger, list(_batches(accounts, kind, count)), callers=1)
    finally:
        close_ledger(ledger)


def _batches(accounts: list[str], kind: str, count: int) -> Iterator[Batch]:
    random = Random(kind)
    at = Calendar("Asia/Shanghai").parse(CLOCK)
    for start in range(0, count, BATCH_ITEMS):
        chosen = random.sample(accounts, BATCH_ITEMS)
        yield [_command(kind, name, f"{kind}-{start}", at) for name in chosen]


def _command(kind: str, account: str, key: str, at: int) -> AnyCommand | Usage:
    if kind == "buy":
        return Buy(key=key, account=account, bytes=PACK_BYTES)
    return Usage(usage_id=f"{account}-{key}", account=account, bytes=USAGE_BYTES, occurred_at=at)
