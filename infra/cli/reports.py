"""Commands that read or check the bank: balances, spend, totals, month close, verify, rebuild."""

import sys
from collections.abc import Callable
from typing import Any

import rich_click as click

from infra.cli.client import (
    Service,
    gateway_of,
    gifting_of,
    ledger_of,
    read_all_rows,
    read_fresh,
    tasks_of,
)
from infra.cli.output import Bank, CliError, Output, bank_option, human_bytes
from shared.calendar import is_month
from shared.ids import account_kind

VIEWS = (
    "balances",
    "partner_spend",
    "trial_balance",
    "history",
    "campaigns",
    "subscriber_facts",
    "gifts",
    "partners",
    "all",
)
# So many of the accounts that refused a close are named.
REFUSED_SHOWN = 10
TERMS = (
    "earned", "received", "returned", "available", "held", "lapsed", "spent", "transferred",
    "expired", "adjusted", "unfunded", "sponsored", "in_transit",
)  # fmt: skip


@click.command("close-month")
@click.argument("month", metavar="YYYY-MM")
@bank_option
def close_month(bank: Bank, output: Output, month: str) -> None:
    """Close a month: carry over or expire what is left of its lots, once per account.

    An account that refuses is left as it is and told; then it ends with 1.
    """
    if not is_month(month):
        raise click.UsageError(f"the month is written YYYY-MM, not {month!r}")
    with ledger_of(bank, output) as ledger, output.progress(f"Closing {month}") as report:
        result = ledger.stream(f"/v1/months/{month}:close", report)
    output.show(result, lambda: _show_close(output, month, result))
    if result["refused"]:
        sys.exit(1)


@click.command()
@click.argument("subscriber")
@click.option("--at", metavar="TIME", help="As the bank had recorded it by then (ISO 8601).")
@bank_option
def balance(bank: Bank, output: Output, subscriber: str, at: str | None) -> None:
    """Show what a subscriber has, lot by lot; or partner:NAME, or campaign:NAME."""
    if account_kind(subscriber) is None:
        raise CliError(
            "account_invalid",
            "a subscriber has 1 to 64 letters, digits, _ or -;"
            " others are partner:NAME, campaign:NAME",
        )
    query = {} if at is None else {"at": at}
    path = f"/v1/accounts/{subscriber}/balance"
    answer = read_fresh(bank, output, path, account=subscriber, **query)
    output.show(answer, lambda: _show_balance(output, answer))


@click.command("partner-spend")
@click.argument("partner", required=False)
@bank_option
def partner_spend(bank: Bank, output: Output, partner: str | None) -> None:
    """Show what partners' campaigns gave to subscribers, by campaign, day and kind."""
    path = "/v1/partners/spend"
    if partner is not None:
        name = partner if partner.startswith("partner:") else f"partner:{partner}"
        path = f"/v1/partners/{name}/spend"
    answer = read_all_rows(bank, output, path)
    output.show(answer, lambda: _show_spend(output, answer))


@click.command()
@bank_option
def totals(bank: Bank, output: Output) -> None:
    """Show the bank's trial balance: what was earned and where it is now."""
    answer = read_fresh(bank, output, "/v1/trial-balance")
    output.show(answer, lambda: _show_totals(output, answer))


@click.command()
@click.argument("view", type=click.Choice(VIEWS))
@bank_option
def rebuild(bank: Bank, output: Output, view: str) -> None:
    """Build a view anew from the ledger's log and swap it in."""
    result = rebuild_view(bank, output, view)
    output.show(result, lambda: _show_rebuilt(output, result))


def rebuild_view(bank: Bank, output: Output, view: str) -> dict[str, Any]:
    """Build a view, or `all`, anew and return each one's report."""
    with gateway_of(bank) as gateway, output.progress(f"Rebuilding {view}") as report:
        return gateway.stream(f"/v1/views/{view}:rebuild", report)


@click.command()
@bank_option
def verify(bank: Bank, output: Output) -> None:
    """Refold every log and compare it with the accounts' states and with every view."""
    result = verify_bank(bank, output)
    output.show(result, lambda: show_verify(output, result))
    if not result["ok"]:
        sys.exit(1)


