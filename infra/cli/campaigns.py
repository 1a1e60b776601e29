"""`databank campaign`: what partners pay for, from a draft to the end."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import rich_click as click

from infra.cli.campaign_sums import read_sums, show_sums
from infra.cli.client import PATIENCE_S, Service, tasks_of
from infra.cli.files import FILE, read_document
from infra.cli.gifts import Amount, key_option
from infra.cli.output import Bank, CliError, Output, bank_option, human_bytes
from infra.cli.partners import Document, write
from infra.cli.reports import minutes

STATES = ("drafted", "approved", "running", "paused", "ended")
# What a file says besides the terms.
NAMES = ("campaign", "partner", "asp_id")
ACTS = (("device", "on a device"), ("address", "from an address"))
WAIT_S = 10
STEP_S = 0.2


@click.group()
def campaign() -> None:
    """Draft, approve, fund, start, pause and end campaigns."""


@campaign.command("draft")
@click.argument("file", type=FILE)
@key_option
@bank_option
def draft(bank: Bank, output: Output, file: Path, key: str | None) -> None:
    """Write a campaign down: FILE (JSON, YAML) has campaign, partner, asp_id and the terms."""
    document = read_document(file, *NAMES)
    body = {name: document.pop(name) for name in NAMES} | {"terms": document}
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, "/v1/campaigns", body, key)
    output.show(answer, lambda: _show_campaign(output, answer))


@campaign.command("change")
@click.argument("file", type=FILE)
@key_option
@bank_option
def change(bank: Bank, output: Output, file: Path, key: str | None) -> None:
    """Give a campaign new terms, a new version: FILE as for `draft`."""
    document = read_document(file, "campaign")
    name = document["campaign"]
    terms = {field: value for field, value in document.items() if field not in NAMES}
    _until_known(bank, output, _path(name, "terms"), terms, key, taken=True)


@campaign.command("approve")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def approve(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """Approve a campaign's terms; the ledger opens its account `campaign:NAME`."""
    _until_known(bank, output, _path(name, "approve"), {"reason": reason}, key)


@campaign.command("fund")
@click.argument("name")
@click.argument("amount", type=Amount())
@key_option
@bank_option
def fund(bank: Bank, output: Output, name: str, amount: int, key: str | None) -> None:
    """Put AMOUNT (10GB) of the partner's data into a campaign; returns when it is there."""
    # Sent again under one key until the ledger has answered: it is funded once.
    key = key or uuid4().hex
    with tasks_of(bank, output) as tasks:
        answer = _repeat(
            lambda: write(tasks, _path(name, "fundings"), {"bytes": amount}, key, wait_s=WAIT_S),
            lambda found: all(each["state"] != "asked" for each in found["fundings"]),
        )
    output.show(answer, lambda: _show_campaign(output, answer))


