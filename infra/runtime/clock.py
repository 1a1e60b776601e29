"""The sandbox clock: moved forward by hand, and seen by every process before that is reported."""

import json
import re
import time

import httpx2

from infra.errors import CliError
from infra.runtime.processes import lock_holder
from infra.runtime.state import Bank, write_private
from shared.calendar import Calendar
from shared.clock import BankClock

SEEN_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 15.0
POLL_S = 0.1
UNITS_MS = {
    "ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
}  # fmt: skip
DURATION = re.compile(r"(\d+)(ms|[smhdw])")


def parse_time(bank: Bank, text: str) -> int:
    """Read an ISO 8601 time as milliseconds UTC; without a zone it is the bank's."""
    try:
        return Calendar(bank.timezone).parse(text)
    except ValueError as error:
        raise CliError("bad_time", f"{text!r} is no ISO 8601 time: {error}") from error


def parse_duration(text: str) -> int:
    """Read a duration such as `90m`, `36h` or `1d12h` as milliseconds."""
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CliError("bad_duration", f"{text!r} is no duration such as 90m, 36h or 1d12h")
    return sum(int(number) * UNITS_MS[unit] for number, unit in parts)


def now(bank: Bank) -> int:
    """Return bank time in milliseconds UTC."""
    return BankClock(bank.clock_file if bank.sandbox else None).now()


def offset_ms(bank: Bank) -> int:
    """Return how far bank time is ahead of wall time."""
    return BankClock(bank.clock_file if bank.sandbox else None).offset_ms()


def set_clock(bank: Bank, at: int) -> None:
    """Move bank time forward to an instant; returns when every process has seen it.

    Raises CliError `not_a_sandbox`, `clock_backwards` or `clock_not_seen`.
    """
    if not bank.sandbox:
        raise CliError("not_a_sandbox", "only a sandbox's clock can be set (`up --sandbox`)")
    if at < now(bank):
        calendar = Calendar(bank.timezone)
        raise CliError(
            "clock_backwards",
            f"the clock goes forward only: it is {calendar.text(now(bank))} in the bank",
        )
    store_clock(bank, at)
    if lock_holder(bank.run_dir) is not None:
        _await_seen(bank)


def store_clock(bank: Bank, at: int) -> None:
    """Write the offset that makes bank time this instant now."""
    offset = at - time.time_ns() // 1_000_000
    write_private(bank.clock_file, json.dumps({"offset_ms": offset}) + "\n")


def _await_seen(bank: Bank) -> None:
    wanted = offset_ms(bank)
    deadline = time.monotonic() + SEEN_TIMEOUT_S
    waiting = [
        f"{bank.ledger_url}/v1/clock?barrier=1", f"{bank.gifting_url}/v1/clock?barrier=1",
        f"{bank.tasks_url}/v1/clock?barrier=1", f"{bank.gateway_url}/v1/clock",
    ]  # fmt: skip
    while waiting:
        waiting = [url for url in waiting if _seen_offset(bank, url) != wanted]
        if waiting and time.monotonic() > deadline:
            raise CliError(
                "clock_not_seen", f"the clock is set, but not every process saw it: {waiting}"
            )
        if waiting:
            time.sleep(POLL_S)


def _seen_offset(bank: Bank, url: str) -> int | None:
    try:
        answer = httpx2.get(
            url, headers={"Authorization": f"Bearer {bank.operator_token}"}, timeout=ASK_TIMEOUT_S
        )
        if answer.status_code != httpx2.codes.OK:
            return None
        return int(answer.json()["offset_ms"])
    except (httpx2.HTTPError, ValueError, KeyError):
        return None
