"""What tasks' routes take: query strings by marshmallow, bodies by msgspec."""

from marshmallow import fields, validate

from services.tasks.domain.terms import NAME
from shared.sagas import web

CAMPAIGN_STATES = ("drafted", "approved", "running", "paused", "ended")


class PartnersQuery(web.PageQuery):
    """Query of `GET /v1/partners`."""

    state = fields.String(load_default=None, validate=validate.OneOf(("active", "suspended")))


class CampaignsQuery(web.PageQuery):
    """Query of `GET /v1/campaigns`."""

    partner = fields.String(load_default=None, validate=validate.Regexp(rf"^{NAME}\Z"))
    state = fields.String(load_default=None, validate=validate.OneOf(CAMPAIGN_STATES))
