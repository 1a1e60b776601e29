"""What the ledger counts as it works: once a batch, never once a line of usage.

What is read when Prometheus asks is in `gauges.py`.
"""

from collections import Counter as Tally
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from services.ledger.items import Item
from services.ledger.month_ends import PASSING

SECONDS_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LOCK_SECONDS_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
ITEMS_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_000)

COMMANDS = Counter(
    "databank_ledger_commands",
    "Commands and usage records answered, by what became of them (done, repeated, refused)",
    ["type", "outcome"],
)
REFUSALS = Counter("databank_ledger_refusals", "Refusals by code", ["code"])
BATCH_ITEMS = Histogram(
    "databank_ledger_batch_items",
    "Commands and usage records in a transaction",
    ["log"],
    buckets=ITEMS_BUCKETS,
)
BATCH_SECONDS = Histogram(
    "databank_ledger_batch_seconds",
    "Time from taking a batch to its commit, retries included",
    ["log"],
    buckets=SECONDS_BUCKETS,
)
LOCK_WAIT_SECONDS = Histogram(
    "databank_ledger_lock_wait_seconds",
    "Time that a batch waited for its turn at the partition's lock",
    ["log"],
    buckets=LOCK_SECONDS_BUCKETS,
)
BATCH_FAILURES = Counter(
    "databank_ledger_batch_failures",
    "Transactions that failed; those with reason `retried` were tried again at once",
    ["log", "reason"],
)
JOB_FAILURES = Counter(
    "databank_ledger_job_failures", "Failed looks at what the ledger does by itself"
)
CLOSE_REFUSED = Gauge(
    "databank_ledger_close_refused_accounts",
    "Accounts that refused the close of the last month when it was last tried, by code",
    ["code"],
)


def observe_refused_closes(refused_by_code: dict[str, int]) -> None:
    """Tell how many accounts refused the close of the last month."""
    CLOSE_REFUSED.clear()
    for code, count in (dict.fromkeys(PASSING, 0) | refused_by_code).items():
        CLOSE_REFUSED.labels(code).set(count)


observe_refused_closes({})


def observe_batch(log: str, items: list[Item], seconds: float) -> None:
    """Count a batch that is stored; every item has its outcome."""
    size, duration = _of_batches(log)
    size.observe(len(items))
    duration.observe(seconds)
    tally = Tally(
        (type(item.what), item.outcome.status, item.outcome.repeated, item.outcome.code)
        for item in items
        if item.outcome is not None
    )
    for (kind, status, repeated, code), count in tally.items():
        outcome = "repeated" if repeated and status == "done" else status
        _of_commands(kind, outcome).inc(count)
        if code is not None:
            REFUSALS.labels(code).inc(count)


@lru_cache
def _of_batches(log: str) -> tuple[Histogram, Histogram]:
    """Return a log's own metrics; to look them up costs more than to count."""
    return BATCH_ITEMS.labels(log), BATCH_SECONDS.labels(log)


@lru_cache
def _of_commands(kind: type, outcome: str) -> Counter:
    return COMMANDS.labels(type_name(kind), outcome)


@lru_cache
def type_name(kind: type) -> str:
    """Return the name of a command's type as callers know it (`open_account`, `usage`)."""
    tag = getattr(getattr(kind, "__struct_config__", None), "tag", None)
    if isinstance(tag, str):
        return tag
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")
