"""The routes of audiences: how many and who a rule over the bank's own data finds."""

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Blueprint, Response

from services.gateway import audiences
from services.gateway.api import gateway
from services.gateway.audiences import Search
from services.gateway.schemas import NoQuery
from shared.auth import allow
from shared.contracts.audiences import AudienceRule
from shared.errors import InvalidError
from shared.http import body, json_response, query, stream

blueprint = Blueprint("audiences", __name__)
# Whoever answers partners asks as tasks, which keeps small audiences to itself.
CALLERS = ("operator", "tasks")
decode_rule = msgspec.json.Decoder(AudienceRule).decode


def asked_rule() -> AudienceRule:
    """Return the body's rule. Raises InvalidError that says what is wrong and where."""
    try:
        return decode_rule(body())
    except msgspec.DecodeError as error:
        raise InvalidError(f"the rule can't be used: {error}") from error


@blueprint.post("/v1/audiences:count")
@allow(*CALLERS)
def post_count() -> Response:
    """Tell how many subscribers a rule finds now."""
    query(NoQuery())
    rule = asked_rule()
    return json_response(gateway().audience_count(rule))


@blueprint.post("/v1/audiences:list")
@allow(*CALLERS)
def post_list() -> Response:
    """Name the subscribers whom a rule finds now, some thousands a line; the last line counts."""
    query(NoQuery())
    rule = asked_rule()
    search = gateway().audience_search(rule)
    return stream(lines(search))


def lines(search: Search) -> Iterator[dict[str, Any]]:
    """Yield `{"done": …, "subscribers": […]}`, then `{"result": {"count": …}}`."""
    found = 0
    for some in audiences.members(gateway().store, search):
        found += len(some)
        yield {"done": found, "subscribers": some}
    yield {"result": {"count": found}}
