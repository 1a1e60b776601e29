"""`databank pack`, `order`, `code` and `pool`: what partners order, and how it reaches people."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import rich_click as click

from infra.cli.client import tasks_of
from infra.cli.files import FILE, read_document
from infra.cli.gifts import Amount, key_option
from infra.cli.output import Bank, Output, bank_option, human_bytes
from infra.cli.partners import write
from infra.cli.people import batches, read_people
from infra.cli.reports import minutes

ORDER_STATES = ("ordered", "paid", "cancelled")
Document = dict[str, Any]
ISSUES_PER_CALL = 1_000


# The catalogue.


@click.group()
def pack() -> None:
    """Show and publish packs and pools; issue packs to people."""


@pack.command("publish")
@click.argument("file", type=FILE)
@key_option
@bank_option
def publish(bank: Bank, output: Output, file: Path, key: str | None) -> None:
    """Put the pack in FILE (JSON, YAML) into the catalogue as its next version."""
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, "/v1/packs", read_document(file), key)
    output.show(answer, lambda: output.line(f"{answer['pack']}: version {answer['version']}"))


@pack.command("list")
@bank_option
def list_packs(bank: Bank, output: Output) -> None:
    """Show the catalogue."""
    with tasks_of(bank, output) as tasks:
        answer = {"packs": tasks.get_all("/v1/packs", "packs")}
    output.show(answer, lambda: _show_packs(output, answer["packs"]))


@pack.command("show")
@click.argument("name")
@bank_option
def show_pack(bank: Bank, output: Output, name: str) -> None:
    """Show all versions of a pack."""
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(f"/v1/packs/{name}")
    output.show(answer, lambda: _show_packs(output, answer["versions"]))


def _show_packs(output: Output, packs: list[Document]) -> None:
    rows = [
        [
            each["pack"], each["version"], each["terms"].get("kind", "pack"),
            human_bytes(each["terms"]["bytes"]), each["terms"].get("effect", "now"),
            ", ".join(f"{one['fen']} from {one['from_day']}" for one in each["terms"]["prices"]),
        ]
        for each in packs
    ]  # fmt: skip
    output.table("", ["pack", "version", "kind", "size", "effect", "price (fen)"], rows)


@pack.command("issue")
@click.argument("order")
@click.argument("subscribers", nargs=-1)
@click.option("--file", type=FILE, help="CSV or JSON lines with a column `subscriber`.")
@key_option
@bank_option
def issue(
    bank: Bank, output: Output, order: str, subscribers: tuple[str, ...], *, file: Path | None,
    key: str | None,
) -> None:  # fmt: skip
    """Issue packs of ORDER to SUBSCRIBERS, or to those in a file: a pack each."""
    people = [*subscribers, *(read_people(file) if file else [])]
    if not people:
        raise click.UsageError("name subscribers, or give --file")
    key, issues, rejected = key or uuid4().hex, [], []
    with tasks_of(bank, output) as tasks, output.progress("Issuing", len(people)) as report:
        for start, some in batches(people, ISSUES_PER_CALL):
            path = f"/v1/orders/{order}/issues"
            answer = write(tasks, path, {"subscribers": some}, f"{key}-{start}")
            issues += answer["issues"]
            rejected += [{**each, "row": each["row"] + start} for each in answer["rejected"]]
            report(start + len(some), None)
    found = {"order_id": order, "issued": len(issues), "issues": issues, "rejected": rejected}
    output.show(found, lambda: _show_issued(output, found))


def _show_issued(output: Output, found: Document) -> None:
    output.line(f"{found['issued']} packs are on their way")
    show_rejected(output, found["rejected"])


def show_rejected(output: Output, rejected: list[Document]) -> None:
    """Print rows that were not taken, with their reasons."""
    if rejected:
        rows = [[each["row"], each["value"], each["reason"]] for each in rejected]
        output.table("Not taken", ["row", "value", "reason"], rows)


# Orders.


@click.group()
def order() -> None:
    """Order packs and pools for a partner; pay, cancel and show orders."""


@order.command("make")
@click.argument("partner")
@click.argument("name", metavar="PACK")
@click.argument("count", type=click.IntRange(1, 1_000_000), default=1)
@click.option("--pool", help="The pool that this tops up.")
@key_option
@bank_option
def make_order(
    bank: Bank, output: Output, partner: str, name: str, count: int, *, pool: str | None,
    key: str | None,
) -> None:  # fmt: skip
    """Order COUNT of PACK for PARTNER, at the price of the day; unpaid it gives nothing."""
    body = {"partner": partner, "pack": name, "count": count, **({"pool_id": pool} if pool else {})}
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, "/v1/orders", body, key)
    output.show(answer, lambda: _show_orders(output, [answer]))


@order.command("pay")
@click.argument("order_id", metavar="ORDER")
@bank_option
def pay(bank: Bank, output: Output, order_id: str) -> None:
    """Take note of a payment: the partner gets the bytes, the packs lie in its inventory."""
    _act(bank, output, order_id, "pay")


@order.command("cancel")
@click.argument("order_id", metavar="ORDER")
@bank_option
def cancel(bank: Bank, output: Output, order_id: str) -> None:
    """Give an unpaid order up."""
    _act(bank, output, order_id, "cancel")


def _act(bank: Bank, output: Output, order_id: str, verb: str) -> None:
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, f"/v1/orders/{order_id}/{verb}", {}, f"{verb}-{order_id}")
    output.show(answer, lambda: _show_orders(output, [answer]))


@order.command("show")
@click.argument("order_id", metavar="ORDER")
@bank_option
def show_order(bank: Bank, output: Output, order_id: str) -> None:
    """Show an order and what is left of it."""
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(f"/v1/orders/{order_id}")
    output.show(answer, lambda: _show_orders(output, [answer]))


@order.command("list")
@click.option("--partner", help="Only this partner's.")
@click.option("--in-state", type=click.Choice(ORDER_STATES), help="Only those in this state.")
@click.option("--after", help="Behind this cursor (`next_after` of the page before).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@bank_option
def list_orders(
    bank: Bank, output: Output, *, partner: str | None, in_state: str | None, after: str | None,
    limit: int,
) -> None:  # fmt: skip
    """List orders, newest first."""
    asked = {"partner": partner, "state": in_state, "after": after, "limit": str(limit)}
    query = {name: value for name, value in asked.items() if value is not None}
    with tasks_of(bank, output) as tasks:
        answer = tasks.get("/v1/orders", **query)

    def render() -> None:
        _show_orders(output, answer["orders"])
        if answer["next_after"] is not None:
            output.line(f"there is more: --after {answer['next_after']}")

    output.show(answer, render)


def _show_orders(output: Output, orders: list[Document]) -> None:
    rows = [
        [
            each["order_id"], each["partner"], each["pack"], each["count"],
            human_bytes(each["bytes"]), each["amount_fen"], each["state"], each["left"],
        ]
        for each in orders
    ]  # fmt: skip
    columns = ["order", "partner", "pack", "count", "bytes", "fen", "state", "left"]
    output.table("", columns, rows)


# Codes.


@click.group()
def code() -> None:
    """Make codes of an order's packs, and redeem one for a subscriber."""


