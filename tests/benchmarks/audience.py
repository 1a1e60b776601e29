"""An audience's rule over 1,000,000 subscribers: asked over HTTP, counted, then all named.

The view's rows are written straight into its tables: how they come there is measured by `lag` and
`rebuild`, and a million accounts of a ledger would take the measurement's time ten times over.
"""

import time

from infra.cli.client import Service, gateway_of
from services.gateway.store import SCHEMA
from shared.calendar import Calendar
from shared.db import connect
from tests.benchmarks.bench import Bench
from tests.benchmarks.results import Row, Target, number
from tests.support.bank import LocalBank, service_url

SUBSCRIBERS, QUICK_SUBSCRIBERS = 1_000_000, 50_000
SECONDS_MAX = 10
MIB = 1 << 20
MONTHS = ("2015-06", "2015-07")
# Every second one has used it for long, every third has the large plan; usage is spread evenly.
FILL = """
INSERT INTO subscriber_facts (account, opened_at, last_used_at)
SELECT 's' || md5(one::text), %(opened)s, CASE WHEN one %% 2 = 0 THEN %(used)s ELSE 0 END
FROM generate_series(1, %(count)s) AS one
"""
FILL_PLANS = """
INSERT INTO subscriber_plans (account, from_month, plan)
SELECT 's' || md5(one::text), '2015-01', CASE WHEN one %% 3 = 0 THEN 'std-1gb' ELSE 'std-30mb' END
FROM generate_series(1, %(count)s) AS one
"""
FILL_MONTH = """
INSERT INTO subscriber_months (month, account, used_bytes, unused_bytes)
SELECT %(month)s, 's' || md5(one::text), one %% 100 * 1048576, (100 - one %% 100) * 1048576
FROM generate_series(1, %(count)s) AS one
"""
RULE = {
    "tier": ["std-30mb"], "lapsed_days": 10,
    "used": {"month": "2015-07", "at_least_bytes": 10 * MIB, "at_most_bytes": 60 * MIB},
    "unused": {"month": "2015-06", "at_least_bytes": 20 * MIB},
}  # fmt: skip


def measure(bench: Bench) -> list[Row]:
    """Measure how long a rule with all its conditions takes, to a count and to every name."""
    subscribers = QUICK_SUBSCRIBERS if bench.plan.quick else SUBSCRIBERS
    counted, named, found = [], [], 0
    with bench.running(clock="2015-08-20T12:00:00+08:00") as local, gateway_of(local.bank) as gw:
        with bench.step(f"write {subscribers:,} subscribers"):
            _fill(local, subscribers)
        for each in range(1, bench.plan.runs + 1):
            with bench.step(f"audience, run {each} of {bench.plan.runs}"):
                took, found = _count(gw)
                counted.append(took)
                named.append(_list(gw, found))
            bench.say(f"audience, run {each}: {counted[-1]:.2f} s, {named[-1]:.2f} s with names")
    what = f"a rule of an audience over {number(subscribers)} subscribers, over HTTP"
    target, note = Target(at_most=SECONDS_MAX), f"{found:,} found"
    return [
        Row("audience", f"{what}: their number", "s", counted, target, note),
        Row("audience-list", f"{what}: their names", "s", named, target, note),
    ]


def _fill(local: LocalBank, count: int) -> None:
    calendar = Calendar("Asia/Shanghai")
    values = {
        "count": count, "opened": calendar.parse("2015-01-01"),
        "used": calendar.parse("2015-08-01"),
    }  # fmt: skip
    with connect(service_url(local.bank, "gateway"), schema=SCHEMA) as conn:
        conn.execute(FILL, values)
        conn.execute(FILL_PLANS, values)
        for month in MONTHS:
            conn.execute(FILL_MONTH, {**values, "month": month})


def _count(gateway: Service) -> tuple[float, int]:
    began = time.perf_counter()
    answer = gateway.post("/v1/audiences:count", RULE).body
    return time.perf_counter() - began, answer["count"]


def _list(gateway: Service, wanted: int) -> float:
    """Return how long it takes until every name is here. Raises RuntimeError where some lack."""
    named = 0

    def count(done: int, _: int | None) -> None:
        nonlocal named
        named = done

    began = time.perf_counter()
    gateway.stream("/v1/audiences:list", count, RULE)
    if named != wanted:
        raise RuntimeError(f"{wanted} were counted, {named} named")
    return time.perf_counter() - began
