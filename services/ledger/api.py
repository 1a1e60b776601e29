"""The ledger's HTTP face: thin; it reads, calls the application and writes JSON."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, g

from services.ledger.application import Ledger
from services.ledger.bank import Bank
from services.ledger.command_schemas import command_schemas
from services.ledger.domain.commands import Usage
from services.ledger.domain.context import Meta
from services.ledger.month_ends import MonthEnd
from services.ledger.outcomes import Outcome, UsageOutcome
from services.ledger.questions import ahead, why
from services.ledger.schemas import (
    ClockQuery,
    CommandsBody,
    EventsQuery,
    ForecastQuery,
    NoQuery,
    ParkedQuery,
    UsageBody,
    UsageQuery,
    WriteQuery,
    instant,
)
from services.ledger.verification import verify_partition
from shared.auth import allow, only_for
from shared.calendar import is_month
from shared.errors import InvalidError
from shared.front import Small
from shared.http import body, json_response, no_body, query, stream
from shared.ids import account_kind
from shared.log_api import Served
from shared.mistakes import decoded
from shared.paging import cursor_of, parts_of
from shared.positions import format_token

blueprint = Blueprint("ledger", __name__)
# Who may change something; the gateway only reads.
WRITERS = ("operator", "gifting", "tasks")


def bank() -> Bank:
    """Return the parts that bootstrap has put together."""
    found: Bank = current_app.extensions["bank"]
    return found


def served() -> Served:
    """Return the logs that are served to other services."""
    return Served(bank().bank_id, bank().epoch, bank().logs, bank().doorbell)


def meta() -> Meta:
    """Return who asks: the caller, its request's id."""
    return Meta(actor=g.caller, correlation_id=g.request_id)


encode_answer = msgspec.json.Encoder().encode


def encoded(answer: Any) -> Response:
    """Answer with JSON made by msgspec (outcomes are Structs)."""
    return Response(msgspec.json.encode(answer), content_type="application/json")


@blueprint.post("/v1/commands")
@allow(*WRITERS)
def post_commands() -> Response:
    """Execute up to 1,000 commands, or rehearse them; each has its own outcome."""
    dry_run = query(WriteQuery())["dry_run"]
    asked = decoded(CommandsBody, body())
    if dry_run:
        rehearsed = bank().ledger.rehearse(asked.commands, g.caller, meta())
        return encoded({"outcomes": rehearsed, "dry_run": True})
    outcomes, positions = bank().ledger.execute(asked.commands, g.caller, meta())
    return encoded({"outcomes": outcomes, "position": format_token(bank().epoch, positions)})


async def answer_commands(ledger: Ledger, epoch: int, asked: Small) -> bytes:
    """Answer `POST /v1/commands` on the event loop: the same as `post_commands`."""
    if asked.caller not in WRITERS:
        raise only_for(WRITERS)
    commands = decoded(CommandsBody, asked.body).commands
    meta = Meta(actor=asked.caller, correlation_id=asked.request_id)
    outcomes, positions = await ledger.execute_soon(commands, asked.caller, meta)
    return encode_answer({"outcomes": outcomes, "position": format_token(epoch, positions)})


@blueprint.post("/v1/usage")
@allow(*WRITERS)
def post_usage() -> Response:
    """Charge up to 5,000 usage records, or rehearse it; each has its own outcome."""
    dry_run = query(WriteQuery())["dry_run"]
    asked = decoded(UsageBody, body())
    parse = bank().calendar.parse
    usage = [
        Usage(
            usage_id=line.usage_id, account=line.account, bytes=line.bytes,
            occurred_at=instant(line.occurred_at, parse), rating_group=line.rating_group,
            host=line.host or None, roaming=line.roaming,
        )
        for line in asked.lines
    ]  # fmt: skip
    if dry_run:
        rehearsed = bank().ledger.rehearse(usage, g.caller, meta())
        return json_response({"outcomes": usage_outcomes(rehearsed), "dry_run": True})
    outcomes, positions = bank().ledger.execute(usage, g.caller, meta())
    token = format_token(bank().epoch, positions)
    return json_response({"outcomes": usage_outcomes(outcomes), "position": token})


def usage_outcomes(outcomes: list[Outcome | UsageOutcome]) -> list[dict[str, Any]]:
    """Return the outcomes of usage records as they are answered."""
    return [usage_outcome(each) for each in outcomes if isinstance(each, UsageOutcome)]


def usage_outcome(outcome: UsageOutcome) -> dict[str, Any]:
    """Return a usage record's outcome as it is answered."""
    row = {
        "usage_id": outcome.usage_id, "status": outcome.status, "repeated": outcome.repeated,
        "spent_bytes": outcome.spent_bytes, "sponsored_bytes": outcome.sponsored_bytes,
        "unfunded_bytes": outcome.unfunded_bytes,
        "request_id": outcome.request_id,
    }  # fmt: skip
    if outcome.code is not None:
        row.update(code=outcome.code, detail=outcome.detail, **(outcome.extra or {}))
    return row


