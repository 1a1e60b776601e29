"""What tasks' routes take: query strings by marshmallow, bodies by msgspec."""

import msgspec
from marshmallow import fields, validate

from services.tasks.campaigns import FundTerms, NewCampaign
from services.tasks.domain.terms import NAME, DraftTerms
from services.tasks.partners import (
    ByHand,
    ContractTerms,
    NewApp,
    PriceList,
    Purchase,
    Registration,
    Rotation,
)
from shared.sagas import web

CAMPAIGN_STATES = ("drafted", "approved", "running", "paused", "ended")


class PartnersQuery(web.PageQuery):
    """Query of `GET /v1/partners`."""

    state = fields.String(load_default=None, validate=validate.OneOf(("active", "suspended")))


class CampaignsQuery(web.PageQuery):
    """Query of `GET /v1/campaigns`."""

    partner = fields.String(load_default=None, validate=validate.Regexp(rf"^{NAME}\Z"))
    state = fields.String(load_default=None, validate=validate.OneOf(CAMPAIGN_STATES))


decode_registration = msgspec.json.Decoder(Registration).decode
decode_app = msgspec.json.Decoder(NewApp).decode
decode_rotation = msgspec.json.Decoder(Rotation).decode
decode_contract = msgspec.json.Decoder(ContractTerms).decode
decode_prices = msgspec.json.Decoder(PriceList).decode
decode_purchase = msgspec.json.Decoder(Purchase).decode
decode_by_hand = msgspec.json.Decoder(ByHand).decode
decode_campaign = msgspec.json.Decoder(NewCampaign).decode
decode_terms = msgspec.json.Decoder(DraftTerms).decode
decode_funding = msgspec.json.Decoder(FundTerms).decode
