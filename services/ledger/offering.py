"""The use cases of offers: put one into every partition, list who it is for, show them."""

from typing import Any

import msgspec
from psycopg import Connection
from psycopg.rows import tuple_row

from services.ledger.application import Ledger
from services.ledger.codec import encode
from services.ledger.domain.context import Meta
from services.ledger.domain.offers import digest_of, without_hosts
from services.ledger.offers import DELETE_MEMBERS, INSERT_MEMBERS, UPSERT, stored_offers
from services.ledger.partition import Partition
from shared.contracts.ledger import OFFERS_STREAM, OfferPublished
from shared.contracts.offers import Offer
from shared.errors import RefusedError
from shared.ids import partition_of, stream_id

COUNT_PUBLISHED = "SELECT count(*) FROM stored_events WHERE originator_id = %s::uuid"


def put_offer(ledger: Ledger, offer: Offer, meta: Meta) -> int:
    """Store a version of an offer in every partition; returns in how many it was new.

    The same version again adds nothing, so a put that broke off is finished by repeating it.

    Raises RefusedError offer_outdated, offer_conflict, offer_invalid; BusyError, UnavailableError.
    """
    _check(offer)
    return sum(_put(partition, offer, meta) for partition in ledger.partitions)


def _check(offer: Offer) -> None:
    if offer.ends_at is not None and offer.ends_at <= offer.starts_at:
        raise RefusedError("offer_invalid", "an offer ends after it starts", pointer="$.ends_at")
    if offer.budget == "unlimited" and offer.caps.per_day_bytes is not None:
        raise RefusedError(
            "offer_invalid",
            "a cap of a day for all together needs a budget in escrow",
            pointer="$.caps.per_day_bytes",
        )


def _put(partition: Partition, offer: Offer, meta: Meta) -> bool:
    with partition.turn() as (conn, now):
        known = partition.offers.book.offers.get(offer.campaign)  # As the turn has read it.
        if known == offer:
            return False
        if known is not None and known.version >= offer.version:
            same = known.version == offer.version
            raise RefusedError(
                "offer_conflict" if same else "offer_outdated",
                f"version {known.version} of the offer of {offer.campaign} is "
                + ("another one" if same else "there already"),
                409,
                version=known.version,
            )
        event = OfferPublished(
            account=OFFERS_STREAM, recorded_at=now, actor=meta.actor,
            correlation_id=meta.correlation_id, campaign=offer.campaign, version=offer.version,
            offer=msgspec.to_builtins(without_hosts(offer)), hosts_digest=digest_of(offer.hosts),
            rule_version=partition.rulebook.at(now).version,
        )  # fmt: skip
        stream = stream_id(OFFERS_STREAM)
        row = (stream, _published(conn) + 1, OfferPublished.TYPE, encode(event))
        partition.recorder.append(conn.cursor(row_factory=tuple_row), [row])
        conn.execute(UPSERT, (offer.campaign, offer.version, encode(offer)))
    return True


def _published(conn: Connection[Any]) -> int:
    cursor = conn.cursor(row_factory=tuple_row)
    row = cursor.execute(COUNT_PUBLISHED, (stream_id(OFFERS_STREAM).hex(),)).fetchone()
    return int(row[0]) if row else 0


def change_members(ledger: Ledger, campaign: str, add: list[str], remove: list[str]) -> None:
    """List subscribers in an offer, and take others off the list; repeating it changes nothing."""
    count = len(ledger.partitions)
    for partition in ledger.partitions:
        added, removed = (
            [each for each in names if partition_of(each, count) == partition.number]
            for names in (add, remove)
        )
        if added or removed:
            with partition.turn() as (conn, _):
                conn.execute(INSERT_MEMBERS, (campaign, added))
                conn.execute(DELETE_MEMBERS, (campaign, removed))


def offers_of(ledger: Ledger) -> list[Offer]:
    """Return the offers by campaign, as partition 0 has them."""
    with ledger.partitions[0].connection() as conn:
        return stored_offers(conn)
