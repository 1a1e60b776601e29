"""6. Peak resident memory of every process of the bank, over all that was measured before."""

from tests.benchmarks.bench import Bench
from tests.benchmarks.cli import import_month
from tests.benchmarks.results import Row, Target

RSS_MB_MAX = 300.0


def measure(bench: Bench) -> list[Row]:
    """Report the peaks; where no bank ran before, one imports the month and rebuilds its views."""
    if not bench.memory_mb:
        with bench.running() as local:
            import_month(bench, local)
            with bench.step("rebuild all"):
                local.json("rebuild", "all")
    return [
        Row(f"memory {name}", f"peak memory of {name}", "MB", [peak], Target(at_most=RSS_MB_MAX))
        for name, peak in sorted(bench.memory_mb.items())
    ]
