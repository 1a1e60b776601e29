"""13. A year of 20,000 subscribers: sums at every month's end, `verify`, and every bill explained.

Not a speed that somebody promised, but what must hold after a year; the time is only reported.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from infra.runtime.state import Bank
from services.ledger.application import scan_names
from services.ledger.codec import decode_event
from services.ledger.partition import Partition
from services.ledger.questions import explain
from shared.contracts.ledger import DataSpent
from shared.ids import QUOTA
from tests.benchmarks.bench import Bench
from tests.benchmarks.ledger_process import close_ledger, open_ledger
from tests.benchmarks.processes import run_noted
from tests.benchmarks.results import Row, Target, number
from tests.support.bank import service_url

CLOCK = "2015-01-01T12:00:00+08:00"
SEED = 2015
EVENTS_PAGE = 10_000


@dataclass(frozen=True)
class Bills:
    """What `why` says of every usage record, against what the accounts were charged."""

    accounts: int
    records: int
    sponsored_bytes: int
    different: list[str]


def measure(bench: Bench) -> list[Row]:
    """Live through the year once, whatever the number of runs."""
    subscribers, months = (200, 2) if bench.plan.quick else (20_000, 12)
    with bench.running(clock=CLOCK) as local:
        began = time.monotonic()
        with bench.step(f"databank simulate, {subscribers:,} subscribers, {months} months"):
            life, peak = run_noted(
                local, "simulate", "--subscribers", str(subscribers), "--months", str(months),
                "--seed", str(SEED),
            )  # fmt: skip
        bench.note_memory({"cli simulate": peak})
        lived_s = time.monotonic() - began
        with bench.step("compare every bill"):
            bills = compare(local.bank)
    agree = sum(month["ok"] for month in life["month_ends"])
    check = life["verify"]
    bench.say(
        f"year: {agree} of {months} months' sums agree, verify {'ok' if check['ok'] else check},"
        f" {number(check['events'])} events; bills differ: {bills.different[:5] or 'none'}"
    )
    note = f"{number(life['usage']['rows'])} usage records, {number(check['events'])} events"
    return [
        Row("year", f"a year of {subscribers:,} subscribers by `databank simulate`", "s",
            [lived_s], note=note),
        Row("year-sums", "months at whose end the invariant does not hold", "months",
            [months - agree], Target(at_most=0)),
        Row("year-verify", "`verify` after it finds differences", "", [not check["ok"]],
            Target(at_most=0)),
        Row("year-bills", "accounts whose bill is not the sum of `why` of their records",
            "accounts", [len(bills.different)], Target(at_most=0),
            f"{number(bills.records)} records of {number(bills.accounts)} accounts,"
            f" {number(bills.sponsored_bytes)} bytes paid by campaigns"),
    ]  # fmt: skip


def compare(bank: Bank) -> Bills:
    """Ask `why` of every usage record; sum, per account, who paid: its lots, a campaign, nobody.

    What campaigns paid must be what their quotas spent: both sides lie in one partition.
    """
    ledger = open_ledger(service_url(bank, "ledger"), bank.clock_file, clock=None)
    accounts = records = sponsored_bytes = 0
    different = []
    try:
        for partition in ledger.partitions:
            paid: Counter[str] = Counter()
            quotas = []
            for names in scan_names(partition):
                for name in names:
                    if name.startswith(QUOTA):
                        quotas.append(name)
                        continue
                    asked, same = _bill(partition, name, paid)
                    accounts += 1
                    records += asked
                    different += [] if same else [name]
            different += [name for name in quotas if paid[name] != _spent(partition, name)]
            sponsored_bytes += paid.total()
    finally:
        close_ledger(ledger)
    return Bills(accounts, records, sponsored_bytes, different)


def _spent(partition: Partition, name: str) -> int:
    found = partition.account(name)
    assert found is not None
    return found[0].spent


def _bill(partition: Partition, name: str, paid: Counter[str]) -> tuple[int, bool]:
    """Return how many records an account has, and whether they make its bill.

    What campaigns paid of it is added to `paid`, by quota.
    """
    usage_ids = list(_usage_ids(partition, name))
    explained = explain(partition, name, usage_ids, partition.calendar)
    sums: Counter[str] = Counter()
    for why in explained.values():
        if why["reversed"] is None:
            sums["spent"] += sum(part["bytes"] for part in why["slices"])
            sums["unfunded"] += why["unfunded_bytes"]
            if why["sponsored"] is not None:
                paid[why["sponsored"]["quota"]] += why["sponsored_bytes"]
    found = partition.account(name)
    assert found is not None
    same = (sums["spent"], sums["unfunded"]) == (found[0].spent, found[0].unfunded)
    return len(usage_ids), same and len(explained) == len(usage_ids)


def _usage_ids(partition: Partition, name: str) -> Iterator[str]:
    after = 0
    while rows := partition.account_events(name, after, EVENTS_PAGE):
        for version, topic, state in rows:
            after = version
            if topic == DataSpent.TYPE:
                event = decode_event(topic, bytes(state))
                assert isinstance(event, DataSpent)
                yield from (line.usage_id for line in event.lines)
