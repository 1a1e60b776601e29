"""What a measurement yields: rows of values with what they must reach."""

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Target:
    """What a row's median must reach: a bound of its own, or a multiple of pgbench's tps."""

    at_least: float | None = None
    at_most: float | None = None
    times_pgbench: float | None = None

    def text(self, unit: str) -> str:
        """Write the target for the table."""
        if self.times_pgbench is not None:
            return f"≥ {self.times_pgbench:g} x pgbench"
        if self.at_least is not None:
            return f"≥ {self.at_least:,g} {unit}"
        return "" if self.at_most is None else f"≤ {self.at_most:,g} {unit}"


@dataclass(frozen=True)
class Row:
    """One line of the table: a value per run; without a target it is only reported."""

    name: str
    what: str
    unit: str
    values: list[float]
    target: Target = Target()
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median over the runs."""
        return median(self.values)

    def ratio(self, pgbench_tps: float | None) -> float | None:
        """Return the median as a multiple of pgbench's, where that is the target."""
        if self.target.times_pgbench is None or not pgbench_tps:
            return None
        return self.median / pgbench_tps

    def passed(self, pgbench_tps: float | None) -> bool | None:
        """Say whether the target is reached, None where there is none."""
        target, ratio = self.target, self.ratio(pgbench_tps)
        if ratio is not None and target.times_pgbench is not None:
            return ratio >= target.times_pgbench
        if target.at_least is not None:
            return self.median >= target.at_least
        return None if target.at_most is None else self.median <= target.at_most


def number(value: float) -> str:
    """Write a value with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: list[float]) -> str:
    """Write the least and the greatest value."""
    return f"{number(min(values))} … {number(max(values))}" if len(values) > 1 else ""
