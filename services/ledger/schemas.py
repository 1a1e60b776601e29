"""What the ledger's routes take: query strings by marshmallow, bodies by msgspec."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from marshmallow import Schema, fields, validate
from msgspec import Meta

from services.ledger.domain.commands import PublicCommand
from services.ledger.domain.fields import LINE_WORDS, ONE_LINE, SubscriberId
from services.ledger.domain.rules import Bytes
from shared.bus.parking import LIST_MAX
from shared.contracts.envelope import BATCH_EVENTS_MAX
from shared.errors import InvalidError
from shared.http import Duration
from shared.mistakes import shaped
from shared.paging import CURSOR_LENGTH_MAX

T = TypeVar("T")

COMMANDS_MAX = 1_000
USAGE_LINES_MAX = 5_000


class EventsQuery(Schema):
    """Query of `GET /v1/accounts/{id}/events`."""

    after = fields.Integer(load_default=0, validate=validate.Range(min=0))
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=BATCH_EVENTS_MAX))


class UsageQuery(Schema):
    """Query of `GET /v1/usage/{usage_id}`."""

    account = fields.String(load_default=None, validate=validate.Length(min=1, max=80))


class ForecastQuery(Schema):
    """Query of `GET /v1/accounts/{id}/forecast`."""

    within = Duration(load_default=None)


class ParkedQuery(Schema):
    """Query of `GET /v1/parked`."""

    account = fields.String(load_default=None, validate=validate.Length(min=1, max=80))
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=LIST_MAX, validate=validate.Range(min=1, max=LIST_MAX))


class ClockQuery(Schema):
    """Query of `GET /v1/clock`."""

    barrier = fields.Boolean(load_default=False)


class WriteQuery(Schema):
    """Query of a route that writes; with `dry_run` it tells what would happen, and does nothing."""

    dry_run = fields.Boolean(load_default=False)


class NoQuery(Schema):
    """A route without parameters."""


class CommandsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/commands`."""

    commands: Annotated[list[PublicCommand], Meta(min_length=1, max_length=COMMANDS_MAX)]


class UsageRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One usage record; `occurred_at` is ISO 8601 or milliseconds since 1970-01-01Z.

    `host` serves to find the rating group where none is given; it is stored nowhere.
    """

    usage_id: Annotated[str, shaped(ONE_LINE, LINE_WORDS, min_length=1, max_length=128)]
    account: SubscriberId
    bytes: Bytes
    occurred_at: Annotated[int, Meta(ge=0, le=2**53 - 1)] | Annotated[str, Meta(max_length=40)]
    rating_group: (
        Annotated[str, shaped(ONE_LINE, LINE_WORDS, min_length=1, max_length=64)] | None
    ) = None
    host: Annotated[str, Meta(max_length=255)] | None = None
    roaming: bool = False


class UsageBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/usage`."""

    lines: Annotated[list[UsageRecord], Meta(min_length=1, max_length=USAGE_LINES_MAX)]


def instant(value: Any, parse: Callable[[str], int]) -> int:
    """Return an instant in milliseconds. Raises InvalidError."""
    if isinstance(value, int):
        return value
    try:
        return parse(value)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"occurred_at is no ISO 8601 time: {value}") from error
