"""What tasks' rows must say, by the log."""

from collections.abc import Iterator

from services.tasks.domain.campaign import Campaign
from services.tasks.domain.claim import Claim
from services.tasks.domain.partner import Partner
from services.tasks.partner_rows import published_version
from services.tasks.store import Store
from shared.sagas.verification import Expected, Row, Verification

WITHOUT_ROW = """
SELECT e.originator_id FROM stored_events e
WHERE e.originator_version = 1 AND NOT EXISTS (SELECT FROM partners WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM campaigns WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM claims WHERE id = e.originator_id)
LIMIT 1
"""


def verify_store(store: Store) -> Iterator[Row]:
    """Compare all rows with the log; see `Verification.run`."""
    return Verification(store, EXPECTED, WITHOUT_ROW).run()


def _partner(partner: Partner, _: Row) -> Row:
    return {
        "name": partner.name, "sponsor_id": partner.sponsor_id, "state": partner.state,
        "asked_at": partner.registered_at,
    }  # fmt: skip


def _campaign(campaign: Campaign, _: Row) -> Row:
    return {
        "name": campaign.name, "partner": campaign.partner, "asp_id": campaign.asp_id,
        "state": campaign.state, "version": campaign.terms_version,
        "offer_version": published_version(campaign), "asked_at": campaign.drafted_at,
    }  # fmt: skip


def _claim(claim: Claim, _: Row) -> Row:
    return {
        "campaign": claim.campaign, "partner": claim.partner, "subscriber": claim.subscriber,
        "bytes": claim.bytes, "state": claim.state, "counted_bytes": claim.counted_bytes,
    }  # fmt: skip


EXPECTED: dict[str, Expected] = {
    "partners": _partner, "campaigns": _campaign, "claims": _claim,
}  # fmt: skip
