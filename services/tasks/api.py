"""What all of tasks' routes share, and the routes of its processes: clock, verification, parked.

A write answers with what is stored: 200 or 201 when it is done, 202 with a Location while a saga
runs (`Prefer: wait=2` holds the answer up to 2 s), a problem with a stable code when it is refused.
"""

from typing import Any

from flask import Blueprint, current_app

from services.tasks.application import Tasks
from services.tasks.bank import Bank
from services.tasks.verification import verify_store
from shared.log_api import Served
from shared.paging import cursor_of, parts_of
from shared.sagas import web

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


def page_of(
    table: str, sides: tuple[str, ...], asked: dict[str, Any], account: str | None
) -> tuple[list[Any], str | None]:
    """Return a page and the cursor of the next one. Raises InvalidError."""
    at, last = parts_of(asked["after"], (int, str))
    after = None if at is None else (at, web.identity(last, "the last one's").hex)
    found, more = tasks().page(table, sides, asked | {"after": after, "account": account})
    return found, cursor_of(*more) if more else None


operating = web.operating_blueprint(bank, lambda: verify_store(bank().store))
