"""The routes of a producer's logs, alike in every service: a lane's pages, and the heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from flask import Blueprint, Response
from marshmallow import Schema, fields, validate

from shared.auth import allow
from shared.bus.doorbell import Doorbell
from shared.bus.stored_log import StoredLog
from shared.contracts.envelope import BATCH_CONTENT_TYPE, BATCH_EVENTS_MAX, LANES
from shared.errors import NotFoundError
from shared.http import json_response, query
from shared.positions import format_token

DOORBELL_S = 1.0
WAIT_S_MAX = 25


@dataclass(frozen=True)
class Served:
    """A service's logs by partition, whose bank they are, and what rings when one grows."""

    bank_id: str
    epoch: int
    logs: Sequence[StoredLog]
    doorbell: Doorbell


class LogQuery(Schema):
    """Query of `GET /log/{partition}`."""

    lane = fields.String(load_default="all", validate=validate.OneOf(LANES))
    after = fields.Integer(load_default=0, validate=validate.Range(min=0))
    limit = fields.Integer(
        load_default=BATCH_EVENTS_MAX, validate=validate.Range(min=1, max=BATCH_EVENTS_MAX)
    )
    wait = fields.Float(load_default=0.0, validate=validate.Range(min=0, max=WAIT_S_MAX))


class HeadsQuery(Schema):
    """`GET /v1/heads` has no parameters."""


def log_blueprint(served: Callable[[], Served]) -> Blueprint:
    """Return the routes; `served` gives, in a request, what is served."""
    blueprint = Blueprint("log", __name__)

    @blueprint.get("/log/<int:partition>")
    @allow()
    def get_log(partition: int) -> Response:
        """Serve a lane of a log, waiting up to `wait` seconds for the first event."""
        return _page(served(), partition)

    @blueprint.get("/v1/heads")
    @allow()
    def get_heads() -> Response:
        """Tell how far each lane of each log is."""
        query(HeadsQuery())
        return json_response(heads(served()))

    return blueprint


def _page(served: Served, partition: int) -> Response:
    asked = query(LogQuery())
    if partition >= len(served.logs):
        raise NotFoundError(f"there are {len(served.logs)} partitions")
    log, until, bell = served.logs[partition], monotonic() + asked["wait"], served.doorbell
    rings = bell.rings
    page = log.page(asked["lane"], asked["after"], asked["limit"])
    while page.count == 0 and (left := until - monotonic()) > 0:
        bell.wait(min(left, DOORBELL_S), since=rings)
        rings = bell.rings
        page = log.page(asked["lane"], asked["after"], asked["limit"])
    headers = {
        "Databank-Source": page.source, "Databank-Head": str(page.head),
        "Databank-Previous": str(page.previous), "Databank-Sequence": str(page.sequence),
    }  # fmt: skip
    return Response(page.body, content_type=BATCH_CONTENT_TYPE, headers=headers)


def heads(served: Served) -> dict[str, object]:
    """Return how far each lane of each log is. Raises UnavailableError."""
    found = {log.name: {lane: log.head(lane) for lane in LANES} for log in served.logs}
    token = format_token(served.epoch, {name: lanes["all"] for name, lanes in found.items()})
    prefix = f"/{served.bank_id}/{served.epoch}"
    return {"source_prefix": prefix, "heads": found, "position": token}
