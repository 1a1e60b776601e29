"""The gateway's HTTP face for operators: thin; identity and public faces stand in front of it later."""

from flask import Blueprint, Response, current_app

from services.gateway.application import Gateway
from services.gateway.schemas import NoQuery, ReadQuery, SpendQuery
from shared.auth import allow
from shared.errors import InvalidError
from shared.http import json_response, query, stream
from shared.ids import account_kind

blueprint = Blueprint("gateway", __name__)


def gateway() -> Gateway:
    """Return the gateway that bootstrap has put together."""
    found: Gateway = current_app.extensions["gateway"]
    return found


@blueprint.get("/v1/accounts/<account>/balance")
@allow("operator")
def get_balance(account: str) -> Response:
    """Show what an account has."""
    return json_response(gateway().balance(_checked(account), query(ReadQuery())["at_least"]))


@blueprint.get("/v1/accounts/<account>/lots")
@allow("operator")
def get_lots(account: str) -> Response:
    """Show an account's lots with all their terms."""
    return json_response(gateway().lots(_checked(account), query(ReadQuery())["at_least"]))


def _checked(account: str) -> str:
    if account_kind(account) is None:
        raise InvalidError("an account is a subscriber's reference, partner:NAME or campaign:NAME")
    return account


@blueprint.get("/v1/partners/spend")
@allow("operator")
def get_all_spend() -> Response:
    """Show what all partners paid for."""
    return _spend(None)


@blueprint.get("/v1/partners/<partner>/spend")
@allow("operator")
def get_spend(partner: str) -> Response:
    """Show what one partner paid for; its name may be given with or without `partner:`."""
    return _spend(partner if partner.startswith("partner:") else f"partner:{partner}")


def _spend(partner: str | None) -> Response:
    asked = query(SpendQuery())
    at_least = asked.pop("at_least")
    return json_response(gateway().partner_spend({**asked, "partner": partner}, at_least))


@blueprint.get("/v1/trial-balance")
@allow("operator")
def get_trial_balance() -> Response:
    """Show the whole bank's sums."""
    return json_response(gateway().trial_balance(query(ReadQuery())["at_least"]))


@blueprint.get("/v1/positions")
@allow("operator")
def get_positions() -> Response:
    """Tell how far each view is in each log."""
    query(NoQuery())
    return json_response({"positions": gateway().positions()})


@blueprint.post("/v1/views/<name>:rebuild")
@allow("operator")
def rebuild(name: str) -> Response:
    """Rebuild a view, or all; answers with progress, line by line."""
    return stream(gateway().rebuild(gateway().views(name)))


@blueprint.post("/v1/verify")
@allow("operator")
def verify() -> Response:
    """Compare every view with the logs; answers with progress, line by line."""
    return stream(gateway().verify())


@blueprint.get("/v1/parked")
@allow("operator")
def get_parked() -> Response:
    """List events that views have put aside."""
    query(NoQuery())
    return json_response({"parked": gateway().parked()})


@blueprint.post("/v1/parked:retry")
@allow("operator")
def retry_parked() -> Response:
    """Write parked events again, in order."""
    return json_response({"views": gateway().retry_parked()})


@blueprint.get("/v1/clock")
@allow()
def get_clock() -> Response:
    """Tell bank time."""
    query(NoQuery())
    clock = gateway().clock
    now = clock.now()
    text = gateway().calendar.text(now)
    return json_response({"now": text, "now_ms": now, "offset_ms": clock.offset_ms()})
