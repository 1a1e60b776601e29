"""What tasks counts as it works: once a turn or request."""

from prometheus_client import Counter

from shared.sagas.watch import TurnMetrics

TURNS = TurnMetrics("tasks")
TRANSITIONS = Counter(
    "databank_tasks_transitions", "States that things of tasks came to", ["kind", "state"]
)
COMPLETIONS = Counter(
    "databank_tasks_completions", "Completions by partners, by what was answered", ["status"]
)
CALLS_REFUSED = Counter(
    "databank_tasks_calls_refused", "Signed calls that were not taken, by code", ["code"]
)
JOB_FAILURES = Counter("databank_tasks_job_failures", "Failed looks at what tasks does by itself")
