"""What the views of partners and campaigns answer: one statement for each question."""

from typing import Any

import msgspec

from services.gateway.campaigns import TERMS
from services.gateway.settlement import Price
from services.gateway.store import AnyCursor, Sequences

KEY = ("partner", "campaign", "day", "kind", "rating_group")

SPEND = """
WITH matching AS (
    SELECT partner, campaign, day::text AS day, kind, rating_group, bytes, count, subscribers
    FROM spend_lines
    WHERE (%(partner)s::text IS NULL OR partner = %(partner)s)
        AND (%(campaign)s::text IS NULL OR campaign = %(campaign)s)
        AND (%(kind)s::text IS NULL OR kind = %(kind)s)
        AND (%(day_from)s::date IS NULL OR day >= %(day_from)s)
        AND (%(day_to)s::date IS NULL OR day <= %(day_to)s)
)
SELECT (SELECT coalesce(sum(bytes), 0) FROM matching), (SELECT jsonb_agg(to_jsonb(one)) FROM (
    SELECT * FROM matching
    WHERE %(after_partner)s::text IS NULL OR (partner, campaign, day, kind, rating_group)
        > (%(after_partner)s, %(after_campaign)s::text, %(after_day)s::text, %(after_kind)s::text,
            %(after_rating_group)s::text)
    ORDER BY partner, campaign, day, kind, rating_group LIMIT %(limit)s) AS one)
"""
PRICES = """
SELECT partner, jsonb_agg(jsonb_build_object('price_version', price_version, 'from_day', from_day,
    'recorded_at', recorded_at, 'fen_per_gib', fen_per_gib))
FROM partner_prices WHERE partner = ANY(%s) GROUP BY partner
"""
SETTLEMENT = """
SELECT
    (SELECT jsonb_agg(jsonb_build_array(consumer, source, sequence)) FROM inbox_positions
        WHERE consumer = ANY(%(views)s)),
    (SELECT count(*) FROM parked WHERE consumer = ANY(%(views)s)
        -- One that names another partner stops nobody else.
        AND coalesce(event #>> '{data,partner}', %(partner)s) = %(partner)s),
    EXISTS (SELECT FROM spend_partners WHERE partner = %(partner)s),
    coalesce((SELECT sponsor_id FROM partners WHERE partner = %(partner)s), ''),
    (SELECT jsonb_object_agg(campaign, asp_id) FROM partner_campaigns
        WHERE partner = %(partner)s),
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        SELECT campaign, kind, rating_group, bytes, count, subscribers FROM spend_lines
        WHERE partner = %(partner)s AND day = %(day)s) AS one)
"""
CAMPAIGNS = """
SELECT
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'campaigns'),
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        SELECT campaigns.*, coalesce(left_.held, 0) AS held,
            coalesce(left_.available, 0) AS available, coalesce(left_.lapsed, 0) AS lapsed
        FROM campaigns LEFT JOIN LATERAL (
            SELECT sum(held) AS held,
                sum(remaining - held) FILTER (WHERE expires_at > %(now)s) AS available,
                sum(remaining - held) FILTER (WHERE expires_at <= %(now)s) AS lapsed
            FROM campaign_lots WHERE campaign_lots.campaign = campaigns.campaign) AS left_ ON true
        WHERE (%(campaign)s::text IS NULL OR campaigns.campaign = %(campaign)s)
            AND (%(partner)s::text IS NULL OR campaigns.partner = %(partner)s)
            AND (%(after)s::text IS NULL OR campaigns.campaign > %(after)s)
        ORDER BY campaigns.campaign LIMIT %(limit)s) AS one)
"""
CAMPAIGN_SUMS = f"""
SELECT {", ".join(f"coalesce(sum({term}), 0)" for term in TERMS)},
    (SELECT coalesce(sum(remaining), 0) FROM campaign_lots) FROM campaigns
"""
# A partner's own lots are the view `balances`'s.
ALARMS = """
WITH alarms AS (
    SELECT told.account, coalesce(campaigns.partner, told.account) AS partner, told.percent,
        told.told_at, told.level_bytes, coalesce(own.available, escrow.available, 0) AS available
    FROM fund_alarms AS told LEFT JOIN campaigns ON campaigns.campaign = told.account
        LEFT JOIN LATERAL (
            SELECT sum(remaining - held) AS available FROM lots
            WHERE campaigns.campaign IS NULL AND lots.account = told.account
                AND valid_from <= %(now)s AND expires_at > %(now)s) AS own ON true
        LEFT JOIN LATERAL (
            SELECT sum(remaining - held) AS available FROM campaign_lots
            WHERE campaign_lots.campaign = told.account AND expires_at > %(now)s) AS escrow ON true
)
SELECT
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'campaigns'),
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        SELECT * FROM alarms WHERE available <= level_bytes
            AND (%(partner)s::text IS NULL OR partner = %(partner)s)
            AND (%(after)s::text IS NULL OR account > %(after)s)
        ORDER BY account LIMIT %(limit)s) AS one)
"""
QUOTAS = """
SELECT account, sum(remaining) FROM campaign_lots
WHERE campaign = %(campaign)s AND account <> %(campaign)s GROUP BY account ORDER BY account
"""


