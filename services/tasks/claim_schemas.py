"""What the routes of tasks and claims take: query strings by marshmallow, bodies by msgspec."""

import msgspec
from marshmallow import Schema, fields, validate

from services.tasks.completions import Hash, Subscriber, TokenText
from shared.ids import SUBSCRIBER_PATTERN
from shared.paging import CURSOR_LENGTH_MAX

PAGE_MAX = 200
CLAIM_STATES = ("accepted", "paid", "refused", "noted", "clawing_back", "clawed_back")
NAME = validate.Regexp(r"^[A-Za-z0-9._-]{1,64}\Z")


class ClaimsQuery(Schema):
    """Query of `GET /v1/claims`."""

    account = fields.String(
        load_default=None, validate=validate.Regexp(rf"^{SUBSCRIBER_PATTERN.pattern}\Z")
    )
    campaign = fields.String(load_default=None, validate=NAME)
    task = fields.String(load_default=None, validate=NAME)
    state = fields.String(load_default=None, validate=validate.OneOf(CLAIM_STATES))
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=PAGE_MAX))


class DrawQuery(Schema):
    """Query of `GET /v1/tasks/{campaign}/{task}/draw`: a bank day, today without."""

    day = fields.Date(load_default=None, format="%Y-%m-%d")


class Entering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who comes by our entrance to a campaign, and by whose invitation."""

    subscriber: Subscriber
    invited_by: Subscriber | None = None
    device: Hash | None = None
    address: Hash | None = None


class Starting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who starts an ad, or shares a link; from which device (a hash)."""

    subscriber: Subscriber
    device: Hash | None = None


class Visiting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who opened a shared link: a hash of the visitor's device."""

    token: TokenText
    visitor: Hash