def verify_bank(bank: Bank, output: Output) -> dict[str, Any]:
    """Return what ledger, gateway, gifting and tasks found, together."""
    with ledger_of(bank) as ledger, output.progress("Refolding the ledger") as report:
        found = ledger.stream("/v1/verify", report)
    with gateway_of(bank) as gateway, output.progress("Comparing the views") as report:
        views = gateway.stream("/v1/verify", report)
    with gifting_of(bank) as gifting, output.progress("Refolding gifts") as report:
        gifts = gifting.stream("/v1/verify", report)
    with tasks_of(bank) as tasks, output.progress("Refolding partners and claims") as report:
        done = tasks.stream("/v1/verify", report)
    checked = {"ledger": found, "views": views, "gifting": gifts, "tasks": done}
    differences = [each.get("first_difference") for each in checked.values()]
    return {
        "ok": all(each["ok"] for each in checked.values()),
        "events": found["events"],
        "accounts": found["accounts"],
        "first_difference": next((each for each in differences if each), None),
        **checked,
    }


@click.command()
@click.argument("action", type=click.Choice(["list", "retry"]), default="list")
@bank_option
def parked(bank: Bank, output: Output, action: str) -> None:
    """List events that could not be applied, or apply them again, each account's in order."""
    if action == "retry":
        results = _of_all(bank, lambda service: service.post("/v1/parked:retry", {}).body)
        output.show(results, lambda: _show_retried(output, results))
    else:
        answers = _of_all(bank, _all_parked)
        rows = [
            {"service": name, **row} for name, answer in answers.items() for row in answer["parked"]
        ]
        output.show({"parked": rows}, lambda: _show_parked(output, rows))


def _all_parked(service: Service) -> dict[str, Any]:
    return {"parked": service.get_all("/v1/parked", "parked")}


def _of_all(bank: Bank, ask: Callable[[Service], Any]) -> dict[str, Any]:
    found = {}
    for open_service in (ledger_of, gateway_of, gifting_of, tasks_of):
        with open_service(bank) as service:
            found[service.name] = ask(service)
    return found


def _show_close(output: Output, month: str, result: dict[str, Any]) -> None:
    rows = [
        ("accounts closed", result["accounts"], ""),
        ("accounts with a carry lot", result["carried_accounts"], ""),
        ("bytes carried over", result["carried_bytes"], human_bytes(result["carried_bytes"])),
        ("bytes expired", result["expired_bytes"], human_bytes(result["expired_bytes"])),
        ("accounts that refused", result["refused"], ""),
    ]
    output.table(f"Month {month}", ["", "count", " "], rows)
    if not result["refused"]:
        return
    codes = [(code, count) for code, count in result["refused_by_code"].items()]
    output.table("Not closed", ["because of", "accounts"], codes)
    for each in result["refused_accounts"][:REFUSED_SHOWN]:
        output.line(f"{each['account']}: {each['detail']}")
    more = result["refused"] - REFUSED_SHOWN
    if more > 0:
        output.line(f"and {more:,} more (--json names up to 100)")


def _show_balance(output: Output, answer: dict[str, Any]) -> None:
    names = (
        "available_bytes", "held_bytes", "lapsed_bytes", "upcoming_bytes", "outside_hours_bytes",
    )  # fmt: skip
    output.table(
        f"{answer['subscriber']} at {minutes(answer.get('at') or answer['as_of'])}",
        ["", "bytes", " "],
        [
            (name.removesuffix("_bytes").replace("_", " "), answer[name], human_bytes(answer[name]))
            for name in names
            if name in answer
        ],
    )
    output.table("Lots", *_lots(answer["lots"]))
    for paid in answer.get("sponsored", []):
        output.line(
            f"{_name(paid['campaign'])} of {_name(paid['partner'])} paid for"
            f" {human_bytes(paid['bytes'])} in {paid['records']:,} records this month"
        )


