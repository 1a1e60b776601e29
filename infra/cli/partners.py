"""`databank partner`: who pays for data; its apps, keys, contract, prices and data."""

import dataclasses
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import rich_click as click

from infra.cli import signed
from infra.cli.client import Service, read_fresh, tasks_of
from infra.cli.files import FILE, read_document
from infra.cli.gifts import Amount, key_option
from infra.cli.output import Bank, Output, bank_option, human_bytes
from infra.cli.reports import minutes
from infra.cli.settlements import settlement
from infra.runtime.processes import state_lock
from infra.runtime.state import find_bank

Document = dict[str, Any]


@click.group()
def partner() -> None:
    """Register partners, and keep their apps, keys, contracts, prices and data."""


for _command in (signed.complete, signed.answer, signed.claw_back):
    partner.add_command(_command)


@partner.command("register")
@click.argument("name")
@click.option("--sponsor-id", required=True, help="What its systems call it (`sponsorId`).")
@click.option("--title", default="", help="Its name for people.")
@key_option
@bank_option
def register(
    bank: Bank, output: Output, name: str, sponsor_id: str, title: str, key: str | None
) -> None:
    """Register a partner; the ledger opens its account `partner:NAME`."""
    body = {"partner": name, "sponsor_id": sponsor_id, "title": title}
    _change(bank, output, "/v1/partners", body, key)


@partner.command("show")
@click.argument("name")
@bank_option
def show(bank: Bank, output: Output, name: str) -> None:
    """Show a partner, with what is left of the data that it bought."""
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(_path(name))
    output.show(answer, lambda: _show_partner(output, answer))


@partner.command("list")
@click.option("--after", help="Behind this cursor (`next_after` of the page before).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@bank_option
def list_(bank: Bank, output: Output, after: str | None, limit: int) -> None:
    """List partners, newest first."""
    query = {"limit": str(limit), **({"after": after} if after else {})}
    with tasks_of(bank, output) as tasks:
        answer = tasks.get("/v1/partners", **query)
    output.show(answer, lambda: _show_partners(output, answer))


@partner.command("alarms")
@click.option("--partner", "of", help="Of this partner and its campaigns only.")
@bank_option
def alarms(bank: Bank, output: Output, of: str | None) -> None:
    """List the partners and campaigns that have little left: less than 20 % or 5 %."""
    asked = {} if of is None else {"partner": of}
    answer = read_fresh(bank, output, "/v1/partners/alarms", **asked)
    output.show(answer, lambda: _show_alarms(output, answer))


@partner.command("suspend")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def suspend(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """Refuse a partner's calls from now on, and pause its campaigns."""
    _change(bank, output, _path(name, "suspend"), {"reason": reason}, key)


@partner.command("resume")
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@key_option
@bank_option
def resume(bank: Bank, output: Output, name: str, reason: str, key: str | None) -> None:
    """Take a partner's calls again."""
    _change(bank, output, _path(name, "resume"), {"reason": reason}, key)


@partner.command("contract")
@click.argument("file", type=FILE)
@key_option
@bank_option
def contract(bank: Bank, output: Output, file: Path, key: str | None) -> None:
    """Sign a contract: FILE (JSON, YAML) has partner, starts_at, ends_at, terms_version."""
    body = read_document(file, "partner")
    _change(bank, output, _path(body.pop("partner"), "contracts"), body, key)


@partner.command("prices")
@click.argument("file", type=FILE)
@key_option
@bank_option
def prices(bank: Bank, output: Output, file: Path, key: str | None) -> None:
    """Set prices: FILE has partner, from_day and fen_per_gib (award, sponsored, pack)."""
    body = read_document(file, "partner")
    _change(bank, output, _path(body.pop("partner"), "prices"), body, key)


@partner.command("buy")
@click.argument("name")
@click.argument("amount", type=Amount())
@click.option(
    "--fen", default=0, show_default=True, type=click.IntRange(min=0), help="What it was paid, fen."
)
@click.option("--expires-at", metavar="TIME", help="Until when it can be spent (ISO 8601).")
@key_option
@bank_option
def buy(
    bank: Bank, output: Output, name: str, amount: int, *, fen: int, expires_at: str | None,
    key: str | None,
) -> None:  # fmt: skip
    """Put AMOUNT (10GB) of data that a partner has paid for onto its account."""
    body = {
        "bytes": amount,
        "amount_fen": fen,
        **({"expires_at": expires_at} if expires_at else {}),
    }
    _change(bank, output, _path(name, "purchases"), body, key)


@partner.group("app")
def app() -> None:
    """Keep a partner's apps (`aspId`)."""


@app.command("add")
@click.argument("name")
@click.argument("asp_id", metavar="ASP_ID")
@click.option("--title", default="", help="Its name for people.")
@key_option
@bank_option
def add_app(
    bank: Bank, output: Output, name: str, asp_id: str, title: str, key: str | None
) -> None:
    """Add an app to a partner."""
    _change(bank, output, _path(name, "apps"), {"asp_id": asp_id, "title": title}, key)


@partner.group("key")
def keys() -> None:
    """Keep the keys with which a partner's app signs its calls."""


@keys.command("issue")
@click.argument("name")
@click.argument("asp_id", metavar="ASP_ID")
@key_option
@bank_option
def issue_key(bank: Bank, output: Output, name: str, asp_id: str, key: str | None) -> None:
    """Give an app a key. Its secret is printed here and never again."""
    _new_key(bank, output, _path(name, "apps", asp_id, "keys"), {}, key)


@keys.command("rotate")
@click.argument("name")
@click.argument("asp_id", metavar="ASP_ID")
@click.option(
    "--overlap-hours", default=24, show_default=True, type=click.IntRange(0, 744),
    help="How long its other keys stay good.",
)  # fmt: skip
@key_option
@bank_option
def rotate_key(
    bank: Bank, output: Output, name: str, asp_id: str, *, overlap_hours: int, key: str | None
) -> None:
    """Give an app a new key, and let its other keys end after a while."""
    body = {"overlap_hours": overlap_hours}
    _new_key(bank, output, _path(name, "apps", asp_id, "keys:rotate"), body, key)


@keys.command("list")
@click.argument("name")
@bank_option
def list_keys(bank: Bank, output: Output, name: str) -> None:
    """List a partner's keys; no secret is shown."""
    with tasks_of(bank, output) as tasks:
        found = tasks.get(_path(name))["keys"]
    output.show({"keys": found}, lambda: _show_keys(output, found))


@partner.command("new-sealing-key")
@bank_option
def new_sealing_key(bank: Bank, output: Output) -> None:
    """Make a new key that seals partners' secrets in the database; the bank must be down.

    At its next start all of them are sealed with it. The old keys stay to open older backups' rows.
    """
    with state_lock(bank.run_dir):
        found = find_bank(bank.state)
        made = [secrets.token_urlsafe(32), *found.tasks_sealing_keys]
        dataclasses.replace(found, tasks_sealing_keys=made).save()
    told = "a new key seals partners' secrets from the next start on"
    output.show({"sealing_keys": len(made)}, lambda: output.line(told))


def write(tasks: Service, path: str, body: Document, key: str | None, *, wait_s: int = 0) -> Any:
    """Send a write, under a key of its own where none is given. Raises CliError."""
    headers = {"Idempotency-Key": key or uuid4().hex}
    if wait_s:
        headers["Prefer"] = f"wait={wait_s}"
    return tasks.write(path, body, headers).body


def _path(name: str, *more: str) -> str:
    # A colon stays: it parts a verb from what it is done to.
    return "/".join(["/v1/partners", *(quote(each, safe=":") for each in (name, *more))])


def _change(bank: Bank, output: Output, path: str, body: Document, key: str | None) -> None:
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, path, body, key)
    output.show(answer, lambda: _show_partner(output, answer))


def _new_key(bank: Bank, output: Output, path: str, body: Document, key: str | None) -> None:
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, path, body, key)
    output.show(answer, lambda: _show_secret(output, answer))


