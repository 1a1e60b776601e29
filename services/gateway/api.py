"""The gateway's HTTP face: thin; it reads, calls the application and writes JSON."""

from flask import Blueprint, Response, current_app

from services.gateway.application import Gateway
from services.gateway.schemas import (
    BalanceQuery,
    FreshQuery,
    GiftsQuery,
    HistoryQuery,
    LotsQuery,
    NoQuery,
    ParkedQuery,
)
from shared.auth import allow
from shared.errors import InvalidError
from shared.http import json_response, no_body, query, stream
from shared.ids import account_kind

blueprint = Blueprint("gateway", __name__)


def gateway() -> Gateway:
    """Return what bootstrap has put together."""
    found: Gateway = current_app.extensions["gateway"]
    return found


def checked(account: str) -> str:
    """Return the id if it is one. Raises InvalidError."""
    if account_kind(account) is None:
        raise InvalidError(
            "an account is named by a subscriber's reference, partner:NAME or campaign:NAME"
        )
    return account


@blueprint.get("/v1/accounts/<account>/balance")
@allow("operator")
def get_balance(account: str) -> Response:
    """Show what an account has now, or had by a past bank time."""
    asked = query(BalanceQuery())
    at = instant(asked["at"], "at")
    if at is not None:
        return json_response(gateway().balance_at(checked(account), at, asked["at_least"]))
    return json_response(gateway().balance(checked(account), asked["at_least"]))


@blueprint.get("/v1/accounts/<account>/history")
@allow("operator")
def get_history(account: str) -> Response:
    """Show what happened to an account, event by event, oldest first."""
    asked = query(HistoryQuery())
    start, end = instant(asked["from_"], "from"), instant(asked["to"], "to")
    if start is not None and end is not None and start >= end:
        raise InvalidError("`from` must lie before `to`: no instant is from there up to it")
    filters = {"after": asked["after"], "kind": asked["kind"], "from": start, "to": end}
    return json_response(
        gateway().history(checked(account), filters, asked["limit"], asked["at_least"])
    )


def instant(text: str | None, name: str) -> int | None:
    """Return a time of the query in milliseconds, None if it is not given. Raises InvalidError."""
    if text is None:
        return None
    try:
        return gateway().calendar.parse(text)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"`{name}` is no ISO 8601 time: {text}") from error


@blueprint.get("/v1/accounts/<account>/lots")
@allow("operator")
def get_lots(account: str) -> Response:
    """Show an account's lots with all their terms, or those that fit."""
    asked = query(LotsQuery())
    return json_response(gateway().lots(checked(account), asked, asked["at_least"]))


@blueprint.get("/v1/accounts/<account>/gifts")
@allow("operator")
def get_gifts(account: str) -> Response:
    """Show what an account gave and got: gifts, red packets and shares, the newest first."""
    asked = query(GiftsQuery())
    return json_response(gateway().gifts(checked(account), asked, asked["at_least"]))


@blueprint.get("/v1/trial-balance")
@allow("operator")
def get_trial_balance() -> Response:
    """Show what the whole bank earned and where it is now."""
    asked = query(FreshQuery())
    return json_response(gateway().trial_balance(asked["at_least"]))


@blueprint.get("/v1/positions")
@allow()
def get_positions() -> Response:
    """Tell how far each view is."""
    query(NoQuery())
    return json_response({"positions": gateway().positions()})


@blueprint.get("/v1/clock")
@allow()
def get_clock() -> Response:
    """Tell bank time as this process sees it."""
    query(NoQuery())
    clock = gateway().clock
    now = clock.now()
    text = gateway().calendar.text(now)
    return json_response({"now": text, "now_ms": now, "offset_ms": clock.offset_ms()})


@blueprint.post("/v1/views/<view>:rebuild")
@allow("operator")
def rebuild(view: str) -> Response:
    """Build a view, or all, anew from the logs; answers with progress, line by line."""
    query(NoQuery())
    no_body()
    return stream(gateway().rebuild(view))


@blueprint.post("/v1/verify")
@allow("operator")
def verify() -> Response:
    """Compare every view with a fold of the logs; answers with progress, line by line."""
    query(NoQuery())
    no_body()
    return stream(gateway().verify())


@blueprint.get("/v1/parked")
@allow("operator")
def get_parked() -> Response:
    """List what the views have put aside."""
    asked = query(ParkedQuery())
    rows, after = gateway().parked(**asked)
    return json_response({"parked": rows, "next_after": after})


@blueprint.post("/v1/parked:retry")
@allow("operator")
def retry_parked() -> Response:
    """Apply parked events again, each account's in order."""
    query(NoQuery())
    no_body()
    return json_response({"views": gateway().retry_parked()})
