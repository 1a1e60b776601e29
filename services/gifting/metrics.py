"""What gifting counts as it works: once a turn or request.

What is read when Prometheus asks is in `gauges.py`.
"""

from prometheus_client import Counter

from shared.sagas.watch import TurnMetrics

TURNS = TurnMetrics("gifting")
TRANSITIONS = Counter(
    "databank_gifting_transitions", "States that gifts, packets and asks came to", ["kind", "state"]
)
CHECKS = Counter(
    "databank_gifting_ledger_checks", "Questions to the ledger about gifts", ["outcome"]
)
JOB_FAILURES = Counter(
    "databank_gifting_job_failures", "Failed looks at what gifting does by itself"
)
