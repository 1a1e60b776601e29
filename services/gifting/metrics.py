"""What gifting counts as it works: once a turn or request.

What is read when Prometheus asks is in `gauges.py`.
"""

from prometheus_client import Counter, Histogram

from shared.errors import DatabankError

SECONDS_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LOCK_SECONDS_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
JOBS_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500)

TURN_JOBS = Histogram(
    "databank_gifting_turn_jobs", "Requests and batches of events in a transaction",
    buckets=JOBS_BUCKETS,
)  # fmt: skip
TURN_SECONDS = Histogram(
    "databank_gifting_turn_seconds",
    "Time from taking jobs to their commit, retries included",
    buckets=SECONDS_BUCKETS,
)
TURN_FAILURES = Counter(
    "databank_gifting_turn_failures",
    "Transactions that failed; those with reason `retried` were tried again at once",
    ["reason"],
)
LOCK_WAIT_SECONDS = Histogram(
    "databank_gifting_lock_wait_seconds",
    "Time that a transaction waited for its turn",
    buckets=LOCK_SECONDS_BUCKETS,
)
REFUSALS = Counter(
    "databank_gifting_refusals", "Requests refused when they were decided, by code", ["code"]
)
TRANSITIONS = Counter(
    "databank_gifting_transitions", "States that gifts, packets and asks came to", ["kind", "state"]
)
CHECKS = Counter(
    "databank_gifting_ledger_checks", "Questions to the ledger about gifts", ["outcome"]
)
JOB_FAILURES = Counter(
    "databank_gifting_job_failures", "Failed looks at what gifting does by itself"
)


def observe_turn(jobs: int, seconds: float) -> None:
    """Count a turn that is committed."""
    TURN_JOBS.observe(jobs)
    TURN_SECONDS.observe(seconds)


def count_failed_turn(error: Exception, *, last: bool) -> None:
    """Count a turn that failed."""
    code = error.code if isinstance(error, DatabankError) else "integrity"
    TURN_FAILURES.labels(code if last else "retried").inc()