@blueprint.get("/v1/usage/<path:usage_id>")
@allow()
def get_usage(usage_id: str) -> Response:
    """Tell which lots paid for a usage record, and why."""
    asked = query(UsageQuery())
    account = asked["account"]
    if account is not None:
        bank().ledger.account(checked(account))
    return json_response(why(bank().ledger, usage_id, account, bank().calendar))


@blueprint.get("/v1/command-schemas")
@allow()
def get_command_schemas() -> Response:
    """Describe every command: purpose, JSON Schema, example."""
    query(NoQuery())
    return json_response({"commands": command_schemas()})


@blueprint.get("/v1/accounts/<account_id>")
@allow()
def get_account(account_id: str) -> Response:
    """Show an account as the ledger holds it."""
    query(NoQuery())
    account, version = bank().ledger.account(checked(account_id))
    return encoded({"version": version, "state": account})


@blueprint.get("/v1/accounts/<account_id>/events")
@allow()
def get_account_events(account_id: str) -> Response:
    """List an account's events after a version, oldest first."""
    asked = query(EventsQuery())
    partition = bank().ledger.partition_for(checked(account_id))
    rows = partition.account_events(account_id, asked["after"], asked["limit"])
    if not rows and asked["after"] == 0:
        bank().ledger.account(account_id)
    events = [
        {"version": version, "type": kind, "data": msgspec.Raw(state)}
        for version, kind, state in rows
    ]
    more = len(rows) == asked["limit"]
    return encoded({"events": events, "next_after": rows[-1][0] if more else None})


@blueprint.get("/v1/accounts/<account_id>/forecast")
@allow()
def get_forecast(account_id: str) -> Response:
    """Tell what expires when and what the next cycle brings, if nobody does anything."""
    asked = query(ForecastQuery())
    return json_response(ahead(bank().ledger, checked(account_id), asked["within"]))


def checked(account_id: str) -> str:
    """Return the id if it is one. Raises InvalidError."""
    if account_kind(account_id) is None:
        raise InvalidError(
            "an account is named by a subscriber's reference, partner:NAME or campaign:NAME"
        )
    return account_id


@blueprint.get("/v1/clock")
@allow()
def get_clock() -> Response:
    """Tell bank time; with `barrier`, once every batch begun before has ended."""
    asked = query(ClockQuery())
    if asked["barrier"]:
        for partition in bank().ledger.partitions:
            partition.barrier()
    clock = bank().clock
    now = clock.now()
    return json_response(
        {"now": bank().calendar.text(now), "now_ms": now, "offset_ms": clock.offset_ms()}
    )


@blueprint.post("/v1/months/<month>:close")
@allow("operator")
def close_month(month: str) -> Response:
    """Close a month for every account; answers with progress, line by line."""
    query(NoQuery())
    no_body()
    if not is_month(month):
        raise InvalidError("a month is written YYYY-MM")
    by = meta()
    steps = bank().ledger.close_month(month, by)
    # A refusal comes before the first line, with a status of its own.
    first = next(steps)
    return stream(_close_steps(chain([first], steps)))


def _close_steps(steps: Iterator[MonthEnd]) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield {"done": step.done, "of": step.of}
    yield {"result": msgspec.to_builtins(step.sums)}


@blueprint.post("/v1/verify")
@allow("operator")
def verify() -> Response:
    """Refold every log and compare it with the stored states."""
    query(NoQuery())
    no_body()
    return stream(_verify_steps())


def _verify_steps() -> Iterator[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    for partition in bank().ledger.partitions:
        for step in verify_partition(partition):
            if "log" in step:
                reports.append(step)
            else:
                yield {"log": partition.name, **step}
    difference = next((r["first_difference"] for r in reports if r["first_difference"]), None)
    yield {
        "result": {
            "ok": difference is None,
            "events": sum(report["events"] for report in reports),
            "accounts": sum(report["accounts"] for report in reports),
            "first_difference": difference,
            "positions": {report["log"]: report["position"] for report in reports},
        }
    }


@blueprint.get("/v1/parked")
@allow("operator")
def get_parked() -> Response:
    """List parked events of every partition, page by page."""
    asked = query(ParkedQuery())
    rows = [
        row
        for partition in bank().ledger.partitions
        for row in partition.parked()
        if asked["account"] in (None, row["account"])
    ]
    rows.sort(key=_place)
    if asked["after"] is not None:
        after = tuple(parts_of(asked["after"], (str, str, int)))
        rows = [row for row in rows if _place(row) > after]
    page, more = rows[: asked["limit"]], len(rows) > asked["limit"]
    return json_response(
        {"parked": page, "next_after": cursor_of(*_place(page[-1])) if more else None}
    )


def _place(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["consumer"], row["source"], row["sequence"]


@blueprint.post("/v1/parked:retry")
@allow("operator")
def retry_parked() -> Response:
    """Handle parked events again, in order."""
    query(NoQuery())
    no_body()
    results = {consumer.name: consumer.retry_parked() for consumer in bank().consumers}
    return json_response({"partitions": results})
