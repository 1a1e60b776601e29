"""Are the rows what the log says? Every stream is folded anew and compared with its rows."""

from collections.abc import Callable, Iterator
from typing import Any

from psycopg.rows import dict_row

from services.gifting.domain.aggregate import rebuild
from services.gifting.domain.ask import Ask
from services.gifting.domain.gift import Gift
from services.gifting.domain.red_packet import RedPacket
from services.gifting.domain.split import commitment_of
from services.gifting.listing import FIRST
from services.gifting.store import Store

BATCH = 500
PAGE = "SELECT * FROM {table} WHERE id > %s ORDER BY id LIMIT %s"
WITHOUT_ROW = """
SELECT e.originator_id FROM stored_events e
WHERE e.originator_version = 1 AND NOT EXISTS (SELECT FROM gifts WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM red_packets WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM asks WHERE id = e.originator_id)
LIMIT 1
"""
Row = dict[str, Any]


def verify_store(store: Store) -> Iterator[Row]:
    """Yield progress, then the result with the first difference, if there is one.

    Each batch of rows and their events are read in one snapshot. Raises UnavailableError.
    """
    counts = dict.fromkeys(EXPECTED, 0)
    difference = _without_row(store)
    for table in EXPECTED:
        after = FIRST
        while rows := _page(store, table, after):
            difference = difference or next((each for _, each in rows if each is not None), None)
            counts[table] += len(rows)
            after = rows[-1][0]
            yield {"done": sum(counts.values()), "of": None}
    yield {"result": {"ok": difference is None, **counts, "first_difference": difference}}


def _page(store: Store, table: str, after: Any) -> list[tuple[Any, Row | None]]:
    """Return the next rows' ids, each with its difference from the log, if there is one."""
    with store.snapshot() as conn:
        cursor = conn.cursor(row_factory=dict_row)
        rows = cursor.execute(PAGE.format(table=table), (after, BATCH)).fetchall()
        events = store.events_in(conn, [_stream(row) for row in rows]) if rows else {}
    return [(row["id"], _difference(table, row, events.get(_stream(row), []))) for row in rows]


def _stream(row: Row) -> Any:
    """Return the stream of a row; a claim is told in its packet's."""
    return row.get("packet_id", row["id"])


def _difference(table: str, row: Row, events: list[Any]) -> Row | None:
    name = f"{table}:{row['id'].hex}"
    expected = EXPECTED[table](rebuild(events), row) if events else None
    if expected is None:
        return {"what": name, "expected": None, "found": "a row without events"}
    for column, value in expected.items():
        stored = row[column] if column != "seed" else commitment_of(bytes(row["seed"]))
        if stored != value:
            return {"what": f"{name}.{column}", "expected": value, "found": stored}
    return None


def _without_row(store: Store) -> Row | None:
    with store.snapshot() as conn:
        row = conn.cursor(row_factory=dict_row).execute(WITHOUT_ROW).fetchone()
    if row is None:
        return None
    return {"what": row["originator_id"].hex, "expected": "a row", "found": None}


def _gift(gift: Gift, _: Row) -> Row:
    return {
        "sender": gift.sender, "receiver": gift.receiver, "bytes": gift.bytes, "state": gift.state,
        "counts": not gift.gives_back, "asked_at": gift.requested_at,
    }  # fmt: skip


def _packet(packet: RedPacket, _: Row) -> Row:
    return {
        "sender": packet.sender, "token_hash": packet.token_hash, "bytes": packet.bytes,
        "shares": packet.shares, "state": packet.state, "counts": not packet.gives_back,
        "asked_at": packet.requested_at, "seed": packet.seed_commitment,
    }  # fmt: skip


def _claim(packet: RedPacket, row: Row) -> Row | None:
    claim = packet.claims.get(row["id"].hex)
    if claim is None:
        return None
    return {"receiver": claim.receiver, "counts": claim.state != "returned"}


def _ask(ask: Ask, _: Row) -> Row:
    return {
        "asker": ask.asker, "giver": ask.giver, "bytes": ask.bytes, "state": ask.state,
        "asked_at": ask.made_at,
    }  # fmt: skip


EXPECTED: dict[str, Callable[[Any, Row], Row | None]] = {
    "gifts": _gift, "red_packets": _packet, "claims": _claim, "asks": _ask,
}  # fmt: skip
