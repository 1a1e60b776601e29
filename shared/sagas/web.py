"""What the routes of services with turns share: what is asked, how it is answered, operating."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flask import Blueprint, Response, g, request
from marshmallow import Schema, fields, validate

from shared.auth import allow
from shared.bus.parking import LIST_MAX
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.errors import InvalidError
from shared.http import body, json_response, no_body, query, stream
from shared.mistakes import decoded
from shared.paging import CURSOR_LENGTH_MAX, page_of, parts_of
from shared.sagas.inbox import LedgerConsumer
from shared.sagas.requests import Answer, Asking
from shared.sagas.store import SagaStore

T = TypeVar("T")

PAGE_MAX = 200
WAIT_S_MAX = 10.0
# Of a parked event: consumer, source, sequence.
PLACE = (str, str, int)
KEY = re.compile(r"[\x21-\x7e]{1,128}")
WAIT = re.compile(r"\bwait=(\d{1,3})\b")


class Operated(Protocol):
    """The parts of a service that its operating routes ask."""

    @property
    def calendar(self) -> Calendar:
        """Return the bank's calendar."""
        ...

    @property
    def clock(self) -> BankClock:
        """Return the bank's clock."""
        ...

    @property
    def store(self) -> SagaStore[Any]:
        """Return the database."""
        ...

    @property
    def consumer(self) -> LedgerConsumer:
        """Return the inbox."""
        ...


class NoQuery(Schema):
    """A route without parameters."""


class ClockQuery(Schema):
    """Query of `GET /v1/clock`."""

    barrier = fields.Boolean(load_default=False)


class PageQuery(Schema):
    """A list, page by page."""

    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=PAGE_MAX))


class ParkedQuery(Schema):
    """Query of `GET /v1/parked`: what waits behind `after`, of one account."""

    account = fields.String(load_default=None, validate=validate.Length(min=1, max=80))
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=LIST_MAX, validate=validate.Range(min=1, max=LIST_MAX))


def read_body(kind: type[T]) -> T:
    """Decode the request's body. Raises InvalidError that names the place (`$.bytes`)."""
    return decoded(kind, body())


def idempotency_key() -> str:
    """Return the request's key. Raises InvalidError where it lacks or is malformed."""
    key = request.headers.get("Idempotency-Key", "")
    if not KEY.fullmatch(key):
        raise InvalidError(
            "a write needs a header Idempotency-Key of 1 to 128 visible ASCII characters"
        )
    return key


def wait_s() -> float:
    """Return how long the caller wants to wait for the outcome (`Prefer: wait=2`), at most 10 s."""
    found = WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found[1]), WAIT_S_MAX) if found else 0.0


def identity(text: str, whose: str) -> UUID:
    """Return an id of 32 hex digits. Raises InvalidError."""
    try:
        if len(text) != 32:  # noqa: PLR2004 As the ids are written.
            raise ValueError(text)
        return UUID(hex=text)
    except ValueError as error:
        raise InvalidError(f"{whose} id has 32 hex digits") from error


def caller() -> str:
    """Return who calls."""
    return str(g.caller)


def asking(account: str, body: Any, *about: str) -> Asking:
    """Return what is asked, by which key; `about` names what it is asked of."""
    return Asking(caller(), account, idempotency_key(), [*about, body])


def answered(document: Any, status: int, location: str, answer: Answer) -> Response:
    """Answer a write."""
    response = json_response(document, status)
    response.headers["Location"] = location
    if answer.repeated:
        response.headers["Idempotency-Hit"] = "true"
    return response


def operating_blueprint(
    bank: Callable[[], Operated], verify_store: Callable[[], Iterator[dict[str, Any]]]
) -> Blueprint:
    """Return the routes that operate a service with turns: clock, verification, parked events."""
    blueprint = Blueprint("operating", __name__)

    @blueprint.get("/v1/clock")
    @allow()
    def get_clock() -> Response:
        """Tell bank time; with `barrier`, once every turn begun before has ended."""
        if query(ClockQuery())["barrier"]:
            bank().store.barrier()
        now = bank().clock.now()
        text = bank().calendar.text(now)
        offset_ms = bank().clock.offset_ms()
        return json_response({"now": text, "now_ms": now, "offset_ms": offset_ms})

    @blueprint.post("/v1/verify")
    @allow("operator")
    def verify() -> Response:
        """Refold every stream and compare it with its rows; answers line by line."""
        query(NoQuery())
        no_body()
        return stream(verify_store())

    @blueprint.get("/v1/parked")
    @allow("operator")
    def get_parked() -> Response:
        """List the ledger's events that the service has put aside."""
        asked = query(ParkedQuery())
        place = None if asked["after"] is None else parts_of(asked["after"], PLACE)
        found = bank().consumer.parked(asked["account"], place, asked["limit"] + 1)
        page, after = page_of(
            found, asked["limit"], lambda row: (row["consumer"], row["source"], row["sequence"])
        )
        return json_response({"parked": page, "next_after": after})

    @blueprint.post("/v1/parked:retry")
    @allow("operator")
    def retry_parked() -> Response:
        """Take in again what was put aside, each saga's in order."""
        query(NoQuery())
        no_body()
        consumer = bank().consumer
        return json_response({"partitions": {consumer.name: consumer.retry_parked()}})

    return blueprint
