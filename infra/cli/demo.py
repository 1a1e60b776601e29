"""`databank demo`: a small made-up population with partners, gifts, awards and weeks of usage."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import rich_click as click

from infra.cli.client import Service, ledger_of
from infra.cli.commands import send
from infra.cli.loader import ALREADY_OPEN, BATCH_LINES, Opening
from infra.cli.output import Bank, CliError, Output, Progress, Report, bank_option, program
from infra.cli.usage_file import usage_row
from infra.generator import Generator
from shared.clock import BankClock

SEED = 800
SUBSCRIBERS = 200
ROWS_PER_DAY = 300
GIFTS = 25
AWARDS = 80
MIB = 1 << 20
GIB = 1 << 30
PLANS = (
    "std-30mb",
    "std-30mb",
    "std-30mb",
    "std-100mb",
    "std-100mb",
    "std-300mb",
    "std-1gb",
    "basic-10mb",
)
PARTNERS = {
    "partner:rides": ("campaign:rides-welcome", "campaign:rides-weekend"),
    "partner:music": ("campaign:music-listen", "campaign:music-friends"),
    "partner:maps": ("campaign:maps-offline",),
}
PURCHASE_BYTES = 4 * GIB
FUNDING_BYTES = 1 * GIB
# Funding crosses partitions over the bus; awards wait for it.
ARRIVAL_S = 15.0
ARRIVAL_STEP_S = 0.2

Command = dict[str, Any]


@dataclass(frozen=True)
class Story:
    """What the demo does, made from a seed; the first and last day of usage follow the clock."""

    generator: Generator
    first: date
    last: date

    @property
    def subscribers(self) -> list[str]:
        """Return the subscribers."""
        return self.generator.subscribers(SUBSCRIBERS)

    def openings(self) -> list[Command]:
        """Return commands that open all accounts and buy what partners need."""
        month = self.first.strftime("%Y-%m")
        commands: list[Command] = []
        for partner, campaigns in PARTNERS.items():
            commands.append(_command("open", partner, type="open_account"))
            commands.append(_command("purchase", partner, type="buy", bytes=PURCHASE_BYTES))
            commands += [
                _command("open", each, type="open_account", partner=partner) for each in campaigns
            ]
        for number, subscriber in enumerate(self.subscribers):
            commands.append(dict(Opening(PLANS[number % len(PLANS)], month).command(subscriber)))
        return commands

    def fundings(self) -> list[Command]:
        """Return commands that put bytes into the campaigns."""
        return [
            _command(
                f"fund:{campaign}", partner, type="fund", campaign=campaign, bytes=FUNDING_BYTES
            )
            for partner, campaigns in PARTNERS.items()
            for campaign in campaigns
        ]

    def movements(self) -> list[Command]:
        """Return awards of all campaigns and gifts between subscribers."""
        campaigns = [campaign for each in PARTNERS.values() for campaign in each]
        people = self.subscribers
        awards = [
            _command(
                f"award:{n}", campaigns[n % len(campaigns)], type="award",
                subscriber=people[n * 7 % len(people)], bytes=(1 + n % 10) * 2 * MIB,
            )
            for n in range(AWARDS)
        ]  # fmt: skip
        gifts = [
            _command(
                f"gift:{n}", people[n], type="transfer", to=people[-1 - n], bytes=(1 + n % 4) * MIB
            )
            for n in range(GIFTS)
        ]
        return awards + gifts

    def usage(self, zone: ZoneInfo) -> Iterator[dict[str, Any]]:
        """Yield usage lines, day by day."""
        days = self.generator.days(self.subscribers, self.first, self.last, per_day=ROWS_PER_DAY)
        for number, columns in enumerate(days):
            row = usage_row(columns, number, zone)
            yield {
                "usage_id": row.usage_id, "account": row.subscriber, "bytes": row.bytes,
                "occurred_at": row.occurred_at,
            }  # fmt: skip

    @property
    def usage_rows(self) -> int:
        """Return how many usage lines there are."""
        return ROWS_PER_DAY * ((self.last - self.first).days + 1)


@click.command()
@click.option(
    "--seed", type=int, default=SEED, show_default=True, help="Another seed makes other people."
)
@bank_option
def demo(bank: Bank, output: Output, seed: int) -> None:
    """Fill a sandbox with a small made-up population, the same for the same seed."""
    run_demo(bank, output, seed)


def run_demo(bank: Bank, output: Output | None = None, seed: int = SEED) -> dict[str, Any]:
    """Fill a bank and show what to try next; a second run on the same day changes nothing."""
    output = output or Output(json=False)
    if not bank.sandbox:
        raise CliError(
            "not_a_sandbox", "made-up people belong in a sandbox: `databank up --sandbox`"
        )
    story = make_story(seed, BankClock(bank.clock_file).now(), bank.timezone)
    started = time.monotonic()
    with ledger_of(bank, output) as ledger, Progress() as bars:
        result = _tell(story, ledger, ZoneInfo(bank.timezone), bars)
    result["seconds"] = round(time.monotonic() - started, 3)
    output.show(result, lambda: _show(output, bank, story, result))
    return result


def make_story(seed: int, now: int, timezone: str) -> Story:
    """Return the story of a seed: usage from the first day of last month to yesterday."""
    today = datetime.fromtimestamp(now / 1000, ZoneInfo(timezone)).date()
    last_month = today.replace(day=1) - timedelta(days=1)
    return Story(Generator(seed), last_month.replace(day=1), today - timedelta(days=1))


def _tell(story: Story, ledger: Service, zone: ZoneInfo, bars: Progress) -> dict[str, Any]:
    openings, fundings, movements = story.openings(), story.fundings(), story.movements()
    reports = [
        bars.add("Accounts and purchases", len(openings)),
        bars.add("Campaigns", len(fundings)),
        bars.add("Gifts and awards", len(movements)),
        bars.add("Usage", story.usage_rows),
    ]
    outcomes = _all_done(ledger, openings, reports[0])
    outcomes += _all_done(ledger, fundings, reports[1])
    outcomes += _all_done(ledger, movements, reports[2])
    accepted = _use(ledger, story, zone, reports[3])
    new = sum(outcome["status"] == "done" and not outcome.get("repeated") for outcome in outcomes)
    return {
        "accounts": SUBSCRIBERS + len(PARTNERS) + sum(map(len, PARTNERS.values())),
        "commands": len(outcomes),
        "commands_new": new,
        "usage_rows": story.usage_rows,
        "usage_new": accepted,
    }


def _all_done(ledger: Service, commands: list[Command], report: Report) -> list[dict[str, Any]]:
    """Send commands until all are done: what they need may still be on its way to them."""
    deadline = time.monotonic() + ARRIVAL_S
    done: list[dict[str, Any]] = []
    while True:
        outcomes, _ = send(ledger, commands, _after(len(done), report))
        waiting = [
            each
            for each in outcomes
            if each["status"] != "done" and each["code"] not in ALREADY_OPEN
        ]
        done += [each for each in outcomes if each not in waiting]
        if not waiting:
            return done
        first = waiting[0]
        if first["code"] != "insufficient_data" or time.monotonic() > deadline:
            raise CliError(
                first["code"], f"the demo stops at {first['key']}: {first.get('detail', '')}"
            )
        keys = {each["key"] for each in waiting}
        commands = [command for command in commands if command["key"] in keys]
        time.sleep(ARRIVAL_STEP_S)


def _after(before: int, report: Report) -> Report:
    return lambda count, of: report(before + count, of)


def _use(ledger: Service, story: Story, zone: ZoneInfo, report: Report) -> int:
    accepted = sent = 0
    lines = story.usage(zone)
    while batch := list(islice(lines, BATCH_LINES)):
        outcomes = ledger.post("/v1/usage", {"lines": batch}).body["outcomes"]
        accepted += sum(each["status"] == "done" and not each.get("repeated") for each in outcomes)
        sent += len(batch)
        report(sent, None)
    return accepted


def _command(key: str, account: str, **fields: Any) -> Command:
    return {"key": f"demo:{key}", "account": account, **fields}


def _show(output: Output, bank: Bank, story: Story, result: dict[str, Any]) -> None:
    output.line(
        f"{result['accounts']} accounts,"
        f" {result['commands']} commands ({result['commands_new']} new),"
        f" {result['usage_rows']:,} usage rows ({result['usage_new']:,} new)"
        f" in {result['seconds']} s"
    )
    month = story.first.strftime("%Y-%m")
    output.line(f"Try next (with --state {bank.state} or DATABANK_STATE):")
    for text in (
        "totals",
        f"balance {story.subscribers[0]}",
        "partner-spend",
        f"close-month {month}",
        "rebuild all",
        "verify",
    ):
        output.line(f"  {program()} {text}")
