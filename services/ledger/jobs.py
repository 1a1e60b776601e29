"""What the ledger does by itself: plan lots at a month's start, and the close of the last month."""

import re
from datetime import datetime
from threading import Event
from time import monotonic

from psycopg.rows import tuple_row

from services.ledger.application import ANSWER_TIMEOUT_S
from services.ledger.bank import Bank
from services.ledger.domain.commands import Touch
from services.ledger.domain.context import Meta
from services.ledger.items import Item
from services.ledger.metrics import JOB_FAILURES, observe_refused_closes
from services.ledger.month_ends import MonthSums
from services.ledger.partition import FIRST_DUE, Partition
from services.ledger.rulebooks import spread_rules
from shared.calendar import add_months
from shared.errors import InvalidError, UnavailableError
from shared.logs import logger

BY_THE_LEDGER = Meta(actor="ledger", correlation_id="job")
LOOK_EVERY_S = 1.0
DUE_BATCH = 1_000
# After a close that accounts refused the next one begins after so long, and so many times as long.
CLOSE_AGAIN_S = 60.0
CLOSE_REST = 10
# So many of the accounts that refused are named in the log.
LOGGED_MAX = 5
CLOSE_AT = re.compile(r"(0?[1-9]|1[0-9]|2[0-8]) ([01]?[0-9]|2[0-3]):([0-5][0-9])")


def run_jobs(bank: Bank, stop: Event) -> None:
    """Look every few seconds whether a job is due; ends with `stop`."""
    closes_on, closes_at = parse_close_at(bank.close_at)
    close_from = 0.0
    while not stop.wait(LOOK_EVERY_S):
        try:
            spread_rules(bank.ledger, BY_THE_LEDGER)
            grant_cycles(bank, stop)
            look_at_due(bank, stop)
            if not bank.sandbox and (began := monotonic()) >= close_from:
                refused = close_last_month(bank, closes_on, closes_at).refused
                close_from = monotonic() + wait_s(refused, monotonic() - began)
        except UnavailableError as error:
            JOB_FAILURES.inc()
            logger().warning("job_waits", error=str(error))
        except Exception as error:  # noqa: BLE001 A failed job is tried again at the next look.
            JOB_FAILURES.inc()
            logger().error("job_failed", exc_info=error)


def grant_cycles(bank: Bank, stop: Event) -> None:
    """Grant the running month's plan lots where nobody has touched the account yet."""
    month = bank.calendar.month_of(bank.clock.now())
    for partition in bank.ledger.partitions:
        name = f"cycle:{month}"
        if is_done(partition, name):
            continue
        for _ in bank.ledger.grant_cycle(partition, month, BY_THE_LEDGER):
            if stop.is_set():
                return
        mark_done(partition, name)


def look_at_due(bank: Bank, stop: Event) -> None:
    """Do what is due by the clock, in batches: holds that time out, bytes about to expire.

    An account for which nothing can be done now stays due until the next look, and is passed by.
    """
    now = bank.clock.now()
    for partition in bank.ledger.partitions:
        after = FIRST_DUE
        while not stop.is_set() and (due := partition.accounts_due(now, DUE_BATCH, after)):
            items = [
                Item(Touch(key="due", account=each.account), "ledger", BY_THE_LEDGER)
                for each in due
            ]
            bank.ledger.writers[partition.number].submit(items).result(ANSWER_TIMEOUT_S)
            after = due[-1]


def close_last_month(bank: Bank, day: int, minutes: int) -> MonthSums:
    """Close the month before, once the day and time of closing have come.

    A partition in which accounts refuse, for a reason that can go away, is looked at again the next
    time.
    """
    now = datetime.fromtimestamp(bank.clock.now() / 1000, bank.calendar.zone)
    if (now.day, now.hour * 60 + now.minute) < (day, minutes):
        return MonthSums()
    month = add_months(now.strftime("%Y-%m"), -1)
    name = f"close:{month}"
    still_open = [each for each in bank.ledger.partitions if not is_done(each, name)]
    if not still_open:
        return MonthSums()
    for step in bank.ledger.close_month(month, BY_THE_LEDGER, still_open):
        sums = step.sums
        logger().info(
            "closing", month=month, done=step.done, of=step.of, accounts=sums.accounts,
            carried_bytes=sums.carried_bytes, expired_bytes=sums.expired_bytes,
            refused=sums.refused,
        )  # fmt: skip
    for partition in still_open:
        if partition.name not in step.waiting:
            mark_done(partition, name)
    observe_refused_closes(sums.refused_by_code)
    if sums.refused:
        named = [f"{each.account}: {each.code}" for each in sums.refused_accounts[:LOGGED_MAX]]
        logger().error("close_refused", month=month, refused=sums.refused, accounts=named)
    return sums


def wait_s(refused: int, took_s: float) -> float:
    """Return how long the next close waits: after refusals at least a minute, and ten times it.

    Each looks at every account of a partition again, however few refuse.
    """
    return max(CLOSE_AGAIN_S, took_s * CLOSE_REST) if refused else 0.0


def parse_close_at(text: str) -> tuple[int, int]:
    """Read `D HH:MM` as a day of the month and minutes of the day. Raises InvalidError."""
    match = CLOSE_AT.fullmatch(text)
    if match is None:
        raise InvalidError(
            "BANK_CLOSE_AT is written `D HH:MM`, such as `1 06:00`: a day from 1 to 28 and a time"
        )
    day, hours, minutes = map(int, match.groups())
    return day, hours * 60 + minutes


def is_done(partition: Partition, name: str) -> bool:
    """Say whether a job has ended in this partition."""
    with partition.connection() as conn:
        row = conn.cursor(row_factory=tuple_row).execute(
            "SELECT done FROM jobs WHERE name = %s", (name,)
        ).fetchone()  # fmt: skip
    return bool(row and row[0])


def mark_done(partition: Partition, name: str) -> None:
    """Note that a job has ended in this partition."""
    with partition.connection() as conn:
        conn.execute(
            "INSERT INTO jobs (name, done) VALUES (%s, true) ON CONFLICT DO NOTHING", (name,)
        )
