"""What the gateway's views say of a campaign, shown beside tasks' own state of it."""

from typing import Any
from urllib.parse import quote

from infra.cli.client import read_all_rows, read_fresh
from infra.cli.output import Bank, CliError, Output, human_bytes

Document = dict[str, Any]
# The ledger has no account of a campaign before it is approved.
NOT_OPENED = "account_not_found"
# What came in, where it is, where it went.
CAME = ("funded", "charged_on_credit")
LEFT = ("available", "held", "lapsed")
WENT = ("awarded", "sponsored", "given_back", "expired", "in_transit", "adjusted")


def read_sums(bank: Bank, output: Output, campaign: str, partner: str) -> Document:
    """Return `sums` and `spend` (rows by day, kind and rating group) of a campaign.

    Both are null where they could not be read, and `sums_missing` has the code that says why.
    """
    try:
        sums = read_fresh(bank, output, f"/v1/campaigns/{quote(campaign, safe='')}")
        spend = _spend(bank, output, campaign, partner)
    except CliError as error:
        if error.code != NOT_OPENED:
            output.note(f"note: what the campaign spent is not known now: {error.detail}")
        return {"sums": None, "spend": None, "sums_missing": error.code}
    return {"sums": sums, "spend": spend, "sums_missing": None}


def _spend(bank: Bank, output: Output, campaign: str, partner: str) -> list[Document]:
    path = f"/v1/partners/{quote(partner, safe='')}/spend"
    answer = read_all_rows(bank, output, path, campaign=f"campaign:{campaign}")
    rows: list[Document] = answer["rows"]
    return rows


def show_sums(output: Output, found: Document) -> None:
    """Print what was read, or why nothing was."""
    missing, sums = found["sums_missing"], found["sums"]
    if missing is not None:
        why = f"not known now ({missing})"
        if missing == NOT_OPENED:
            why = "nothing: it has no account yet"
        output.line(f"spent: {why}")
        return
    for title, terms in (("came in", CAME), ("is left", LEFT), ("went", WENT)):
        shown = [
            f"{term.replace('_', ' ')} {human_bytes(sums[f'{term}_bytes'])}"
            for term in terms if sums[f"{term}_bytes"] or term in ("funded", "available")
        ]  # fmt: skip
        output.line(f"{title}: {', '.join(shown) or '0 B'}")
    if not sums["balanced"]:
        output.line("what came is not what is left and went: `databank verify` tells where")
    if found["spend"]:
        _show_spend(output, found["spend"])


def _show_spend(output: Output, spend: list[Document]) -> None:
    grouped = any(row["rating_group"] for row in spend)
    cost = any(row["amount_fen"] for row in spend)
    rows = [
        (
            row["day"], row["kind"], *([row["rating_group"]] if grouped else []), row["bytes"],
            human_bytes(row["bytes"]), row["count"], row["subscribers"],
            *([f"{row['amount_fen'] / 100:,.2f}"] if cost else []),
        )
        for row in spend
    ]  # fmt: skip
    columns = [
        "day", "kind", *(["group"] if grouped else []), "bytes", "", "count", "people",
        *(["yuan"] if cost else []),
    ]  # fmt: skip
    output.table("Spent by day", columns, rows)
