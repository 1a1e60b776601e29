"""Partners and campaigns as JSON."""

from base64 import b64encode
from typing import Any

import msgspec

from services.tasks.domain.campaign import Campaign
from services.tasks.domain.partner import Partner
from services.tasks.domain.signature import SECRET_PREFIX
from services.tasks.domain.terms import CampaignTerms
from services.tasks.grants import Unpaid
from services.tasks.list_rows import ListState
from shared.calendar import Calendar
from shared.contracts.ledger import FUNDS_LEFT_PERCENT


def partner_document(
    partner: Partner, calendar: Calendar, now: int, account: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a partner, with what the ledger says of its data where it was asked."""
    contract, prices = partner.contract_at(now), partner.prices_at(calendar.day_of(now))
    return {
        "partner": partner.name,
        "account": partner.account,
        "sponsor_id": partner.sponsor_id,
        "title": partner.title,
        "state": partner.state,
        "registered_at": calendar.text(partner.registered_at),
        "apps": [{"asp_id": asp, "title": title} for asp, title in partner.apps.items()],
        "keys": [
            {
                "key_id": key_id, "asp_id": key.asp_id, "issued_at": calendar.text(key.issued_at),
                "valid_until": _text(calendar, key.valid_until),
            }
            for key_id, key in partner.keys.items()
        ],
        "contract": contract and {
            "version": contract.version, "starts_at": calendar.text(contract.starts_at),
            "ends_at": calendar.text(contract.ends_at), "terms_version": contract.terms_version,
        },
        "contracts": len(partner.contracts),
        "prices": prices and msgspec.to_builtins(prices),
        "bought_bytes": partner.bought_bytes,
        "bought_fen": partner.bought_fen,
        **_data(account, now),
    }  # fmt: skip


def _data(account: dict[str, Any] | None, now: int) -> dict[str, Any]:
    """Return what is left and held, and below which share of what it had when it bought it is."""
    if account is None:
        return dict.fromkeys(("available_bytes", "held_bytes", "alarm_percent", "alarm_of_bytes"))
    # What has no lot yet is told without `lots`, who never bought without `topped_up`.
    lots = account.get("lots", {}).values()
    lots = [lot for lot in lots if lot["valid_from"] <= now < lot["expires_at"]]
    held = sum(lot.get("held", 0) for lot in lots)
    available = sum(lot["remaining"] for lot in lots) - held
    whole = account.get("topped_up", 0)
    below = [each for each in FUNDS_LEFT_PERCENT if available * 100 < whole * each]
    return {
        "available_bytes": available, "held_bytes": held,
        "alarm_percent": min(below, default=None), "alarm_of_bytes": whole,
    }  # fmt: skip


def key_document(key_id: str, asp_id: str, secret: bytes) -> dict[str, Any]:
    """Return a new key with its secret, as Standard Webhooks writes it; it is shown this once."""
    return {
        "key_id": key_id, "asp_id": asp_id, "secret": SECRET_PREFIX + b64encode(secret).decode(),
    }  # fmt: skip


def campaign_document(
    campaign: Campaign, calendar: Calendar, offer_known: int | None = None,
    progress: tuple[int | None, ListState] | None = None, unpaid: list[Unpaid] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return a campaign, with what its events do not say where that is told.

    `offer_known`: the version of its offer that the ledger knows. `progress`: how many its rule was
    found to mean, and the list's state. `unpaid`: this month's grants that could not be paid.
    """
    return {
        "campaign": campaign.name,
        "account": campaign.account,
        "partner": campaign.partner,
        "asp_id": campaign.asp_id,
        "state": campaign.state,
        "version": campaign.terms_version,
        "approved_version": campaign.approved_version,
        "drafted_at": calendar.text(campaign.drafted_at),
        "started_at": _text(calendar, campaign.started_at),
        "ended_at": _text(calendar, campaign.ended_at),
        "terms": terms_document(campaign.terms, calendar),
        "funded_bytes": campaign.funded_bytes,
        "fundings": [
            {
                "funding_id": funding_id, "bytes": each.bytes, "state": each.state,
                "asked_at": calendar.text(each.asked_at), "code": each.code,
            }
            for funding_id, each in campaign.fundings.items()
        ],
        "offer": None if not campaign.has_offer or offer_known is None else {
            "version": campaign.offer_version, "known_version": offer_known,
            "known": offer_known >= campaign.offer_version,
        },
        "audience": audience_document(campaign, calendar, progress),
        "unpaid_grants": None if unpaid is None else [
            {
                "grant": each.grant, "code": each.code, "members": each.members,
                "tried_at": calendar.text(each.tried_at),
            }
            for each in unpaid
        ],
    }  # fmt: skip


def audience_document(
    campaign: Campaign, calendar: Calendar, progress: tuple[int | None, ListState] | None = None
) -> dict[str, Any] | None:
    """Return how far the audience of a campaign with a rule is, None of any other."""
    if campaign.terms.audience.rule is None:
        return None
    found, on_list = progress or (None, None)
    audience = campaign.audience
    taken = audience.taken if audience.is_taken(str(campaign.members_of)) else None
    state = "taken" if taken else "not_asked"
    if campaign.audience_due:
        state = "taking"
    elif audience.code:
        state = "refused"
    return {
        "list": campaign.members_of, "state": state, "code": audience.code,
        "takings": audience.asked, "found": found, "on_list": on_list and on_list.members,
        "taken": taken and {
            "version": taken.version, "members": taken.members, "at": calendar.text(taken.at),
        },
    }  # fmt: skip


def terms_document(terms: CampaignTerms, calendar: Calendar) -> dict[str, Any]:
    """Return terms with their times as text."""
    times = {"starts_at": calendar.text(terms.starts_at), "ends_at": _text(calendar, terms.ends_at)}
    return terms.stored() | times


def _text(calendar: Calendar, at: int | None) -> str | None:
    return None if at is None else calendar.text(at)
