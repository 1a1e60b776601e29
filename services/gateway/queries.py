"""What the views answer: one statement for each question, so that an answer is of one moment."""

from typing import Any

from services.gateway.store import AnyCursor

LOTS_MAX = 1_000

# Whether a minute of the bank day lies in a lot's hours, which may pass midnight.
IN_HOURS = """(hours IS NULL OR CASE
    WHEN (hours->>'begins')::integer <= (hours->>'ends')::integer
    THEN %(minute)s >= (hours->>'begins')::integer AND %(minute)s < (hours->>'ends')::integer
    ELSE %(minute)s >= (hours->>'begins')::integer OR %(minute)s < (hours->>'ends')::integer END)"""
# The sums of lots at an instant; `available` has those that are upcoming or outside their hours.
SUMS = f"""
    coalesce(sum(remaining - held) FILTER (WHERE expires_at > %(now)s), 0) AS available,
    coalesce(sum(remaining - held) FILTER (WHERE expires_at <= %(now)s), 0) AS lapsed,
    coalesce(sum(remaining - held) FILTER (WHERE valid_from > %(now)s), 0) AS upcoming,
    coalesce(sum(remaining - held) FILTER (
        WHERE valid_from <= %(now)s AND expires_at > %(now)s AND NOT {IN_HOURS}
    ), 0) AS outside_hours,
    coalesce(sum(held), 0) AS held
"""
BALANCE = f"""
WITH own AS (SELECT * FROM lots WHERE account = %(account)s AND remaining > 0)
SELECT to_jsonb(owner) AS owner,
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'balances')
        AS positions,
    (SELECT to_jsonb(sums) FROM (
        SELECT count(*) AS lots, {SUMS} FROM own) AS sums) AS sums,
    (SELECT jsonb_agg(to_jsonb(lot)) FROM (
        SELECT * FROM own ORDER BY expires_at, valid_from, lot_id LIMIT %(limit)s) AS lot) AS lots
FROM balances AS owner WHERE account = %(account)s
"""
LOTS = f"""
SELECT to_jsonb(owner) AS owner,
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'balances')
        AS positions,
    (SELECT count(*) FROM lots WHERE account = %(account)s AND remaining > 0) AS total,
    (SELECT jsonb_agg(to_jsonb(lot)) FROM (
        SELECT * FROM lots
        WHERE account = %(account)s AND remaining > 0
            AND (%(end)s::bigint IS NULL
                OR (expires_at, valid_from, lot_id) > (%(end)s, %(start)s::bigint, %(lot)s::text))
            AND (%(kind)s::text IS NULL OR kind = %(kind)s)
            AND CASE %(state)s::text WHEN 'lapsed' THEN expires_at <= %(now)s
                WHEN 'upcoming' THEN valid_from > %(now)s
                WHEN 'available'
                THEN expires_at > %(now)s AND valid_from <= %(now)s AND {IN_HOURS}
                WHEN 'outside_hours'
                THEN expires_at > %(now)s AND valid_from <= %(now)s AND NOT {IN_HOURS}
                ELSE true END
            AND (%(within)s::bigint IS NULL
                OR expires_at > %(now)s AND expires_at <= %(now)s + %(within)s)
        ORDER BY expires_at, valid_from, lot_id LIMIT %(limit)s) AS lot) AS lots
FROM balances AS owner WHERE account = %(account)s
"""
# Terms of a lot never change, so those of the view `balances` are those of any time.
BALANCE_AT = f"""
WITH changed AS (
    SELECT lot->>0 AS lot_id, sum((lot->>1)::numeric) AS remaining, sum((lot->>2)::numeric) AS held
    FROM history, jsonb_array_elements(lots) AS lot
    WHERE account = %(account)s AND at <= %(now)s GROUP BY 1
), own AS (
    SELECT changed.lot_id, changed.remaining, changed.held, kind, valid_from, expires_at, scope,
        hours
    FROM changed LEFT JOIN lots ON lots.account = %(account)s AND lots.lot_id = changed.lot_id
    WHERE changed.remaining > 0
)
SELECT
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'history')
        AS positions,
    EXISTS (SELECT FROM history WHERE account = %(account)s AND at <= %(now)s) AS is_open,
    (SELECT to_jsonb(sums) FROM (
        SELECT count(*) AS lots, count(*) FILTER (WHERE kind IS NULL) AS unknown, {SUMS} FROM own
        ) AS sums) AS sums,
    (SELECT jsonb_agg(to_jsonb(lot)) FROM (
        SELECT * FROM own ORDER BY expires_at, valid_from, lot_id LIMIT %(limit)s) AS lot) AS lots
"""
HISTORY = """
SELECT
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'history')
        AS positions,
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        SELECT entry, at, kind, bytes_in, bytes_out, balance, lots, facts, actor, reason
        FROM history
        WHERE account = %(account)s AND entry > %(after)s
            AND (%(kind)s::text IS NULL OR kind = %(kind)s)
            AND (%(from)s::bigint IS NULL OR at >= %(from)s)
            AND (%(to)s::bigint IS NULL OR at < %(to)s)
        ORDER BY entry LIMIT %(limit)s) AS one) AS entries
FROM history_ends WHERE account = %(account)s
"""
SPONSORED = """
SELECT sponsored.campaign, balances.partner, sponsored.bytes, sponsored.records
FROM sponsored LEFT JOIN balances ON balances.account = sponsored.campaign
WHERE sponsored.account = %s AND month = %s AND sponsored.bytes > 0 ORDER BY sponsored.campaign
"""
# Who gives to itself is refused, so nobody is found on both sides.
GIFTS = """
SELECT
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions WHERE consumer = 'gifts')
        AS positions,
    EXISTS (SELECT FROM balances WHERE account = %(account)s)
        OR EXISTS (SELECT FROM gifts WHERE sender = %(account)s)
        OR EXISTS (SELECT FROM gifts WHERE receiver = %(account)s) AS known,
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        (SELECT * FROM gifts
        WHERE %(role)s::text IS DISTINCT FROM 'receiver' AND sender = %(account)s AND $
        ORDER BY requested_at DESC, gift_id DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT * FROM gifts
        WHERE %(role)s::text IS DISTINCT FROM 'sender' AND receiver = %(account)s AND $
        ORDER BY requested_at DESC, gift_id DESC LIMIT %(limit)s)
        ORDER BY requested_at DESC, gift_id DESC LIMIT %(limit)s) AS one) AS gifts
""".replace(
    "$",
    "(%(at)s::bigint IS NULL OR (requested_at, gift_id) < (%(at)s, %(last)s::text))"
    " AND (%(state)s::text IS NULL OR state = %(state)s)"
    " AND (%(kind)s::text IS NULL OR kind = %(kind)s)",
)
TRIAL_BALANCE = """
SELECT
    (SELECT jsonb_object_agg(source, sequence) FROM inbox_positions
        WHERE consumer = 'trial_balance') AS positions,
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        SELECT account_kind, sum(accounts) AS accounts, sum(earned) AS earned,
            sum(received) AS received, sum(returned) AS returned, sum(spent) AS spent,
            sum(unfunded) AS unfunded, sum(transferred) AS transferred, sum(expired) AS expired,
            sum(adjusted) AS adjusted, sum(sponsored) AS sponsored
        FROM trial_balance GROUP BY account_kind) AS one) AS sums,
    (SELECT jsonb_agg(to_jsonb(one)) FROM (
        SELECT account_kind, sum(held) AS held,
            coalesce(sum(remaining - held) FILTER (WHERE expires_at > %(now)s), 0) AS available,
            coalesce(sum(remaining - held) FILTER (WHERE expires_at <= %(now)s), 0) AS lapsed
        FROM trial_remaining GROUP BY account_kind) AS one) AS remaining,
    (SELECT coalesce(sum(bytes), 0) FROM transfers_in_transit) AS in_transit,
    (SELECT count(*) FROM transfers_in_transit) AS transfers
"""


