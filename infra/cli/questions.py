"""Questions about one account or record: which lots paid, what happened, what is to come."""

from typing import Any
from urllib.parse import quote

import rich_click as click

from infra.cli.client import ledger_of
from infra.cli.output import Bank, Output, bank_option, human_bytes
from infra.cli.reports import minutes


@click.command()
@click.argument("usage_id")
@click.option("--subscriber", help="Whose record it is; without it every account is asked.")
@bank_option
def why(bank: Bank, output: Output, usage_id: str, subscriber: str | None) -> None:
    """Show which lots paid for a usage record, and by which rules."""
    query = {} if subscriber is None else {"account": subscriber}
    with ledger_of(bank, output) as ledger:
        answer = ledger.get(f"/v1/usage/{quote(usage_id, safe='')}", **query)
    output.show(answer, lambda: _show_why(output, answer))


def _show_why(output: Output, answer: dict[str, Any]) -> None:
    paid = [(each["lot_id"], each["kind"], each["bytes"]) for each in answer["slices"]]
    for name, who in (("sponsored_bytes", "a sponsor"), ("unfunded_bytes", "no lot")):
        if answer[name]:
            paid.append((who, "", answer[name]))
    when = minutes(answer["occurred_at"])
    output.table(
        f"{answer['usage_id']} of {answer['account']}, {when}",
        ["paid by", "kind", "bytes", " "],
        [(*each, human_bytes(each[2])) for each in paid],
    )
    late = ", late: its month was over" if answer["late"] else ""
    output.line(
        f"{answer['bytes']:,} bytes, charged {minutes(answer['recorded_at'])} under version"
        f" {answer['rule_version']} of the rules{late}; events {', '.join(answer['event_ids'])}"
    )
    if answer["reversed"]:
        undone = answer["reversed"]
        output.line(
            f"reversed {minutes(undone['at'])} by {undone['actor']} ({undone['reason']}):"
            f" {undone['restored_bytes']:,} bytes went back to these lots"
        )
