"""What gifting's rows must say, by the log."""

from collections.abc import Iterator

from services.gifting.domain.ask import Ask
from services.gifting.domain.gift import Gift
from services.gifting.domain.red_packet import RedPacket
from services.gifting.domain.split import commitment_of
from services.gifting.store import Store
from shared.sagas.verification import Expected, Row, Verification

WITHOUT_ROW = """
SELECT e.originator_id FROM stored_events e
WHERE e.originator_version = 1 AND NOT EXISTS (SELECT FROM gifts WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM red_packets WHERE id = e.originator_id)
    AND NOT EXISTS (SELECT FROM asks WHERE id = e.originator_id)
LIMIT 1
"""


def verify_store(store: Store) -> Iterator[Row]:
    """Compare all rows with the log; see `Verification.run`. A claim is told in its packet's."""
    shown = {"seed": lambda seed: commitment_of(bytes(seed))}
    return Verification(store, EXPECTED, WITHOUT_ROW, stream="packet_id", shown=shown).run()


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


EXPECTED: dict[str, Expected] = {
    "gifts": _gift, "red_packets": _packet, "claims": _claim, "asks": _ask,
}  # fmt: skip
