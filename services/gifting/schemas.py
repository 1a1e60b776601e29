"""What gifting's routes take: query strings by marshmallow, bodies by msgspec."""

from marshmallow import Schema, fields, validate

from shared.ids import SUBSCRIBER_PATTERN
from shared.sagas import web

GIFT_STATES = (
    "requested", "delayed", "offered", "held", "accepted", "declined", "cancelled", "sent",
    "completed", "refused", "returned",
)  # fmt: skip
PACKET_STATES = ("requested", "offered", "open", "closed", "ended", "refused")
ASK_STATES = ("made", "answered", "declined", "expired")
ACCOUNT = validate.Regexp(rf"^{SUBSCRIBER_PATTERN.pattern}\Z")


class ViewerQuery(Schema):
    """A read on behalf of an account: what is not its own is unknown to it."""

    account = fields.String(load_default=None, validate=ACCOUNT)


class PageQuery(ViewerQuery, web.PageQuery):
    """A list of what an account may see, page by page."""


class GiftsQuery(PageQuery):
    """Query of `GET /v1/gifts`."""

    role = fields.String(load_default=None, validate=validate.OneOf(("sender", "receiver")))
    state = fields.String(load_default=None, validate=validate.OneOf(GIFT_STATES))


class PacketsQuery(PageQuery):
    """Query of `GET /v1/red-packets`."""

    state = fields.String(load_default=None, validate=validate.OneOf(PACKET_STATES))


class AsksQuery(PageQuery):
    """Query of `GET /v1/asks`."""

    role = fields.String(load_default=None, validate=validate.OneOf(("asker", "giver")))
    state = fields.String(load_default=None, validate=validate.OneOf(ASK_STATES))