def _lots(lots: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return titles and rows of lots; scope and hours where some lot is not for everything."""
    columns: dict[str, Callable[[dict[str, Any]], Any]] = {
        "lot": lambda lot: lot["lot_id"],
        "kind": lambda lot: lot["kind"],
        "bytes left": lambda lot: lot["remaining_bytes"],
        "": lambda lot: human_bytes(lot["remaining_bytes"]),
        "from": lambda lot: minutes(lot["valid_from"]),
        "until": lambda lot: minutes(lot["expires_at"]),
    }
    if any(lot["scope"] != "any" or lot["hours"] is not None for lot in lots):
        columns |= {
            "scope": lambda lot: _scope(lot["scope"]),
            "hours": lambda lot: _hours(lot["hours"]),
        }
    return list(columns), [[cell(lot) for cell in columns.values()] for lot in lots]


def _scope(scope: str | list[str]) -> str:
    return scope if isinstance(scope, str) else ", ".join(scope)


def _hours(band: dict[str, int] | None) -> str:
    """Write a time band of the bank day as from and until when."""
    if band is None:
        return "all"
    ends = (divmod(band[name], 60) for name in ("begins", "ends"))
    return "-".join(f"{hour:02}:{minute:02}" for hour, minute in ends)


def _show_spend(output: Output, answer: dict[str, Any]) -> None:
    grouped = any(row["rating_group"] for row in answer["rows"])
    cost = any(row["amount_fen"] for row in answer["rows"])
    rows = [
        (
            _name(row["partner"]), _name(row["campaign"]), row["day"], row["kind"],
            *([row["rating_group"]] if grouped else []),
            row["bytes"], human_bytes(row["bytes"]), row["count"], row["subscribers"],
            *([f"{row['amount_fen'] / 100:,.2f}"] if cost else []),
        )
        for row in answer["rows"]
    ]  # fmt: skip
    columns = [
        "partner", "campaign", "day", "kind", *(["group"] if grouped else []), "bytes", "", "count",
        "people", *(["yuan"] if cost else []),
    ]  # fmt: skip
    output.table("Partner spend", columns, rows)
    output.line(f"total {human_bytes(answer['total_bytes'])} ({answer['total_bytes']:,} B)")


def _show_totals(output: Output, answer: dict[str, Any]) -> None:
    rows = [(term.replace("_", " "), answer[term], human_bytes(answer[term])) for term in TERMS]
    output.table(f"Totals of {answer['accounts']:,} accounts", ["", "bytes", " "], rows)


def show_verify(output: Output, result: dict[str, Any]) -> None:
    """Show what `verify_bank` found."""
    if result["ok"]:
        output.line(
            f"all is well: {result['events']:,} events of {result['accounts']:,} accounts,"
            " every view equal"
        )
    else:
        output.line(f"NOT equal; the first difference: {result['first_difference']}")


def _show_parked(output: Output, rows: list[dict[str, Any]]) -> None:
    if not rows:
        output.line("nothing is parked")
        return
    columns = ["service", "consumer", "source", "sequence", "account", "error"]
    output.table(
        "Parked events", columns, [[row.get(column) for column in columns] for row in rows]
    )


def _show_retried(output: Output, results: dict[str, Any]) -> None:
    rows = [
        (name, place, count["applied"], count["still_parked"])
        for name, result in results.items()
        for places in result.values()
        for place, count in places.items()
    ]
    output.table("Parked events", ["service", "where", "applied", "still parked"], rows)


def _show_rebuilt(output: Output, result: dict[str, Any]) -> None:
    rows = [
        (name, view["events"], view["usage_lines"], f"{view['seconds']:.3f}")
        for name, view in result.items()
    ]
    output.table("Rebuilt", ["view", "events", "usage lines", "seconds"], rows)


def _name(account: str | None) -> str | None:
    """Return an account's name without its kind: a column's title says that."""
    return account.partition(":")[2] if account and ":" in account else account


def minutes(time: str) -> str:
    """Write an ISO 8601 time as people read it, to the minute; midnight is the day alone."""
    return time[:16].replace("T00:00", "").replace("T", " ")
