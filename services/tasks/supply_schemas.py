"""What the routes of packs, lists and audiences take."""

import msgspec
from marshmallow import Schema, fields, validate

from services.tasks.domain.terms import NAME
from shared.contracts.audiences import Audience
from shared.sagas import web

PAGE_MAX = 5_000
ORDER_STATES = ("ordered", "paid", "cancelled")
SUBSCRIBER_LENGTH_MAX = 64


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty body."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large an audience is; `as_partner`: as a partner may know it."""

    audience: Audience
    as_partner: bool = False


class OrdersQuery(web.PageQuery):
    """Query of `GET /v1/orders`."""

    state = fields.String(load_default=None, validate=validate.OneOf(ORDER_STATES))
    partner = fields.String(load_default=None, validate=validate.Regexp(rf"^{NAME}\Z"))


class MembersQuery(Schema):
    """Query of `GET /v1/lists/{list}`: members behind one, in order."""

    after = fields.String(load_default="", validate=validate.Length(max=SUBSCRIBER_LENGTH_MAX))
    limit = fields.Integer(load_default=1_000, validate=validate.Range(min=1, max=PAGE_MAX))
