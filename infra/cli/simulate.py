"""`databank simulate`: months of a made-up population's life, checked at each month's end."""

import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import rich_click as click

from infra.cli.client import Answer, Service, gateway_of, ledger_of, read_fresh
from infra.cli.commands import CHUNK_COMMANDS, send
from infra.cli.loader import BATCH_LINES, IN_FLIGHT_MAX, charge
from infra.cli.output import Bank, CliError, Output, Progress, Report, bank_option, human_bytes
from infra.runtime import clock as bank_clock
from infra.simulation import EXPECTED, OFFERS, Command, Life, Period, periods_of
from shared.calendar import Calendar, add_months

SEED = 800
CLOSE_HOUR_MS = 6 * 3_600_000
# Usage up to midnight is in, and nothing lies in the future.
PAST_MIDNIGHT_MS = 5 * 60_000
# Longer than a period: whoever wants to end a hold by hand does so in time.
HOLD_DAYS = 10
SETTLED_S = 60.0
SETTLED_STEP_S = 0.2
CAME = ("earned", "received", "returned")
WENT = ("available", "held", "lapsed", "spent", "transferred", "expired", "adjusted")

Document = dict[str, Any]


@dataclass
class Counts:
    """What became of what was sent."""

    commands: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    usage: Counter[str] = field(default_factory=Counter)
    months: list[Document] = field(default_factory=list)


