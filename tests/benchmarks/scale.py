"""What the measurements at scale share: accounts in bulk, commands that leave an account its size.

A purchase adds a lot to its account each time, so that a small population would soon have bigger
accounts than a large one. Usage and gifts only take from lots that are there: they are compared.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from services.ledger.application import Ledger
from services.ledger.domain.commands import AnyCommand, Buy, OpenAccount, Transfer, Usage
from shared.calendar import Calendar
from shared.db import connect
from tests.benchmarks.bench import Bench
from tests.benchmarks.data import CLOCK, MONTH, PLAN
from tests.benchmarks.ledger_process import Timing, apart, close_ledger, execute, open_ledger
from tests.benchmarks.results import number

OPEN_ACCOUNTS = 2_000  # In a batch: 500 a partition.
PACK_BYTES = 1 << 40
KINDS = {"usage": "usage records", "gift": "gifts (departures)"}


@dataclass(frozen=True)
class Population:
    """A ledger database with accounts in it."""

    name: str
    url: str
    clock_file: Path
    accounts: int

    def size(self) -> str:
        """Say how large the accounts' states and the whole database are."""
        with connect(self.url) as connection:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(oid)), pg_database_size(current_database())"
                " FROM pg_class WHERE relname = 'account_state' AND relkind = 'r'"
            ).fetchone()
        assert row is not None
        states, whole = (int(each) / 2**20 for each in row)
        each = states * 2**20 / self.accounts
        return (
            f"{self.accounts:,} accounts: states {number(states)} MB ({each:,.0f} bytes each with"
            f" indexes), database {number(whole)} MB"
        )


def account(number_of: int) -> str:
    """Return the name of an account of a population."""
    return f"subscriber-{number_of:07d}"


@contextmanager
def populated(bench: Bench, name: str, accounts: int, *, packs: bool) -> Iterator[Population]:
    """Lend a ledger database with so many accounts, each with plan lots and maybe a large pack."""
    with bench.server.ledger(name) as (bank, url):
        population = Population(name, url, bank.clock_file, accounts)
        began = time.monotonic()
        with bench.step(f"{name}: open {accounts:,} accounts"):
            apart(_populate, url, bank.clock_file, accounts, packs)
        rate = accounts / (time.monotonic() - began)
        bench.say(f"{name}: opened at {number(rate)} accounts/s; {population.size()}")
        yield population


def _populate(url: str, clock_file: Path, accounts: int, packs: bool) -> None:  # noqa: FBT001
    ledger = open_ledger(url, clock_file)
    try:
        open_with_packs(ledger, [account(each) for each in range(accounts)], packs=packs)
    finally:
        close_ledger(ledger)


def open_with_packs(ledger: Ledger, names: Sequence[str], *, packs: bool) -> None:
    """Open accounts in large batches, each with its plan lots and maybe a large pack."""
    for start in range(0, len(names), OPEN_ACCOUNTS):
        batch: list[AnyCommand] = []
        for name in names[start : start + OPEN_ACCOUNTS]:
            batch.append(OpenAccount(key="open", account=name, plan=PLAN, active_from=MONTH))
            if packs:
                batch.append(Buy(key="pack", account=name, bytes=PACK_BYTES))
        execute(ledger, batch)


@cache
def noon() -> int:
    """Return the benchmark's time in ms."""
    return Calendar("Asia/Shanghai").parse(CLOCK)


def command(kind: str, name: str, key: str) -> AnyCommand | Usage:
    """Return a usage record or a gift of a byte; the key must be new to the account."""
    if kind == "usage":
        return Usage(usage_id=f"{name}-{key}", account=name, bytes=1, occurred_at=noon())
    return Transfer(key=key, account=name, to="receiver", bytes=1)


def compared(
    bench: Bench, name: str, ways: Mapping[str, Callable[[str], Timing]]
) -> dict[str, list[Timing]]:
    """Measure several ways in turn, so many times as there are runs, pgbench before and after.

    Each way gets the run's name for its keys. Every other run goes the other way round.
    """
    found: dict[str, list[Timing]] = {way: [] for way in ways}
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        for way, run in list(ways.items())[:: 1 if each % 2 else -1]:
            with bench.step(f"{name} ({way}), run {each} of {bench.plan.runs}"):
                bench.server.checkpoint()
                timing = run(f"{name}-{each}")
            found[way].append(timing)
            bench.say(f"{name} ({way}), run {each}: {told(timing)}")
        bench.reference()
    return found


def told(timing: Timing) -> str:
    """Write a timing."""
    return (
        f"{number(timing.per_second)} /s, {timing.seconds / timing.items * 1e6:,.1f} µs and"
        f" {timing.cpu_seconds / timing.items * 1e6:,.1f} µs of CPU each"
    )


def ratios(these: list[Timing], those: list[Timing], part: str) -> list[float]:
    """Return, run by run, how much more one costs than the other, in `seconds` or `cpu_seconds`."""

    def cost(timing: Timing) -> float:
        spent: float = getattr(timing, part)
        return spent / timing.items

    return [cost(this) / cost(that) for this, that in zip(these, those, strict=True)]


def total(timings: Sequence[Timing]) -> Timing:
    """Return the sum of timings of one process."""
    return Timing(
        items=sum(each.items for each in timings),
        seconds=sum(each.seconds for each in timings),
        cpu_seconds=sum(each.cpu_seconds for each in timings),
        rss_mb=max(each.rss_mb for each in timings),
    )


def times_pgbench(bench: Bench, rate: float) -> str:
    """Write a rate and what it is as a multiple of pgbench's so far."""
    references: Any = sorted(bench.references)
    middle = references[len(references) // 2]
    return f"{number(rate)} /s = {rate / middle:.1f} x pgbench"
