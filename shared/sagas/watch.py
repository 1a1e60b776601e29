"""What a service with turns counts of them."""

from prometheus_client import Counter, Histogram

from shared.errors import DatabankError

SECONDS_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LOCK_SECONDS_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
JOBS_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500)


class TurnMetrics:
    """The metrics of one service's turns; made once in a process."""

    def __init__(self, service: str) -> None:
        name = f"databank_{service}"
        self.turn_jobs = Histogram(
            f"{name}_turn_jobs", "Requests and batches of events in a transaction",
            buckets=JOBS_BUCKETS,
        )  # fmt: skip
        self.turn_seconds = Histogram(
            f"{name}_turn_seconds",
            "Time from taking jobs to their commit, retries included",
            buckets=SECONDS_BUCKETS,
        )
        self.turn_failures = Counter(
            f"{name}_turn_failures",
            "Transactions that failed; those with reason `retried` were tried again at once",
            ["reason"],
        )
        self.lock_wait_seconds = Histogram(
            f"{name}_lock_wait_seconds",
            "Time that a transaction waited for its turn",
            buckets=LOCK_SECONDS_BUCKETS,
        )
        self.refusals = Counter(
            f"{name}_refusals", "Requests refused when they were decided, by code", ["code"]
        )

    def observe_turn(self, jobs: int, seconds: float) -> None:
        """Count a turn that is committed."""
        self.turn_jobs.observe(jobs)
        self.turn_seconds.observe(seconds)

    def count_failed(self, error: Exception, *, last: bool) -> None:
        """Count a turn that failed."""
        code = error.code if isinstance(error, DatabankError) else "integrity"
        self.turn_failures.labels(code if last else "retried").inc()
