"""One ledger process of its own: real partitions on a real database, nothing else in it."""

import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from typed_settings.types import SecretStr

from services.ledger.application import Ledger
from services.ledger.bootstrap import make_bank
from services.ledger.domain.commands import AnyCommand, OpenAccount, Usage
from services.ledger.domain.context import Meta
from shared.calendar import Calendar
from shared.collector import collect_rarely
from shared.config import Settings
from tests.benchmarks.data import CLOCK, MONTH, PLAN

PARTITIONS = 4
BATCH_ITEMS = 1_000
CALLER = "operator"

T = TypeVar("T")
Batch = Sequence[AnyCommand | Usage]


@dataclass(frozen=True)
class Timing:
    """What a run took: wall seconds, CPU seconds of the process, its peak resident memory."""

    items: int
    seconds: float
    cpu_seconds: float
    rss_mb: float

    @property
    def per_second(self) -> float:
        """Return items per second."""
        return self.items / self.seconds


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a fresh process and return its result."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def open_ledger(url: str, clock_file: Path, *, clock: str | None = CLOCK) -> Ledger:
    """Return a ledger whose bank time is that of the benchmark, or goes on without `clock`."""
    if clock is not None:
        offset = Calendar("Asia/Shanghai").parse(clock) - time.time_ns() // 1_000_000
        clock_file.write_text(json.dumps({"offset_ms": offset}))
    settings = Settings(
        ledger_database_url=SecretStr(url),
        ledger_partitions=PARTITIONS,
        bank_sandbox=True,
        bank_clock_file=str(clock_file),
    )
    return make_bank(settings).ledger


def close_ledger(ledger: Ledger) -> None:
    """End the writers and give the connections back."""
    for writer in ledger.writers:
        writer.stop()
    for partition in ledger.partitions:
        partition.close()


def open_accounts(ledger: Ledger, subscribers: Sequence[str]) -> None:
    """Open every account with its plan lots."""
    commands = [
        OpenAccount(key=f"open-{name}", account=name, plan=PLAN, active_from=MONTH)
        for name in subscribers
    ]
    for batch in batches(commands):
        execute(ledger, batch)


def batches(commands: Batch) -> Iterator[Batch]:
    """Cut commands into batches."""
    for start in range(0, len(commands), BATCH_ITEMS):
        yield commands[start : start + BATCH_ITEMS]


def execute(ledger: Ledger, batch: Batch) -> None:
    """Execute a batch as a request of its own; every item must be done."""
    meta = Meta(actor=CALLER, correlation_id=uuid4().hex)
    outcomes, _ = ledger.execute(batch, CALLER, meta)
    refused = next((outcome for outcome in outcomes if outcome.status != "done"), None)
    if refused is not None:
        raise AssertionError(f"refused: {refused}")


def timed(ledger: Ledger, work: Sequence[Batch], callers: int) -> Timing:
    """Execute batches in order, `callers` at a time, and time it."""
    collect_rarely()  # As every process of the bank does once it has started.
    started, cpu = time.perf_counter(), time.process_time()
    if callers == 1:
        for batch in work:
            execute(ledger, batch)
    else:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda batch: execute(ledger, batch), work))
    return Timing(
        items=sum(len(batch) for batch in work),
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