@code.command("make")
@click.argument("order_id", metavar="ORDER")
@click.argument("count", type=click.IntRange(1, 10_000))
@click.option("--until", required=True, metavar="TIME", help="When unused codes expire (ISO 8601).")
@key_option
@bank_option
def make_codes(
    bank: Bank, output: Output, order_id: str, count: int, *, until: str, key: str | None
) -> None:
    """Put COUNT packs of ORDER into codes; they are shown now and never again."""
    body = {"count": count, "expires_at": until}
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, f"/v1/orders/{order_id}/codes", body, key)
    output.show(answer, lambda: _show_codes(output, answer))


def _show_codes(output: Output, answer: Document) -> None:
    for each in answer["codes"]:
        output.line(each)
    if not answer["codes"]:
        output.note("these codes were made and shown before")


@code.command("redeem")
@click.argument("text", metavar="CODE")
@click.argument("subscriber")
@key_option
@bank_option
def redeem(bank: Bank, output: Output, text: str, subscriber: str, key: str | None) -> None:
    """Use CODE for SUBSCRIBER, once."""
    body = {"code": text, "subscriber": subscriber}
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, "/v1/codes:redeem", body, key)
    output.show(answer, lambda: _show_issue(output, answer))


def _show_issue(output: Output, answer: Document) -> None:
    output.line(
        f"{answer['issue_id']}: {human_bytes(answer['bytes'])} to {answer['subscriber']}, usable"
        f" from {minutes(answer['valid_from'])} to {minutes(answer['expires_at'])}"
    )


# Pools.


@click.group()
def pool() -> None:
    """Show pools, draw from them, hand parts of them down."""


@pool.command("show")
@click.argument("pool_id", metavar="POOL")
@bank_option
def show_pool(bank: Bank, output: Output, pool_id: str) -> None:
    """Show what is left of a pool."""
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(f"/v1/pools/{pool_id}")
    output.show(answer, lambda: _show_pool(output, answer))


@pool.command("draw")
@click.argument("pool_id", metavar="POOL")
@click.argument("subscriber")
@click.argument("amount", type=Amount())
@key_option
@bank_option
def draw(
    bank: Bank, output: Output, pool_id: str, subscriber: str, amount: int, *, key: str | None
) -> None:
    """Draw AMOUNT from POOL for SUBSCRIBER."""
    body = {"subscriber": subscriber, "bytes": amount}
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, f"/v1/pools/{pool_id}/draws", body, key)
    output.show(answer, lambda: _show_issue(output, answer))


@pool.command("hand-down")
@click.argument("pool_id", metavar="POOL")
@click.argument("amount", type=Amount())
@click.option("--title", default="", help="What the pool below is called.")
@click.option("--limit", type=Amount(), help="What one member of it draws in a month at most.")
@key_option
@bank_option
def hand_down(
    bank: Bank, output: Output, pool_id: str, amount: int, *, title: str, limit: int | None,
    key: str | None,
) -> None:  # fmt: skip
    """Make AMOUNT of POOL a pool of its own below it."""
    body: Document = {"bytes": amount, "title": title}
    if limit is not None:
        body["member_limit_bytes"] = limit
    with tasks_of(bank, output) as tasks:
        answer = write(tasks, f"/v1/pools/{pool_id}/hand-down", body, key)
    output.show(answer, lambda: _show_pool(output, answer))


def _show_pool(output: Output, answer: Document) -> None:
    low = ", low" if answer["low"] else ""
    output.line(
        f"{answer['pool_id']}: {human_bytes(answer['left_bytes'])} of"
        f" {human_bytes(answer['total_bytes'])} are left{low}"
    )