def balance(cursor: AnyCursor, account: str, now: int, minute: int) -> Any:
    """Return owner, positions, sums and lots of an account, None if it is not known.

    `minute` is that of the bank day at `now`.
    """
    values = {"account": account, "now": now, "minute": minute, "limit": LOTS_MAX}
    return cursor.execute(BALANCE, values).fetchone()


def lots(cursor: AnyCursor, account: str, filters: dict[str, Any]) -> Any:
    """Return owner, positions, the number of all lots, and those that fit, None if not known."""
    return cursor.execute(LOTS, {"account": account, **filters}).fetchone()


def balance_at(cursor: AnyCursor, account: str, at: int, minute: int) -> Any:
    """Return positions, whether it was open, sums and lots of an account at a past instant.

    `minute` is that of the bank day at this instant.
    """
    values = {"account": account, "now": at, "minute": minute, "limit": LOTS_MAX}
    return cursor.execute(BALANCE_AT, values).fetchone()


def history(cursor: AnyCursor, account: str, filters: dict[str, Any], limit: int) -> Any:
    """Return positions and up to `limit` entries of an account, None if it is not known."""
    return cursor.execute(HISTORY, {"account": account, **filters, "limit": limit}).fetchone()


def gifts(cursor: AnyCursor, account: str, filters: dict[str, Any]) -> Any:
    """Return positions, whether the account is known, and what it gave and got, newest first."""
    return cursor.execute(GIFTS, {"account": account, **filters}).fetchone()


def sponsored(cursor: AnyCursor, account: str, month: str) -> list[dict[str, Any]]:
    """Return what each campaign paid for an account in a month."""
    keys = ("campaign", "partner", "bytes", "records")
    rows = cursor.execute(SPONSORED, (account, month)).fetchall()
    return [dict(zip(keys, row, strict=True)) for row in rows]


def trial_balance(cursor: AnyCursor, now: int) -> Any:
    """Return positions, sums and what is left by kind of account, and what is in transit."""
    return cursor.execute(TRIAL_BALANCE, {"now": now}).fetchone()
