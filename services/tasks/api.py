"""What all of tasks' routes share, and the routes of its processes: clock, verification, parked.

A write answers with what is stored: 200 or 201 when it is done, 202 with a Location while a saga
runs (`Prefer: wait=2` holds the answer up to 2 s), a problem with a stable code when it is refused.
"""

from typing import Any

from flask import Blueprint, Response, current_app

from services.tasks import schemas
from services.tasks.application import Tasks
from services.tasks.bank import Bank
from services.tasks.verification import verify_store
from shared.auth import allow
from shared.http import json_response, query, stream
from shared.log_api import Served
from shared.paging import cursor_of, parts_of
from shared.sagas.requests import Answer, Asking

blueprint = Blueprint("tasks", __name__)
# Who may act for the people it vouches for.
CALLERS = ("operator", "gateway")


def bank() -> Bank:
    """Return the parts that bootstrap has put together."""
    found: Bank = current_app.extensions["bank"]
    return found


def tasks() -> Tasks:
    """Return the use cases."""
    return bank().tasks


def served() -> Served:
    """Return the log that is served to other services."""
    return Served(bank().bank_id, bank().epoch, [bank().log], bank().doorbell)


def asking(account: str, body: Any, *about: str) -> Asking:
    """Return what is asked, by which key; `about` names what it is asked of."""
    return Asking(schemas.caller(), account, schemas.idempotency_key(), [*about, body])


def answered(document: Any, status: int, location: str, answer: Answer) -> Response:
    """Answer a write."""
    response = json_response(document, status)
    response.headers["Location"] = location
    if answer.repeated:
        response.headers["Idempotency-Hit"] = "true"
    return response


def page_of(
    table: str, sides: tuple[str, ...], asked: dict[str, Any], account: str | None
) -> tuple[list[Any], str | None]:
    """Return a page and the cursor of the next one. Raises InvalidError."""
    at, last = parts_of(asked["after"], (int, str))
    after = None if at is None else (at, schemas.identity(last, "the last one's").hex)
    found, more = tasks().page(table, sides, asked | {"after": after, "account": account})
    return found, cursor_of(*more) if more else None


@blueprint.get("/v1/clock")
@allow()
def get_clock() -> Response:
    """Tell bank time; with `barrier`, once every turn begun before has ended."""
    if query(schemas.ClockQuery())["barrier"]:
        tasks().store.barrier()
    clock = bank().clock
    now = clock.now()
    text = bank().calendar.text(now)
    return json_response({"now": text, "now_ms": now, "offset_ms": clock.offset_ms()})


@blueprint.post("/v1/verify")
@allow("operator")
def verify() -> Response:
    """Refold every stream and compare it with its rows; answers line by line."""
    query(schemas.NoQuery())
    return stream(verify_store(tasks().store))


@blueprint.get("/v1/parked")
@allow("operator")
def get_parked() -> Response:
    """List the ledger's events that tasks has put aside."""
    query(schemas.NoQuery())
    return json_response({"parked": bank().consumer.parked(), "next_after": None})


@blueprint.post("/v1/parked:retry")
@allow("operator")
def retry_parked() -> Response:
    """Take in again what was put aside, each saga's in order."""
    query(schemas.NoQuery())
    consumer = bank().consumer
    return json_response({"partitions": {consumer.name: consumer.retry_parked()}})