@campaign.command("start")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def start(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """Start a campaign, or go on after a pause; returns when the whole ledger knows it.

    Whom the rule of its audience finds is taken first.
    """
    _until_known(bank, output, _path(name, "start"), {"reason": reason}, key, taken=True)


@campaign.command("pause")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def pause(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """Let a campaign give and pay nothing until it is started again."""
    _until_known(bank, output, _path(name, "pause"), {"reason": reason}, key)


@campaign.command("end")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def end(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """End a campaign for good; what is left of its data goes back to the partner."""
    _until_known(bank, output, _path(name, "end"), {"reason": reason}, key)


@campaign.command("refresh")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def refresh(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """Ask the rule of a campaign's audience again; returns when whom it finds is taken."""
    _until_known(bank, output, _path(name, "audience"), {"reason": reason}, key, taken=True)


@campaign.command("show")
@click.argument("name")
@bank_option
def show(bank: Bank, output: Output, name: str) -> None:
    """Show a campaign, and what it was given and spent, by day and kind."""
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(_path(name))
    answer |= read_sums(bank, output, answer["campaign"], answer["partner"])
    output.show(answer, lambda: _show_whole(output, answer))


@campaign.command("list")
@click.option("--partner", help="Only this partner's.")
@click.option("--in-state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--after", help="Behind this cursor (`next_after` of the page before).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@bank_option
def list_(
    bank: Bank, output: Output, *, partner: str | None, in_state: str | None, after: str | None,
    limit: int,
) -> None:  # fmt: skip
    """List campaigns, newest first."""
    asked = {"partner": partner, "state": in_state, "after": after, "limit": str(limit)}
    query = {name: value for name, value in asked.items() if value is not None}
    with tasks_of(bank, output) as tasks:
        answer = tasks.get("/v1/campaigns", **query)
    output.show(answer, lambda: _show_campaigns(output, answer))


def _path(name: str, *more: str) -> str:
    return "/".join(["/v1/campaigns", *(quote(each, safe="") for each in (name, *more))])


def _until_known(
    bank: Bank, output: Output, path: str, body: Document, key: str | None, *, taken: bool = False
) -> None:
    """Do something to a campaign, and wait until the whole ledger knows what it sponsors.

    `taken`: and until whom its rule finds is taken.
    """
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, path, body, key)
        shown = _path(answer["campaign"])
        if not _is_known(answer):
            answer = _repeat(lambda: tasks.get(shown), _is_known)
        if taken and _is_taking(answer):
            answer = _follow_taking(tasks, output, answer)
    output.show(answer, lambda: _show_campaign(output, answer))


def _is_taking(answer: Document) -> bool:
    return answer["audience"] is not None and answer["audience"]["state"] == "taking"


def _follow_taking(tasks: Service, output: Output, answer: Document) -> Document:
    """Show how far it is until it has ended. Raises CliError unfinished: 60 s without a step."""
    before: Any = None
    with output.progress("Taking the audience") as report:
        while _is_taking(answer):
            step = answer["audience"]["on_list"], answer["audience"]["found"]
            if step != before:
                before, deadline = step, time.monotonic() + PATIENCE_S
            if time.monotonic() > deadline:
                raise CliError(
                    "unfinished",
                    f"whom {answer['campaign']} is for is not known yet; it is gone on with:"
                    " `databank campaign show` tells",
                )
            report(*step)
            time.sleep(STEP_S)
            answer = tasks.get(_path(answer["campaign"]))
    return answer


def _is_known(answer: Document) -> bool:
    return answer["offer"] is None or bool(answer["offer"]["known"])


def _repeat(ask: Callable[[], Any], enough: Callable[[Document], bool]) -> Document:
    """Ask until it is enough. Raises CliError unfinished after 60 s."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer: Document = ask()
        if enough(answer):
            return answer
        if time.monotonic() > deadline:
            raise CliError(
                "unfinished",
                f"{answer['campaign']} is {answer['state']}, but the ledger has not answered yet;"
                " it is gone on with as soon as it does: `databank campaign show` tells",
            )
        time.sleep(STEP_S)


def _show_whole(output: Output, answer: Document) -> None:
    _show_campaign(output, answer)
    show_sums(output, answer)


def _show_campaign(output: Output, answer: Document) -> None:
    terms = answer["terms"]
    title = f" ({terms['title']})" if terms.get("title") else ""
    output.line(f"{answer['campaign']} of {answer['partner']}: {answer['state']}{title}")
    ends = f" until {minutes(terms['ends_at'])}" if terms["ends_at"] else ", without an end"
    approved = "" if answer["approved_version"] == answer["version"] else " (not approved)"
    output.line(f"version {answer['version']}{approved}, from {minutes(terms['starts_at'])}{ends}")
    if terms.get("offer"):
        output.line(_offer(terms["offer"]))
    for task in terms.get("tasks", []):
        output.line(f"task {task['name']}: {task['kind']}")
    if answer["audience"] is not None:
        output.line(f"for whom a rule finds: {_audience(answer['audience'])}")
    output.line(f"budget: {_budget(terms.get('budget', {}))}")
    output.line(f"funded with {human_bytes(answer['funded_bytes'])}")
    for each in answer["fundings"]:
        if each["state"] != "arrived":
            why = f": {each['code']}" if each["code"] else ""
            output.line(f"  {human_bytes(each['bytes'])} {each['state']}{why}")
    for each in answer["unpaid_grants"] or []:
        output.line(
            f"grant {each['grant']}: {each['members']} members lack this month's,"
            f" {each['code']} at {minutes(each['tried_at'])}"
        )


def _audience(audience: Document) -> str:
    taken = audience["taken"]
    known = "nobody was taken yet"
    if taken:
        known = f"{taken['members']:,} taken on {minutes(taken['at'])} (list {audience['list']})"
    if audience["state"] == "taking":
        found = audience["found"]
        of = "" if found is None else f", {audience['on_list']:,} on the list of {found:,} found"
        return f"being taken{of}; {known}"
    return known if audience["state"] != "refused" else f"refused ({audience['code']}); {known}"


def _offer(offer: Document) -> str:
    content = offer.get("content")
    hosts = f", {content['count']} hosts (list {content['version']})" if content else ""
    who = "listed subscribers" if offer.get("listed") else "everybody"
    return f"sponsors {offer['rating_group']}{hosts} for {who}"


def _budget(budget: Document) -> str:
    total = budget.get("total_bytes")
    whole = "what it is funded with" if total is None else f"at most {human_bytes(total)}"
    limits = [
        f"{human_bytes(budget[f'per_{what}_bytes'])} a {what}" for what in ("day", "subscriber")
        if f"per_{what}_bytes" in budget
    ] + [
        f"{budget[f'per_{what}_claims']} acts {by}" for what, by in ACTS
        if f"per_{what}_claims" in budget
    ]  # fmt: skip
    return ", ".join(["unlimited, paid later" if budget.get("unlimited") else whole, *limits])


def _show_campaigns(output: Output, answer: Document) -> None:
    rows = [
        (each["campaign"], each["partner"], each["state"], each["version"],
         minutes(each["terms"]["starts_at"]), minutes(each["terms"]["ends_at"] or ""),
         human_bytes(each["funded_bytes"]))
        for each in answer["campaigns"]
    ]  # fmt: skip
    columns = ["campaign", "partner", "state", "version", "from", "until", "funded"]
    output.table("Campaigns, newest first", columns, rows)
    if answer["next_after"] is not None:
        output.line(f"there is more: --after {answer['next_after']}")
