"""5. Rebuild of `balances`: from the log over HTTP to the swapped table."""

from tests.benchmarks import data
from tests.benchmarks.bench import Bench
from tests.benchmarks.cli import import_month
from tests.benchmarks.results import Row, Target, number

LINES_PER_SECOND_MIN = 50_000


def measure(bench: Bench) -> list[Row]:
    """Measure `databank rebuild balances` after the month's import."""
    values = []
    with bench.running() as local:
        import_month(bench, local)
        for each in range(1, bench.plan.runs + 1):
            with bench.step(f"rebuild, run {each} of {bench.plan.runs}"):
                report = local.json("rebuild", "balances")["balances"]
            values.append(report["usage_lines"] / report["seconds"])
            bench.say(f"rebuild, run {each}: {number(values[-1])} lines/s")
    what = f"rebuild of `balances` of {data.month_source()}, HTTP log to swapped table"
    target = Target(at_least=LINES_PER_SECOND_MIN)
    return [Row("rebuild", what, "lines/s", values, target)]