@click.command()
@click.option("--subscribers", type=click.IntRange(2), default=1_000, show_default=True)
@click.option("--months", type=click.IntRange(1, 120), default=3, show_default=True)
@click.option(
    "--seed", type=int, default=SEED, show_default=True, help="Another seed makes another life."
)
@click.option(
    "--rows-per-day", type=click.IntRange(1), help="Usage records a day; else half a subscriber."
)
@bank_option
def simulate(
    bank: Bank, output: Output, subscribers: int, months: int, seed: int, rows_per_day: int | None
) -> None:
    """Let a sandbox live through months: plans, usage, gifts, awards, sponsors, closes and more.

    It moves the clock, closes each month, checks that the bank's sums agree, and ends in `verify`.
    It begins in an empty bank; with the same number of subscribers and seed it goes on in its own.
    """
    if not bank.sandbox:
        raise CliError("not_a_sandbox", "a made-up life belongs in a sandbox: `up --sandbox`")
    life = Life(seed, subscribers, rows_per_day or max(1, subscribers // 2))
    started = time.monotonic()
    with ledger_of(bank, output) as ledger, Progress() as bars:
        simulation = Simulation(bank, output, ledger, life)
        simulation.check_bank()
        result = simulation.run(months, bars)
    result["seconds"] = round(time.monotonic() - started, 3)
    output.show(result, lambda: _show(output, result))
    if not result["ok"]:
        raise CliError("simulation_failed", "the bank's books do not agree; see the result")


class Simulation:
    """A life on a bank, sent over HTTP."""

    def __init__(self, bank: Bank, output: Output, ledger: Service, life: Life) -> None:
        self.counts = Counts()
        self._bank = bank
        self._output = output
        self._ledger = ledger
        self._life = life
        self._calendar = Calendar(bank.timezone)
        self._zone = ZoneInfo(bank.timezone)

    def check_bank(self) -> None:
        """Check that nobody is there, or this life's people alone; nothing is stored.

        Raises CliError bank_not_empty.
        """
        totals = read_fresh(self._bank, self._output, "/v1/trial-balance")
        if not totals["accounts"]:
            return
        openings = self._life.openings(self._calendar.month_of(bank_clock.now(self._bank)))
        for start in range(0, len(openings), CHUNK_COMMANDS):
            part = openings[start : start + CHUNK_COMMANDS]
            outcomes, _ = send(self._ledger, part, _quiet, dry_run=True)
            if not all(map(_was_opened, outcomes)):
                raise CliError(
                    "bank_not_empty",
                    f"the bank has {totals['accounts']:,} accounts, and they are not those of this"
                    " life: begin in an empty sandbox (`databank up --sandbox --state FOLDER`), or"
                    " go on with the number of subscribers and the seed that it began with;"
                    " nothing was done",
                )

    def run(self, months: int, bars: Progress) -> Document:
        """Live through months from the clock's day on; returns the summary."""
        now = bank_clock.now(self._bank)
        first = self._calendar.month_of(now)
        start = datetime.fromtimestamp(now / 1000, self._zone).date()
        report = bars.add("Opening accounts", None)
        self._send(self._life.openings(first), report)
        for offer in OFFERS:
            name = offer["campaign"].removeprefix("campaign:")
            self._ledger.put(f"/v1/offers/{name}", offer)
        bar = bars.add("Days", None)
        days = lived = 0
        spans = [self._periods(add_months(first, number), start) for number in range(months)]
        days = sum(period.days for span in spans for period in span)
        for number, span in enumerate(spans):
            month = add_months(first, number)
            self._send(self._life.purchases(month), _quiet)
            for period in span:
                self._live(period)
                lived += period.days
                bar(lived, days)
            self.counts.months.append(self._close(month, bars))
        return self._summary(months, bars)

    def _periods(self, month: str, start: date) -> list[Period]:
        first = date.fromisoformat(f"{month}-01")
        last = date.fromisoformat(f"{add_months(month, 1)}-01") - timedelta(days=1)
        return periods_of(first, last, start)

    def _live(self, period: Period) -> None:
        midnight = self._calendar.parse((period.last + timedelta(days=1)).isoformat())
        self._clock(midnight + PAST_MIDNIGHT_MS)
        self._use(period)
        deadline = (period.last + timedelta(days=1 + HOLD_DAYS)).isoformat()
        self._send(self._life.deeds(period, deadline), _quiet)

    def _clock(self, at: int) -> None:
        if at > bank_clock.now(self._bank):
            bank_clock.set_clock(self._bank, at)

    def _use(self, period: Period) -> None:
        """Send a period's usage, a few batches at a time."""
        lines = self._life.lines(period, self._zone)
        waiting: deque[Future[Answer]] = deque()
        with ThreadPoolExecutor(IN_FLIGHT_MAX) as pool:
            while batch := list(islice(lines, BATCH_LINES)):
                if len(waiting) == IN_FLIGHT_MAX:
                    self._count_usage(waiting.popleft().result())
                waiting.append(pool.submit(charge, self._ledger, batch))
            while waiting:
                self._count_usage(waiting.popleft().result())

    def _count_usage(self, answer: Answer) -> None:
        for outcome in answer.body["outcomes"]:
            self.counts.usage["rows"] += 1
            self.counts.usage["repeated"] += bool(outcome["repeated"])
            self.counts.usage["spent_bytes"] += outcome["spent_bytes"]
            self.counts.usage["sponsored_bytes"] += outcome["sponsored_bytes"]
            self.counts.usage["unfunded_bytes"] += outcome["unfunded_bytes"]
            self._count_refusal("usage", outcome)

    def _send(self, commands: list[Command], report: Report) -> None:
        outcomes, _ = send(self._ledger, commands, report)
        for command, outcome in zip(commands, outcomes, strict=True):
            self._life.heard(command, outcome)
            self.counts.commands[command["type"]] += 1
            self._count_refusal(command["type"], outcome)

    def _count_refusal(self, what: str, outcome: Document) -> None:
        if outcome["status"] == "done":
            return
        if outcome["code"] not in EXPECTED:
            detail = f"{what} was refused: {outcome['code']}: {outcome.get('detail', '')}"
            raise CliError("simulation_refused", detail)
        self.counts.refusals[f"{what}: {outcome['code']}"] += 1

    def _close(self, month: str, bars: Progress) -> Document:
        """Close a month and check the sums; the views are asked, so they are checked as well."""
        self._settle()
        ends_at = self._calendar.month_end(month)
        self._clock(ends_at + CLOSE_HOUR_MS)
        report = bars.add(f"Closing {month}")
        result = self._ledger.stream(f"/v1/months/{month}:close", report)
        if result["refused"]:
            detail = f"the close of {month} was refused: {result['refused_by_code']}"
            raise CliError("simulation_refused", detail)
        totals = self._settle()
        came, went = (sum(totals[name] for name in names) for names in (CAME, WENT))
        level = totals["transferred"] == totals["received"] + totals["returned"]
        return {
            "month": month, "ok": came == went and level, **result,
            "earned_bytes": totals["earned"], "spent_bytes": totals["spent"],
            "available_bytes": totals["available"], "unfunded_bytes": totals["unfunded"],
        }  # fmt: skip

    def _settle(self) -> Document:
        """Return the totals once nothing is under way."""
        deadline = time.monotonic() + SETTLED_S
        while True:
            totals = read_fresh(self._bank, self._output, "/v1/trial-balance")
            if not totals["in_transit"] and not totals.get("stale"):
                return totals
            if time.monotonic() > deadline:
                raise CliError("not_settled", f"transfers are still under way after {SETTLED_S} s")
            time.sleep(SETTLED_STEP_S)

    def _summary(self, months: int, bars: Progress) -> Document:
        ledger = self._ledger.stream("/v1/verify", bars.add("Refolding the ledger"))
        with gateway_of(self._bank) as gateway:
            views = gateway.stream("/v1/verify", bars.add("Comparing the views"))
        return {
            "ok": bool(ledger["ok"] and views["ok"] and all(m["ok"] for m in self.counts.months)),
            "subscribers": self._life.count, "months": months, "seed": self._life.seed,
            "usage": dict(self.counts.usage), "commands": dict(self.counts.commands),
            "refusals": dict(sorted(self.counts.refusals.items())),
            "month_ends": self.counts.months,
            "verify": {
                "ok": bool(ledger["ok"] and views["ok"]), "events": ledger["events"],
                "accounts": ledger["accounts"],
                "first_difference": ledger.get("first_difference") or views.get("first_difference"),
            },
        }  # fmt: skip


def _was_opened(outcome: Document) -> bool:
    """Say whether this life opened an account before; in another month, so on other terms."""
    return bool(outcome.get("repeated")) or outcome.get("code") == "conflict"


def _quiet(done: int, of: int | None = None) -> None:
    """Report nothing: the days' bar moves."""
    del done, of


def _show(output: Output, result: Document) -> None:
    columns = ["accounts", "carried_bytes", "expired_bytes", "spent_bytes", "unfunded_bytes"]
    rows = [
        (each["month"], each["accounts"], *(human_bytes(each[name]) for name in columns[1:]),
         "agree" if each["ok"] else "DIFFER")
        for each in result["month_ends"]
    ]  # fmt: skip
    titles = ["month", "accounts", "carried", "expired", "spent so far", "unfunded so far", "sums"]
    output.table("Months", titles, rows)
    output.table("Commands", ["command", "times"], sorted(result["commands"].items()))
    if result["refusals"]:
        output.table("Refused", ["what: why", "times"], list(result["refusals"].items()))
    usage, check = result["usage"], result["verify"]
    output.line(
        f"{usage['rows']:,} usage records, {human_bytes(usage['spent_bytes'])} spent,"
        f" {human_bytes(usage['sponsored_bytes'])} sponsored,"
        f" {human_bytes(usage['unfunded_bytes'])} unfunded, in {result['seconds']} s"
    )
    what = "all is well" if check["ok"] else f"NOT equal: {check['first_difference']}"
    output.line(f"verify: {what}: {check['events']:,} events of {check['accounts']:,} accounts")
