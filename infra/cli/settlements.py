"""`databank partner settlement`: what a partner owes for a day, and whether the ledger agrees."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rich_click as click

from infra.cli.client import gateway_of
from infra.cli.output import Bank, Output, bank_option


@click.command()
@click.argument("name")
@click.argument("day", metavar="YYYY-MM-DD")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the CSV to this file."
)
@click.option("--check", is_flag=True, help="Count the day again from the ledger's log, too.")
@bank_option
def settlement(
    bank: Bank, output: Output, name: str, day: str, *, out: Path | None, check: bool
) -> None:
    """Show what a partner owes for a day that is over; the same whenever it is asked."""
    path = f"/v1/partners/{quote(name, safe=':')}/settlements/{quote(day)}"
    with gateway_of(bank) as gateway:
        answer: dict[str, Any] = gateway.get(path, format="json")
        file = gateway.get_file(path)
        if out is not None:
            out.write_bytes(file)
            answer["file"] = str(out)
        if check:
            with output.progress(f"Counting {day} again") as report:
                answer["check"] = gateway.stream(f"{path}:check", report)
    output.show(answer, lambda: _show(output, answer, file.decode()))
    if check and not answer["check"]["ok"]:
        sys.exit(1)


def _show(output: Output, answer: dict[str, Any], text: str) -> None:
    if "file" in answer:
        output.line(f"{len(answer['lines'])} lines in {answer['file']}")
    else:
        output.line(text.rstrip("\n"))
    output.line(f"{answer['total_bytes']:,} bytes, {answer['total_fen'] / 100:,.2f} yuan")
    if "check" in answer:
        found = answer["check"]
        said = "the ledger says the same" if found["ok"] else f"NOT so: {found['first_difference']}"
        output.line(said)
