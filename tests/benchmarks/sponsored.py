"""Sponsored traffic: a month that one campaign pays for, over all partitions, against plain."""

import time
from pathlib import Path
from statistics import median
from typing import Any

from services.ledger.application import Ledger
from services.ledger.domain.commands import Buy, Fund, OpenAccount, Usage
from services.ledger.domain.context import Meta
from services.ledger.integration import PartitionConsumer
from services.ledger.log import PartitionLog
from services.ledger.offering import put_offer
from shared.bus.inbox import Inbox
from shared.bus.stored_log import LocalLogReader
from shared.contracts.offers import Offer
from tests.benchmarks import data
from tests.benchmarks.bench import Bench
from tests.benchmarks.ledger_process import (
    PARTITIONS,
    Timing,
    batches,
    close_ledger,
    execute,
    open_accounts,
    open_ledger,
    timed,
)
from tests.benchmarks.results import Row, Target, number
from tests.benchmarks.scale import noon, times_pgbench

PARTNER, CAMPAIGN = "partner:hot", "campaign:hot"
BUDGET = 1 << 46
SHARE_MIN = 0.8
WAYS: dict[str, Any] = {
    "unlimited": "on credit",
    "escrow": "out of an escrow, whose quotas are refilled",
}
SETTLE_S = 30.0


def measure(bench: Bench) -> list[Row]:
    """Measure the same records plain, on credit and out of an escrow, in turn."""
    rates: dict[str, list[float]] = {way: [] for way in ("plain", *WAYS)}
    bench.reference()
    for number_of_run in range(1, bench.plan.runs + 1):
        for way, found in rates.items():
            timing = bench.ledger_run(f"sponsored-{way}", number_of_run, run, way)
            found.append(timing.per_second)
    return [_row(bench, way, rates) for way in WAYS]


def _row(bench: Bench, way: str, rates: dict[str, list[float]]) -> Row:
    plain = median(rates["plain"])
    ratios = [one / other for one, other in zip(rates[way], rates["plain"], strict=True)]
    note = f"{times_pgbench(bench, median(rates[way]))}; plain: {number(plain)}/s"
    what = f"sponsored usage, one hot campaign over {PARTITIONS} partitions, {WAYS[way]}, to plain"
    return Row(
        f"sponsored-{way}", what, "x", ratios,
        Target(at_least=SHARE_MIN), note,
    )  # fmt: skip


def run(url: str, clock_file: Path, way: str) -> Timing:
    """Open the accounts and the campaign, then time the month. Runs in a process of its own."""
    month = data.month()
    ledger = open_ledger(url, clock_file)
    try:
        open_accounts(ledger, month.subscribers)
        if way != "plain":
            _sponsor(ledger, way, month.subscribers)
        return timed(ledger, list(batches(month.usage)), callers=1)
    finally:
        close_ledger(ledger)


def _sponsor(ledger: Ledger, way: str, subscribers: list[str]) -> None:
    """Let a campaign pay for all traffic; an escrow's quotas have had their first refill."""
    execute(
        ledger,
        [
            OpenAccount(key="open", account=PARTNER),
            OpenAccount(key="open", account=CAMPAIGN, partner=PARTNER),
            Buy(key="buy", account=PARTNER, bytes=BUDGET),
            Fund(key="fund", account=PARTNER, campaign=CAMPAIGN, bytes=BUDGET),
        ],
    )
    offer = Offer(
        campaign=CAMPAIGN, version=1, partner=PARTNER, sponsor_id="hot", asp_id="hot",
        rating_group="any", starts_at=0, budget=way,  # type: ignore[arg-type]
    )  # fmt: skip
    put_offer(ledger, offer, Meta(actor="operator"))
    if way == "unlimited":
        return
    first = [
        Usage(usage_id="first", account=name, bytes=1, occurred_at=noon())
        for name in subscribers[:100]
    ]
    logs = [PartitionLog(partition, "bank", 1) for partition in ledger.partitions]
    reader = LocalLogReader(logs)
    inboxes = [
        Inbox([PartitionConsumer(ledger, each)], reader, pause_s=0.001)
        for each in ledger.partitions
    ]
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        outcomes, _ = ledger.execute(first, "operator", Meta(actor="operator"))
        if all(outcome.status == "done" for outcome in outcomes):
            return
        for log in logs:
            for inbox in inboxes:
                inbox.catch_up(log.source)
    raise AssertionError("the quotas were not refilled")
