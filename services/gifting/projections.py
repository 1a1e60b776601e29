"""The rows beside the log: what gifts, red packets and asks are now, for lists, limits and jobs."""

from typing import Any

from psycopg import Connection

from services.gifting import metrics
from services.gifting.domain.ask import Ask
from services.gifting.domain.gift import Gift
from services.gifting.domain.red_packet import RedPacket
from shared.contracts.gifting import ShareClaimed, ShareReturned

UPSERT_GIFTS = """
INSERT INTO gifts AS g (
    id, sender, receiver, bytes, state, counts, asked_at, changed_at, sender_opened_at, due_at
)
SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::boolean[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[]
)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, counts = excluded.counts, changed_at = excluded.changed_at,
    sender_opened_at = coalesce(excluded.sender_opened_at, g.sender_opened_at),
    due_at = excluded.due_at
"""
UPSERT_PACKETS = """
INSERT INTO red_packets (
    id, token_hash, sender, bytes, shares, state, counts, asked_at, changed_at, seed, due_at
)
SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::integer[], %s::text[], %s::boolean[],
    %s::bigint[], %s::bigint[], %s::bytea[], %s::bigint[]
)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, counts = excluded.counts, changed_at = excluded.changed_at,
    due_at = excluded.due_at
"""
INSERT_CLAIMS = """
INSERT INTO claims (id, packet_id, receiver, counts, claimed_at)
SELECT id, packet_id, receiver, true, claimed_at
FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bigint[])
    AS new (id, packet_id, receiver, claimed_at)
"""
GIVE_BACK_CLAIMS = "UPDATE claims SET counts = false WHERE id = ANY(%s::uuid[])"
UPSERT_ASKS = """
INSERT INTO asks (id, asker, giver, bytes, state, asked_at, changed_at, due_at)
SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[],
    %s::bigint[]
)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, changed_at = excluded.changed_at, due_at = excluded.due_at
"""

Row = tuple[Any, ...]


class Rows:
    """The rows that one turn writes, each kind's in one statement."""

    def __init__(self) -> None:
        self._gifts: list[Row] = []
        self._packets: list[Row] = []
        self._claims: list[Row] = []
        self._given_back: list[str] = []
        self._asks: list[Row] = []

    def take_gift(self, gift: Gift, now: int, sender_opened_at: int | None) -> None:
        """Take in what a gift has become by `now`; one that is requested is looked at by a job."""
        metrics.TRANSITIONS.labels("gift", gift.state).inc()
        due_at = now if gift.state == "requested" else None
        self._gifts.append(
            (
                gift.id, gift.sender, gift.receiver, gift.bytes, gift.state, not gift.gives_back,
                gift.requested_at, now, sender_opened_at, due_at,
            )
        )  # fmt: skip

    def take_packet(self, packet: RedPacket, now: int, seed: bytes, facts: list[Any]) -> None:
        """Take in what a packet has become, and by the facts that are new, its claims."""
        metrics.TRANSITIONS.labels("red_packet", packet.state).inc()
        self._packets.append(
            (
                packet.id, packet.token_hash, packet.sender, packet.bytes, packet.shares,
                packet.state, not packet.gives_back, packet.requested_at, now, seed,
                now if packet.state == "requested" else None,
            )
        )  # fmt: skip
        for fact in facts:
            if isinstance(fact, ShareClaimed):
                self._claims.append((fact.claim_id, packet.id, fact.receiver, fact.recorded_at))
            elif isinstance(fact, ShareReturned):
                self._given_back.append(fact.claim_id)

    def take_ask(self, ask: Ask, now: int) -> None:
        """Take in what an ask has become; an open one ends at its deadline."""
        metrics.TRANSITIONS.labels("ask", ask.state).inc()
        self._asks.append(
            (
                ask.id, ask.asker, ask.giver, ask.bytes, ask.state, ask.made_at, now,
                None if ask.is_final else ask.deadline,
            )
        )  # fmt: skip

    def write(self, conn: Connection[Any]) -> None:
        """Write the rows."""
        for statement, rows in (
            (UPSERT_GIFTS, self._gifts), (UPSERT_PACKETS, self._packets),
            (INSERT_CLAIMS, self._claims), (UPSERT_ASKS, self._asks),
        ):  # fmt: skip
            if rows:
                conn.execute(statement, [list(column) for column in zip(*rows, strict=True)])
        if self._given_back:
            conn.execute(GIVE_BACK_CLAIMS, (self._given_back,))
