"""Query strings of the gateway's routes; what is not named here is refused."""

from marshmallow import Schema, fields, validate

DAY = validate.Regexp(r"^\d{4}-\d{2}-\d{2}$", error="a day is written YYYY-MM-DD")
TOKEN = validate.Length(min=1, max=2000)


class ReadQuery(Schema):
    """Every read takes a position that it must include."""

    at_least = fields.String(load_default=None, validate=TOKEN)


class SpendQuery(ReadQuery):
    """Filters of partner spend."""

    campaign = fields.String(load_default=None, validate=validate.Length(min=1, max=80))
    kind = fields.String(load_default=None, validate=validate.OneOf(("award", "sponsored", "pack")))
    day_from = fields.String(load_default=None, validate=DAY)
    day_to = fields.String(load_default=None, validate=DAY)


class NoQuery(Schema):
    """A route without parameters."""
