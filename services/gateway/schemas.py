"""What the gateway's routes take in their query strings."""

from marshmallow import Schema, fields, validate

from services.gateway.catalogue import VIEWS
from services.gateway.gifts import KINDS as GIFT_KINDS
from services.gateway.gifts import STATES
from services.gateway.history import KINDS
from services.gateway.queries import LOTS_MAX
from services.gateway.spend import KINDS as SPEND_KINDS
from shared.bus.parking import LIST_MAX
from shared.contracts.ledger import LOT_KINDS
from shared.http import Duration
from shared.paging import CURSOR_LENGTH_MAX

TOKEN_LENGTH_MAX = 8_192
PAGE_MAX = 500
SPEND_ROWS_MAX = 20_000
LOT_STATES = ("available", "outside_hours", "upcoming", "lapsed")
PARTNER = validate.Regexp(
    r"^(partner:)?[A-Za-z0-9._-]{1,64}\Z", error="A partner is named NAME or partner:NAME."
)
CAMPAIGN = validate.Regexp(
    r"^(campaign:)?[A-Za-z0-9._-]{1,64}\Z", error="A campaign is named NAME or campaign:NAME."
)
LOT_CURSOR = r"^[0-9]{1,16}\.[0-9]{1,16}\.[^\x00]{1,200}$"


class NoQuery(Schema):
    """A route without parameters."""


class FreshQuery(Schema):
    """A read that may wait for what its asker has just done; `at_least` is a position token."""

    at_least = fields.String(load_default=None, validate=validate.Length(max=TOKEN_LENGTH_MAX))


class BalanceQuery(FreshQuery):
    """A read of a balance, now or as the bank had recorded it by a past bank time."""

    at = fields.String(load_default=None, validate=validate.Length(max=40))


class LotsQuery(FreshQuery):
    """A read of lots behind `after`: of one kind, in one state, expiring within a time from now."""

    after = fields.String(load_default=None, validate=validate.Regexp(LOT_CURSOR))
    limit = fields.Integer(load_default=LOTS_MAX, validate=validate.Range(min=1, max=LOTS_MAX))
    kind = fields.String(load_default=None, validate=validate.OneOf(LOT_KINDS))
    state = fields.String(load_default=None, validate=validate.OneOf(LOT_STATES))
    expiring = Duration(load_default=None)


class HistoryQuery(FreshQuery):
    """A read of a history: entries behind `after`, in [from, to), of one kind."""

    after = fields.Integer(load_default=0, validate=validate.Range(min=0, max=2**53 - 1))
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=PAGE_MAX))
    kind = fields.String(load_default=None, validate=validate.OneOf(KINDS))
    from_ = fields.String(load_default=None, data_key="from", validate=validate.Length(max=40))
    to = fields.String(load_default=None, validate=validate.Length(max=40))


class GiftsQuery(FreshQuery):
    """A read of gifts, red packets and shares behind `after`: of one side, state or kind."""

    role = fields.String(load_default=None, validate=validate.OneOf(("sender", "receiver")))
    state = fields.String(load_default=None, validate=validate.OneOf(STATES))
    kind = fields.String(load_default=None, validate=validate.OneOf(GIFT_KINDS))
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=PAGE_MAX))


class SpendQuery(FreshQuery):
    """A read of partners' spend; days are bank days, both included."""

    partner = fields.String(load_default=None, validate=PARTNER)
    campaign = fields.String(load_default=None, validate=CAMPAIGN)
    kind = fields.String(load_default=None, validate=validate.OneOf(SPEND_KINDS))
    day_from = fields.Date(load_default=None)
    day_to = fields.Date(load_default=None)
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(
        load_default=SPEND_ROWS_MAX, validate=validate.Range(min=1, max=SPEND_ROWS_MAX)
    )


class SettlementQuery(Schema):
    """A settlement, as the file that is sent or as JSON."""

    format = fields.String(load_default="csv", validate=validate.OneOf(("csv", "json")))


class CampaignsQuery(FreshQuery):
    """A read of campaigns or alarms behind `after`, by name; of one partner."""

    partner = fields.String(load_default=None, validate=PARTNER)
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=PAGE_MAX))


class ParkedQuery(Schema):
    """A list of parked events behind `after`, of one view, of one account."""

    consumer = fields.String(load_default=None, validate=validate.OneOf(tuple(VIEWS)))
    account = fields.String(load_default=None, validate=validate.Length(min=1, max=80))
    after = fields.String(load_default=None, validate=validate.Length(max=CURSOR_LENGTH_MAX))
    limit = fields.Integer(load_default=LIST_MAX, validate=validate.Range(min=1, max=LIST_MAX))
