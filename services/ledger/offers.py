"""The offers of sponsored traffic that a partition has stored, and who is listed in them."""

from collections.abc import Iterable
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.rows import tuple_row

from services.ledger.domain.commands import Usage
from services.ledger.domain.offers import OfferBook
from services.ledger.sponsors import Members
from shared.contracts.offers import Offer
from shared.pgarrays import texts

SELECT = 'SELECT campaign, offer FROM offers ORDER BY campaign COLLATE "C"'
UPSERT = """
INSERT INTO offers AS o (campaign, version, changes, offer) VALUES (%s, %s, 1, %s)
ON CONFLICT (campaign) DO UPDATE
SET version = excluded.version, changes = o.changes + 1, offer = excluded.offer
"""
SELECT_MEMBERS = """
SELECT campaign, account FROM offer_members WHERE account = ANY(%b::text[])
"""
INSERT_MEMBERS = """
INSERT INTO offer_members (campaign, account) SELECT %s, * FROM unnest(%s::text[])
ON CONFLICT DO NOTHING
"""
DELETE_MEMBERS = "DELETE FROM offer_members WHERE campaign = %s AND account = ANY(%s::text[])"
_decode = msgspec.json.Decoder(Offer).decode


class StoredOffers:
    """The offers of a partition as its last batch had them."""

    def __init__(self) -> None:
        self.book = OfferBook([])
        self._read = 0

    def follow(self, conn: Connection[Any], changes: int) -> None:
        """Read the table anew where it has changed since it was read."""
        if changes != self._read:
            self.book = OfferBook(stored_offers(conn))
            self._read = changes

    def members(self, conn: Connection[Any], asked: Iterable[object]) -> Members:
        """Return who of these subscribers is listed in which offer, as (campaign, account)."""
        if not self.book.listed:
            return frozenset()
        accounts = {each.account for each in asked if isinstance(each, Usage)}
        if not accounts:
            return frozenset()
        cursor = conn.cursor(row_factory=tuple_row)
        cursor.execute(SELECT_MEMBERS, (texts(sorted(accounts)),), binary=True)
        return frozenset(cursor.fetchall())


def stored_offers(conn: Connection[Any]) -> list[Offer]:
    """Return the offers of a partition's table."""
    rows = conn.cursor(row_factory=tuple_row).execute(SELECT).fetchall()
    return [_decode(bytes(offer)) for _, offer in rows]
