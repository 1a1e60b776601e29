"""What tasks' rows must say, by the log."""

from collections.abc import Iterator

from services.tasks.claim_documents import claim_row
from services.tasks.domain.campaign import Campaign
from services.tasks.domain.catalogue import Pack
from services.tasks.domain.issue import Issue
from services.tasks.domain.order import Order
from services.tasks.domain.partner import Partner
from services.tasks.domain.pool import Pool
from services.tasks.partner_rows import published_version
from services.tasks.store import Store
from shared.sagas.verification import Expected, Row, Verification

WITHOUT_ROW = """
SELECT e.originator_id FROM stored_events e
WHERE e.originator_version = 1 AND NOT EXISTS (SELECT FROM partners WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM campaigns WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM claims WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM packs WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM pack_orders WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM pools WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM issues WHERE id = e.originator_id)
    -- Who is on a list is no matter of one row.
    AND e.topic <> 'bank.tasks.members_changed.v1'
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
        "offer_version": published_version(campaign), "audience_due": campaign.audience_due,
        "asked_at": campaign.drafted_at,
    }  # fmt: skip


def _pack(pack: Pack, _: Row) -> Row:
    return {"name": pack.name, "number": pack.number, "published_at": pack.published_at}


def _order(order: Order, _: Row) -> Row:
    return {
        "partner": order.partner, "pack": order.pack, "state": order.state, "count": order.count,
        "ordered_at": order.ordered_at,
    }  # fmt: skip


def _pool(pool: Pool, _: Row) -> Row:
    return {
        "partner": pool.partner, "title": pool.title, "grows_with": pool.grows_with,
        "total_bytes": pool.total_bytes, "opened_at": pool.opened_at,
    }  # fmt: skip


def _issue(issue: Issue, _: Row) -> Row:
    parcel = issue.parcel
    return {
        "partner": parcel.partner, "subscriber": parcel.subscriber, "bytes": parcel.bytes,
        "grant_name": parcel.grant, "cycle": parcel.cycle, "state": issue.state,
        "code": issue.code, "issued_at": issue.issued_at,
    }  # fmt: skip


EXPECTED: dict[str, Expected] = {
    "partners": _partner, "campaigns": _campaign, "claims": claim_row, "packs": _pack,
    "pack_orders": _order, "pools": _pool, "issues": _issue,
}  # fmt: skip
