"""Questions about one account or record: which lots paid, what happened, what is to come."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import rich_click as click

from infra.cli.client import ledger_of, read_fresh
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


@click.command()
@click.argument("subscriber")
@click.option("--kind", help="Only entries of this kind, as `spent` or `transferred`.")
@click.option("--from", "start", metavar="TIME", help="Only entries from then on (ISO 8601).")
@click.option("--to", "end", metavar="TIME", help="Only entries before then (ISO 8601).")
@click.option("--after", default=0, show_default=True, help="Only entries behind this number.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500))
@bank_option
def history(
    bank: Bank, output: Output, subscriber: str, *, kind: str | None, start: str | None,
    end: str | None, after: int, limit: int,
) -> None:  # fmt: skip
    """Show what happened to a subscriber, partner:NAME or campaign:NAME, oldest first."""
    asked = {"kind": kind, "from": start, "to": end, "after": str(after), "limit": str(limit)}
    query = {name: value for name, value in asked.items() if value is not None}
    path = f"/v1/accounts/{quote(subscriber, safe=':')}/history"
    answer = read_fresh(bank, output, path, account=subscriber, **query)
    output.show(answer, lambda: _show_history(output, answer))


@click.command()
@click.argument("subscriber")
@click.option("--within", metavar="DURATION", help="Only what expires within, as `7d` or `36h`.")
@bank_option
def forecast(bank: Bank, output: Output, subscriber: str, within: str | None) -> None:
    """Show what expires when, and what the next month brings, if nobody does anything."""
    query = {} if within is None else {"within": within}
    path = f"/v1/accounts/{quote(subscriber, safe=':')}/forecast"
    with ledger_of(bank, output) as ledger:
        answer = ledger.get(path, **query)
    output.show(answer, lambda: _show_forecast(output, answer))


def _show_forecast(output: Output, answer: dict[str, Any]) -> None:
    rows = [
        (
            minutes(each["at"]),
            lot["lot_id"],
            lot["kind"],
            human_bytes(lot["bytes"]),
            human_bytes(lot["expired_bytes"]),
        )
        for each in answer["expiring"]
        for lot in each["lots"]
    ]
    title = f"What {answer['subscriber']} has, by its end (exact bytes: --json)"
    if rows:
        output.table(title, ["ends", "lot", "kind", "left", "expires"], rows)
    else:
        output.line("nothing ends in that time")
    for each in answer["earlier_months"]:
        output.line(
            f"{each['month']} is still open: its close carries {human_bytes(each['carried_bytes'])}"
            f" over and lets {human_bytes(each['expired_bytes'])} expire; the tables are as then"
        )
    coming = answer["next_cycle"]
    lapsed = coming["lapsed_bytes"]
    amounts = [
        ("carried over from this month", coming["carried_bytes"]),
        ("expires with this month", coming["expired_bytes"]),
        *([("of it lapsed already", lapsed)] if lapsed else []),
        (f"plan {coming['plan'] or '-'}", coming["plan_bytes"]),
        ("available then", coming["available_bytes"]),
    ]
    output.table(
        f"{coming['month']}, from {minutes(coming['starts_at'])}, if nobody does anything",
        ["", "bytes", " "],
        [(name, amount, human_bytes(amount)) for name, amount in amounts],
    )


def _show_history(output: Output, answer: dict[str, Any]) -> None:
    rows = [
        (
            entry["entry"],
            minutes(entry["at"]),
            entry["kind"].replace("_", " "),
            _change(entry),
            human_bytes(entry["balance_bytes"]),
            _what(entry),
        )
        for entry in answer["entries"]
    ]
    title = f"History of {answer['subscriber']} (exact bytes: --json)"
    output.table(title, ["", "time", "what", "change", "left", "more"], rows)
    if answer["next_after"] is not None:
        output.line(f"there is more: --after {answer['next_after']}")


def _change(entry: dict[str, Any]) -> str:
    change = entry["bytes_in"] - entry["bytes_out"]
    return ("+" if change > 0 else "") + human_bytes(change) if change else ""


def _whom(entry: dict[str, Any]) -> list[str]:
    """Return with whom bytes were moved, and for what."""
    facts = []
    if "counterparty" in entry:
        came = entry["kind"] in ("received", "clawed_back")
        facts.append(("from " if came else "to ") + entry["counterparty"])
    if "purpose" in entry:
        facts.append(entry["purpose"].replace("_", " "))
    if "fee_bytes" in entry:
        facts.append(f"of it a fee of {entry['fee_bytes']:,} B")
    return facts


def _what(entry: dict[str, Any]) -> str:
    facts = _amounts(entry) + _whom(entry)
    facts += [entry[name] for name in ("code", "usage_id", "month") if name in entry]
    facts += [tell(entry) for name, tell in _TOLD.items() if name in entry]
    if len(entry["lots"]) == 1:
        facts.append(entry["lots"][0]["lot_id"])
    elif entry["lots"]:
        facts.append(f"{len(entry['lots'])} lots")
    if entry["reason"]:
        facts.append(f"{entry['reason']} ({entry['actor']})")
    return ", ".join(facts)


def _amounts(entry: dict[str, Any]) -> list[str]:
    facts = [f"{entry['lines']:,} records"] if "lines" in entry else []
    if entry.get("unfunded_bytes"):
        facts.append(f"{entry['unfunded_bytes']:,} B unfunded")
    facts += [
        f"{amount:,} B paid by {campaign}" for campaign, amount in entry.get("sponsors", {}).items()
    ]
    if entry.get("shortfall_bytes"):
        facts.append(f"{entry['shortfall_bytes']:,} B were not left")
    return facts


def _plan(entry: dict[str, Any]) -> str:
    return str(entry["plan"]) + (f" from {entry['from_month']}" if "from_month" in entry else "")


def _crossed(entry: dict[str, Any]) -> str:
    """Tell which threshold was crossed, and how much can still be used."""
    if entry["threshold"] == "plan_used":
        edge = f"{entry['value']} % of {entry['lot_id']} used"
    elif entry["threshold"] == "low_balance":
        edge = f"no more than {human_bytes(entry['value'])} left"
    else:
        edge = f"{human_bytes(entry['expiring_bytes'])} end within {entry['value']} days"
        edge += f", by {minutes(entry['expires_at'])}"
    return f"{edge}; {human_bytes(entry['available_bytes'])} available"


def _thresholds(entry: dict[str, Any]) -> str:
    own = entry["thresholds"]
    if own is None:
        return "the rules' thresholds"
    edges = [f"{percent} % of the plan" for percent in own.get("plan_used_percent", [])]
    if own.get("low_balance_bytes"):
        edges.append(f"{human_bytes(own['low_balance_bytes'])} left")
    edges += [f"{days} days before an end" for days in own.get("expiring_days", [])]
    return ", ".join(edges) or "none"


# How a fact that only some kinds of entries have is told.
_TOLD: dict[str, Callable[[dict[str, Any]], str]] = {
    "plan": _plan,
    "deadline": lambda entry: f"until {minutes(entry['deadline'])}",
    "cause": lambda entry: entry["cause"].replace("_", " "),
    "threshold": _crossed,
    "thresholds": _thresholds,
}


def _show_why(output: Output, answer: dict[str, Any]) -> None:
    paid = [(each["lot_id"], each["kind"], each["bytes"]) for each in answer["slices"]]
    if answer["sponsored_bytes"]:
        paid.append((answer["sponsored"]["campaign"], "sponsored", answer["sponsored_bytes"]))
    if answer["unfunded_bytes"]:
        paid.append(("no lot", "", answer["unfunded_bytes"]))
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
