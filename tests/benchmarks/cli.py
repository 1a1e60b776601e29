"""3. End to end: an operator imports the month's files into a running bank."""

from typing import Any

from tests.benchmarks import data
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import run_noted
from tests.benchmarks.results import Row, number
from tests.support.bank import LocalBank


def measure(bench: Bench) -> list[Row]:
    """Measure `import-usage` into a fresh bank, accounts opened on the way."""
    values = []
    for each in range(1, bench.plan.runs + 1):
        with bench.running() as local:
            result = import_month(bench, local)
            values.append(result["rows"] / result["seconds"])
        bench.say(f"import, run {each}: {number(values[-1])} rows/s")
    what = f"{data.month_source()} by `databank import-usage`, accounts opened on the way"
    return [Row("cli", what, "rows/s", values, note="reading, checking and HTTP included")]


def import_month(bench: Bench, local: LocalBank) -> Any:
    """Import the month's files and return what the command says."""
    files = [str(path) for path in data.usage_files(bench.folder)]
    with bench.step("databank import-usage"):
        result, peak = run_noted(
            local, "import-usage", *files, "--open-accounts", data.PLAN,
            "--active-from", data.MONTH,
        )  # fmt: skip
    bench.note_memory({"cli import-usage": peak})
    return result