def _show_secret(output: Output, answer: Document) -> None:
    output.line(f"{answer['key_id']} of {answer['asp_id']}: {answer['secret']}")
    output.line("keep it: it is not shown again")


def _show_partner(output: Output, answer: Document) -> None:
    title = f" ({answer['title']})" if answer["title"] else ""
    output.line(f"{answer['partner']}: {answer['state']}{title}, sponsor {answer['sponsor_id']}")
    if answer["apps"]:
        output.line("apps: " + ", ".join(each["asp_id"] for each in answer["apps"]))
    found = answer["contract"]
    if found:
        ends = f"{minutes(found['starts_at'])} to {minutes(found['ends_at'])}"
        output.line(f"contract {found['version']}: {ends}, terms {found['terms_version']}")
    else:
        output.line("no contract is in force")
    if answer["prices"]:
        told = answer["prices"]
        listed = ", ".join(f"{kind} {fen}" for kind, fen in told["fen_per_gib"].items())
        output.line(f"fen per GiB from {told['from_day']} on: {listed}")
    output.line(f"bought {human_bytes(answer['bought_bytes'])} for {answer['bought_fen']:,} fen")
    if answer["available_bytes"] is not None:
        left = human_bytes(answer["available_bytes"])
        output.line(f"available {left}, held {human_bytes(answer['held_bytes'])}")
    if answer["alarm_percent"] is not None:
        whole = human_bytes(answer["alarm_of_bytes"])
        output.line(f"less than {answer['alarm_percent']} % are left of {whole}: let it buy")


def _show_alarms(output: Output, answer: Document) -> None:
    rows = [
        (each["account"], f"{each['percent']} %", human_bytes(each["available_bytes"]),
         minutes(each["told_at"]))
        for each in answer["alarms"]
    ]  # fmt: skip
    output.table("Little is left", ["account", "less than", "available", "since"], rows)


def _show_partners(output: Output, answer: Document) -> None:
    rows = [
        (each["partner"], each["title"], each["sponsor_id"], each["state"],
         human_bytes(each["bought_bytes"]))
        for each in answer["partners"]
    ]  # fmt: skip
    output.table("Partners, newest first", ["partner", "", "sponsor", "state", "bought"], rows)
    if answer["next_after"] is not None:
        output.line(f"there is more: --after {answer['next_after']}")


def _show_keys(output: Output, found: list[Document]) -> None:
    rows = [
        (each["key_id"], each["asp_id"], minutes(each["issued_at"]),
         minutes(each["valid_until"]) if each["valid_until"] else "")
        for each in found
    ]  # fmt: skip
    output.table("Keys", ["key", "app", "issued", "ends"], rows)


partner.add_command(settlement)
