"""What the gateway's routes take in their query strings."""

from marshmallow import Schema, fields, validate

from services.gateway.projections import AWARD

SPEND_KINDS = (AWARD, "sponsored", "pack")
TOKEN_LENGTH_MAX = 8_192


class NoQuery(Schema):
    """A route without parameters."""


class FreshQuery(Schema):
    """A read that may wait for what its asker has just done; `at_least` is a position token."""

    at_least = fields.String(load_default=None, validate=validate.Length(max=TOKEN_LENGTH_MAX))


class SpendQuery(FreshQuery):
    """A read of partners' spend; days are bank days, both included."""

    partner = fields.String(load_default=None, validate=validate.Length(min=1, max=80))
    campaign = fields.String(load_default=None, validate=validate.Length(min=1, max=80))
    kind = fields.String(load_default=None, validate=validate.OneOf(SPEND_KINDS))
    day_from = fields.Date(load_default=None)
    day_to = fields.Date(load_default=None)