class Found(msgspec.Struct):
    """What a settlement is made of, all of one moment."""

    positions: dict[str, Sequences]
    parked: int
    known: bool
    sponsor_id: str
    asp_ids: dict[str, str]
    lines: list[dict[str, Any]]
    prices: list[Price]


def is_account(cursor: AnyCursor, account: str) -> bool:
    """Say whether the view `balances` knows this account."""
    found = cursor.execute("SELECT FROM balances WHERE account = %s", (account,)).fetchone()
    return found is not None


def is_partner(cursor: AnyCursor, partner: str) -> bool:
    """Say whether the view `partner_spend` knows this partner."""
    found = cursor.execute("SELECT FROM spend_partners WHERE partner = %s", (partner,)).fetchone()
    return found is not None


def spend(
    cursor: AnyCursor, filters: dict[str, Any], limit: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return the bytes of all rows that match, and up to `limit` of them."""
    row = cursor.execute(SPEND, {**filters, "limit": limit}).fetchone()
    assert row is not None
    return int(row[0]), row[1] or []


def prices(cursor: AnyCursor, partners: set[str]) -> dict[str, list[Price]]:
    """Return every version of the partners' prices."""
    rows = cursor.execute(PRICES, (sorted(partners),)).fetchall()
    return {partner: msgspec.convert(found, list[Price]) for partner, found in rows}


def settlement(cursor: AnyCursor, partner: str, day: str, views: list[str]) -> Found:
    """Return what a settlement is made of."""
    values = {"partner": partner, "day": day, "views": views}
    row = cursor.execute(SETTLEMENT, values).fetchone()
    assert row is not None
    positions: dict[str, Sequences] = {}
    for consumer, source, sequence in row[0] or []:
        positions.setdefault(consumer, {})[source] = sequence
    _, parked, known, sponsor_id, asp_ids, lines = row
    own = prices(cursor, {partner}).get(partner, [])
    return Found(positions, parked, known, sponsor_id, asp_ids or {}, lines or [], own)


def campaigns(
    cursor: AnyCursor, now: int, *, campaign: str | None = None, partner: str | None = None,
    after: str | None = None, limit: int,
) -> tuple[Sequences, list[dict[str, Any]]]:  # fmt: skip
    """Return the view's positions and up to `limit` campaigns, by name."""
    values = {
        "now": now, "campaign": campaign, "partner": partner, "after": after, "limit": limit,
    }  # fmt: skip
    row = cursor.execute(CAMPAIGNS, values).fetchone()
    assert row is not None
    return row[0] or {}, row[1] or []


def quotas(cursor: AnyCursor, campaign: str) -> list[dict[str, Any]]:
    """Return what each of a campaign's quotas has left."""
    rows = cursor.execute(QUOTAS, {"campaign": campaign}).fetchall()
    return [{"account": account, "remaining_bytes": int(left)} for account, left in rows]


def alarms(
    cursor: AnyCursor, now: int, *, partner: str | None = None, after: str | None = None,
    limit: int | None = None,
) -> tuple[Sequences, list[dict[str, Any]]]:  # fmt: skip
    """Return the view's positions and up to `limit` alarms, by account; all without a limit."""
    values = {"now": now, "partner": partner, "after": after, "limit": limit}
    row = cursor.execute(ALARMS, values).fetchone()
    assert row is not None
    return row[0] or {}, row[1] or []


def campaign_sums(cursor: AnyCursor) -> dict[str, int]:
    """Return the terms of all campaigns together, and what is left of them."""
    row = cursor.execute(CAMPAIGN_SUMS).fetchone()
    assert row is not None
    return {term: int(amount) for term, amount in zip((*TERMS, "left"), row, strict=True)}
