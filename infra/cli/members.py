"""`databank members` and `databank audience`: lists of people, and how large an audience is."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import rich_click as click

from infra.cli.client import Service, tasks_of
from infra.cli.files import FILE, read_document
from infra.cli.output import Bank, CliError, Output, bank_option
from infra.cli.partners import write
from infra.cli.people import batches, read_people
from infra.cli.supply import show_rejected

Document = dict[str, Any]
ROWS_PER_CALL = 5_000
NOTHING_TAKEN = "nothing_taken"


@click.group()
def members() -> None:
    """Import and show lists of members."""


@members.command("import")
@click.argument("name", metavar="LIST")
@click.argument("file", type=FILE)
@click.option("--remove", is_flag=True, help="Take the people in FILE off the list.")
@bank_option
def import_members(bank: Bank, output: Output, name: str, file: Path, *, remove: bool) -> None:
    """Put the people in FILE (CSV, JSON lines, one a line) on LIST; each bad row has its reason."""
    people, verb = read_people(file), "remove" if remove else "add"
    counts: Document = {"list": name, "rows": len(people), "taken": 0, "rejected": []}
    with tasks_of(bank, output) as tasks, output.progress("Importing", len(people)) as report:
        for start, some in batches(people, ROWS_PER_CALL):
            _send(tasks, counts, start, {verb: some})
            report(start + len(some), None)
    output.show(counts, lambda: _show_import(output, counts))


def _send(tasks: Service, counts: Document, start: int, batch: Document) -> None:
    try:
        answer = write(tasks, f"/v1/lists/{counts['list']}/members", batch, uuid4().hex)
    except CliError as error:
        if error.code != NOTHING_TAKEN:
            raise
        answer = {"added": 0, "removed": 0, "rejected": error.extra["rejected"]}
    counts["taken"] += answer["added"] + answer["removed"]
    counts["rejected"] += [{**each, "row": each["row"] + start} for each in answer["rejected"]]


def _show_import(output: Output, counts: Document) -> None:
    output.line(f"{counts['list']}: {counts['taken']} of {counts['rows']} rows were taken")
    show_rejected(output, counts["rejected"])


@members.command("list")
@bank_option
def list_lists(bank: Bank, output: Output) -> None:
    """Show the lists."""
    with tasks_of(bank, output) as tasks:
        answer = {"lists": tasks.get_all("/v1/lists", "lists")}
    rows = [[each["list"], each["version"], each["members"]] for each in answer["lists"]]
    output.show(answer, lambda: output.table("", ["list", "version", "members"], rows))


@members.command("show")
@click.argument("name", metavar="LIST")
@click.option("--after", default="", help="Only members behind this one.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 5_000))
@bank_option
def show_list(bank: Bank, output: Output, name: str, *, after: str, limit: int) -> None:
    """Show who is on LIST, in order."""
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(f"/v1/lists/{name}", after=after, limit=str(limit))
    output.show(answer, lambda: _show_members(output, answer))


def _show_members(output: Output, answer: Document) -> None:
    for each in answer["subscribers"]:
        output.line(each)
    if answer["next_after"]:
        output.note(f"more: --after {answer['next_after']}")


@click.group()
def audience() -> None:
    """Tell how large an audience is."""


@audience.command("count")
@click.argument("file", type=FILE)
@click.option(
    "--as-partner", is_flag=True, help="As a partner may know it: in tens, none below 50."
)
@bank_option
def count(bank: Bank, output: Output, file: Path, *, as_partner: bool) -> None:
    """Count the audience in FILE (JSON, YAML: all, list or rule, or a campaign that has one)."""
    document = read_document(file)
    body = {"audience": document.get("audience", document), "as_partner": as_partner}
    with tasks_of(bank, output) as tasks:
        answer = tasks.post("/v1/audiences:preview", body).body
    told = "everyone" if answer["everyone"] else f"{answer['count']:,} subscribers"
    output.show(answer, lambda: output.line(told))
