"""The harness: one server and its pgbench reference, banks to be measured, and what is shown."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.runtime.postgres import SETTINGS
from tests.benchmarks.data import CLOCK
from tests.benchmarks.ledger_process import Timing, apart
from tests.benchmarks.processes import peak_memory
from tests.benchmarks.results import number
from tests.benchmarks.server import Server, serve
from tests.support.bank import LocalBank


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    runs: int = 3
    quick: bool = False

    @property
    def pgbench_s(self) -> int:
        """Return the seconds of one pgbench run."""
        return 3 if self.quick else 10

    @property
    def commands(self) -> int:
        """Return how many single commands a run executes."""
        return 10_000 if self.quick else 60_000

    @property
    def lag_s(self) -> int:
        """Return for how many seconds a run watches the views' lag."""
        return 5 if self.quick else 20


@dataclass
class Bench:
    """One run of the benchmarks; close the stack when done, then nothing is left."""

    plan: Plan
    folder: Path
    console: Console
    stack: ExitStack
    references: list[float] = field(default_factory=list)
    memory_mb: dict[str, float] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @cached_property
    def server(self) -> Server:
        """Return the server of the reference and of the ledger's own measurements."""
        with self.step("start PostgreSQL, make pgbench's tables"):
            server = self.stack.enter_context(serve(self.folder))
            server.prepare_pgbench()
        return server

    def settings(self) -> dict[str, str]:
        """Return PostgreSQL's settings, as the server tells them if it was needed."""
        return self.server.settings() if "server" in vars(self) else SETTINGS

    def reference(self) -> None:
        """Measure pgbench once more."""
        server = self.server
        with self.step("pgbench"):
            server.checkpoint()
            self.references.append(server.pgbench(self.plan.pgbench_s))
        self.say(f"pgbench: {number(self.references[-1])} tps")

    def ledger_runs(self, name: str, run: Callable[..., Timing], *arguments: Any) -> list[Timing]:
        """Run something in a ledger process on a fresh database, pgbench before and after each."""
        self.reference()
        return [
            self.ledger_run(name, each, run, *arguments) for each in range(1, self.plan.runs + 1)
        ]

    def ledger_run(
        self, name: str, number_of_run: int, run: Callable[..., Timing], *arguments: Any
    ) -> Timing:
        """Run something once in a ledger process on a fresh database, then pgbench."""
        server = self.server
        with self.step(f"{name}, run {number_of_run} of {self.plan.runs}"):
            server.checkpoint()
            with server.ledger(f"ledger-{next(self._numbers)}") as (bank, url):
                timing = apart(run, url, bank.clock_file, *arguments)
        self.say(
            f"{name}, run {number_of_run}: {number(timing.per_second)} /s,"
            f" {timing.cpu_seconds / timing.items * 1e6:.1f} µs of CPU each"
        )
        self.reference()
        return timing

    @contextmanager
    def running(self, clock: str = CLOCK, **environment: str) -> Iterator[LocalBank]:
        """Run a whole bank with its own PostgreSQL, as an operator does; nothing of it stays."""
        local = LocalBank(self.folder / f"bank-{next(self._numbers)}", environment)
        try:
            with self.step("databank up"):
                local.up("--clock", clock)
            yield local
            self.note_memory(peak_memory(local))
        finally:
            local.erase()

    def note_memory(self, found: dict[str, float]) -> None:
        """Keep the peak of each process over all banks of this run."""
        for name, peak in found.items():
            self.memory_mb[name] = max(peak, self.memory_mb.get(name, 0.0))

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show what is being done now."""
        with self.console.status(text):
            yield

    def say(self, text: str) -> None:
        """Show a result for good."""
        self.console.print(f"  {text}", highlight=False)
