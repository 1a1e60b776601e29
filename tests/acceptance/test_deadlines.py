"""Ten thousand gifts whose deadline is the same moment: each comes back once, whoever dies."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from typed_settings.types import SecretStr

from services.gifting.bootstrap import make_bank
from services.gifting.gifts import GiftTerms, RequestGift, check_of
from services.gifting.ledger import HttpLedger
from shared.config import Settings
from shared.errors import UnavailableError
from shared.ids import log_name
from shared.sagas.requests import Asking
from tests.acceptance.steps import do, kill, wait_until_ready
from tests.support.bank import LocalBank, service_url, wait_until

CLOCK = "2015-09-01T12:00:00+08:00"
GIFTS = 10_000
# Everybody gives to the next two: with three new senders a receiver would look like abuse.
EACH = 2
PEOPLE = GIFTS // EACH
BYTES = 10 << 20
AT_ONCE = 500
KILLED = ("ledger", "gifting", "ledger")
ALL_S = 90.0
RETURNED = """
SELECT count(*), count(DISTINCT originator_id),
    count(*) FILTER (WHERE convert_from(state, 'UTF8')::jsonb ->> 'code' = 'timed_out')
FROM gifting_00.stored_events WHERE topic = 'bank.gifting.gift_returned.v1'
"""
RELEASED = """
SELECT count(*), count(DISTINCT originator_id) FROM {log}.stored_events
WHERE topic = 'bank.ledger.hold_released.v1'
"""

pytestmark = pytest.mark.slow


def person(number: int) -> str:
    return f"person-{number % PEOPLE}"


def open_accounts(bank: LocalBank) -> None:
    """Open accounts that are old enough to give, and young enough to be given something unused."""
    commands: list[dict[str, Any]] = [
        {"key": "open", "type": "open_account", "account": person(number), "plan": "std-1gb",
         "active_from": "2015-08"}
        for number in range(PEOPLE)
    ]  # fmt: skip
    do(bank, commands)


def give(bank: LocalBank) -> None:
    """Let everybody give something to the next two, to be accepted in 72 h.

    It is what gifting's web process does with so many requests, but for HTTP's share of the work.
    """
    settings = Settings(
        bank_id=bank.bank.bank_id,
        gifting_database_url=SecretStr(service_url(bank.bank, "gifting")),
        ledger_url=bank.bank.ledger_url,
        service_token=SecretStr(bank.bank.operator_token),
        bank_clock_file=str(bank.state / "clock"),
        bank_sandbox=True,
    )
    ledger = HttpLedger(settings.ledger_url, settings.service_token)
    gifting = make_bank(settings, ledger=ledger).gifting
    try:
        for numbers in batched(range(GIFTS), AT_ONCE):
            terms = [terms_of(number) for number in numbers]
            checks = [check_of(each, gifting.store.rules()) for each in terms]
            found: list[Any] = [None] * len(checks)
            # Who is not answered in time is decided about a moment later, by the worker.
            with suppress(UnavailableError):
                found = ledger.check(checks)
            futures = []
            for number, each, facts in zip(numbers, terms, found, strict=True):
                job = RequestGift(Asking("operator", each.sender, f"gift-{number}", each), each)
                job.facts = facts
                futures.append(gifting.writer.submit(job))
            for future in futures:
                future.result(ALL_S)
    finally:
        gifting.close()
        ledger.close()


def terms_of(number: int) -> GiftTerms:
    sender, nth = divmod(number, EACH)
    return GiftTerms(
        sender=person(sender), receiver=person(sender + 1 + nth), bytes=BYTES, waits=True,
        confirmed=True,
    )  # fmt: skip


def batched(numbers: range, size: int) -> Iterator[range]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def states(url: str) -> dict[str, int]:
    """Return how many gifts are in which state."""
    with psycopg.connect(url) as conn:
        return dict(
            conn.execute("SELECT state, count(*) FROM gifting_00.gifts GROUP BY state").fetchall()
        )


def released(bank: LocalBank) -> tuple[int, int]:
    """Return how many holds have timed out, and of how many people."""
    count = people = 0
    with psycopg.connect(service_url(bank.bank, "ledger")) as conn:
        for partition in range(bank.bank.partitions):
            row = conn.execute(RELEASED.format(log=log_name(partition))).fetchone()
            assert row is not None
            count, people = count + row[0], people + row[1]
    return count, people


def kill_while_gifts_come_back(bank: LocalBank, url: str) -> list[int]:
    """Kill one after the other in the middle of it; return how many were back each time."""
    killed_at: list[int] = []
    deadline = time.monotonic() + ALL_S
    for service in KILLED:
        before = killed_at[-1] if killed_at else 0
        while (back := states(url).get("returned", 0)) <= before:
            assert time.monotonic() < deadline, "no more gifts come back"
            time.sleep(0.02)
        if back == GIFTS:
            break
        kill(bank, service)
        killed_at.append(back)
    return killed_at


def test_ten_thousand_gifts_due_at_once_come_back_once_each_although_ledger_and_gifting_die(
    make_local_bank: Callable[..., LocalBank],
) -> None:
    bank = make_local_bank()
    bank.up("--clock", CLOCK)
    open_accounts(bank)
    give(bank)
    url = service_url(bank.bank, "gifting")
    wait_until(lambda: states(url) == {"held": GIFTS}, ALL_S, "all gifts are held")
    assert bank.json("totals")["held"] == GIFTS * BYTES

    advancing = bank.popen("clock", "advance", "73h")
    killed_at = kill_while_gifts_come_back(bank, url)
    assert len(killed_at) >= 2, f"all was over too early: {killed_at}"
    assert advancing.wait(ALL_S) == 0

    wait_until_ready(bank)
    wait_until(lambda: states(url) == {"returned": GIFTS}, ALL_S, "all gifts are back")
    with psycopg.connect(url) as conn:
        assert conn.execute(RETURNED).fetchone() == (GIFTS, GIFTS, GIFTS)
    assert bank.json("totals")["held"] == 0
    assert released(bank) == (GIFTS, PEOPLE)
    assert bank.json("verify")["ok"]
