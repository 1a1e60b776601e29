"""The rows of partners and campaigns in a turn: lists, keys' secrets, lists of host patterns."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from services.tasks.domain.campaign import Campaign
from services.tasks.domain.partner import Partner
from shared.contracts.tasks import CampaignFunded

UPSERT_PARTNERS = """
INSERT INTO partners (id, name, sponsor_id, state, asked_at, changed_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at
"""
UPSERT_CAMPAIGNS = """
INSERT INTO campaigns (
    id, name, partner, asp_id, state, version, offer_version, audience_due, asked_at, changed_at
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, version = excluded.version, offer_version = excluded.offer_version,
    audience_due = excluded.audience_due,
    changed_at = excluded.changed_at
"""
INSERT_FUNDINGS = "INSERT INTO fundings (id, campaign_id) VALUES (%s, %s)"
INSERT_KEYS = """
INSERT INTO partner_keys (key_id, partner, asp_id, secret, valid_from, sealed)
VALUES (%s, %s, %s, %s, %s, true)
"""
RETIRE_KEYS = "UPDATE partner_keys SET valid_until = %s WHERE key_id = %s"
INSERT_CONTENT = """
INSERT INTO content_lists (campaign, version, hosts, hosts_digest) VALUES (%s, %s, %s, %s)
"""


class NewKey(NamedTuple):
    """A key's row; the secret is sealed, `valid_from` is wall time."""

    key_id: str
    partner: str
    asp_id: str
    secret: bytes
    valid_from: int


class PartnerRows:
    """What one turn writes of partners and campaigns; they change seldom, so row by row."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._writes: list[tuple[str, tuple[Any, ...]]] = []

    def take_partner(self, partner: Partner) -> None:
        """Take in what a partner has become."""
        self._add(
            UPSERT_PARTNERS, partner.id, partner.name, partner.sponsor_id, partner.state,
            partner.registered_at, self._now,
        )  # fmt: skip

    def take_campaign(self, campaign: Campaign, facts: list[Any]) -> None:
        """Take in what a campaign has become; its new fundings are found by their ids."""
        self._add(
            UPSERT_CAMPAIGNS, campaign.id, campaign.name, campaign.partner, campaign.asp_id,
            campaign.state, campaign.terms_version, published_version(campaign),
            campaign.audience_due, campaign.drafted_at, self._now,
        )  # fmt: skip
        for fact in facts:
            if isinstance(fact, CampaignFunded):
                self._add(INSERT_FUNDINGS, UUID(hex=fact.funding_id), campaign.id)

    def add_key(self, key: NewKey) -> None:
        """Keep a key's sealed secret."""
        self._add(INSERT_KEYS, *key)

    def retire_key(self, key_id: str, valid_until: int) -> None:
        """Let a key end at an instant of wall time."""
        self._add(RETIRE_KEYS, valid_until, key_id)

    def add_content(self, campaign: str, version: int, hosts: list[str], digest: str) -> None:
        """Keep a version of a list of host patterns."""
        self._add(INSERT_CONTENT, campaign, version, hosts, digest)

    def _add(self, statement: str, *values: Any) -> None:
        self._writes.append((statement, values))

    def write(self, conn: Connection[Any]) -> None:
        """Write the rows."""
        for statement, values in self._writes:
            conn.execute(statement, values)


def published_version(campaign: Campaign) -> int:
    """Return the version of the offer that the ledger has to know, 0 where there is nothing."""
    return campaign.offer_version if campaign.has_offer else 0
