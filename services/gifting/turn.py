"""One transaction in which gifting decides: what it has read, what has changed, what is stored."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Connection

from services.gifting.domain.ask import Ask
from services.gifting.domain.gift import Gift
from services.gifting.domain.red_packet import RedPacket
from services.gifting.domain.rules import Rules
from services.gifting.history import GiftRow, History
from services.gifting.projections import Rows
from services.gifting.tallies import Tallies
from shared.calendar import Calendar
from shared.contracts.ledger import Event
from shared.recorder import LogRecorder
from shared.sagas.aggregate import Meta
from shared.sagas.turn import SagaNeeds, SagaTurn, ids

BY_GIFTING = "gifting"
SELECT_CLAIMS = "SELECT id, packet_id FROM claims WHERE id = ANY(%b::uuid[])"
SELECT_TOKENS = "SELECT token_hash, id FROM red_packets WHERE token_hash = ANY(%s::text[])"
SELECT_SEEDS = "SELECT id, seed FROM red_packets WHERE id = ANY(%b::uuid[])"


class Needs(SagaNeeds):
    """What the jobs of a turn want to read."""

    def __init__(self) -> None:
        super().__init__()
        # Whose gifts are counted: senders with receivers.
        self.pairs: set[tuple[str, str]] = set()
        # Whose packets, shares and asks are counted.
        self.packet_senders: set[str] = set()
        self.share_receivers: set[str] = set()
        self.askers: set[str] = set()
        # Packets by the hash of their token, and by the claims in them.
        self.tokens: set[str] = set()
        self.claims: set[UUID] = set()

    def about(self, sagas: set[UUID]) -> None:
        """Read what the ledger may speak of: gifts, packets, claims."""
        super().about(sagas)
        self.claims |= sagas


class Turn(SagaTurn):
    """What one transaction knows and changes; `now` is bank time in it."""

    needs: Needs

    def __init__(
        self, conn: Connection[Any], recorder: LogRecorder, now: int, calendar: Calendar,
        rules: Rules,
    ) -> None:  # fmt: skip
        super().__init__(conn, recorder, now, calendar, rules.version)
        self.rules = rules
        self.needs = Needs()
        self.history = History(now, calendar, rules)
        self.tallies = Tallies(now, calendar)
        self.packet_of_token: dict[str, UUID] = {}
        self.packet_of_claim: dict[UUID, UUID] = {}
        # The secret seeds of the packets that were read, or begin in this turn.
        self.seeds: dict[UUID, bytes] = {}
        # When senders' accounts began, by gift, where the ledger has told it.
        self._opened_at: dict[UUID, int | None] = {}
        self._rows = Rows()

    def find_streams(self) -> set[UUID]:
        """Return the packets of the tokens and claims that are needed."""
        needs = self.needs
        if needs.tokens:
            self.packet_of_token = dict(self.rows(SELECT_TOKENS, list(needs.tokens)))
        if needs.claims:
            self.packet_of_claim = dict(self.rows(SELECT_CLAIMS, ids(needs.claims)))
        return {*self.packet_of_token.values(), *self.packet_of_claim.values()}

    def read_more(self) -> None:
        """Read the packets' seeds, and what limits are counted from."""
        packets = [packet.id for packet in self.all_found(RedPacket)]
        if packets:
            seeds = self.rows(SELECT_SEEDS, ids(packets))
            self.seeds |= {packet: bytes(seed) for packet, seed in seeds}
        needs = self.needs
        if needs.pairs:
            self.history.read(self.conn, needs.pairs)
        if needs.packet_senders:
            self.tallies.read_packets(self.conn, needs.packet_senders)
        if needs.share_receivers:
            self.tallies.read_shares(self.conn, needs.share_receivers)
        if needs.askers:
            self.tallies.read_asks(self.conn, needs.askers)

    def count(self, gift: Gift, sender_opened_at: int | None) -> None:
        """Let a gift that begins in this turn count for those that follow in it."""
        self._opened_at[gift.id] = sender_opened_at
        self.history.add(
            GiftRow(
                id=gift.id, sender=gift.sender, receiver=gift.receiver, bytes=gift.bytes,
                counts=True, asked_at=self.now, sender_opened_at=sender_opened_at,
            )
        )  # fmt: skip

    def learn(self, gift: Gift, sender_opened_at: int | None) -> None:
        """Take in when the sender's account began, of a gift that was requested without it."""
        if sender_opened_at is not None:
            self._opened_at[gift.id] = sender_opened_at
            self.history.learn(gift.id, sender_opened_at)

    def listener(self, saga: UUID) -> Callable[[Event, Meta], Any] | None:
        """Return the gift, or the packet (by its own id or a claim's), that hears the ledger."""
        stream = self.packet_of_claim.get(saga, saga)
        packet = self.found(RedPacket, stream)
        if packet is not None:
            return partial(packet.on, seed=self.seeds[stream])
        gift = self.found(Gift, stream)
        return None if gift is None else gift.on

    def store(self) -> None:
        """Store what has changed; asks whose gifts have come to nothing are open again."""
        for gift in self.all_found(Gift):
            if gift.ask_id is not None and gift.came_to_nothing and gift.pending_events:
                ask_id = UUID(hex=gift.ask_id)
                self.fetch(ask_id)
                ask = self.found(Ask, ask_id)
                if ask is not None:
                    ask.reopen(gift.gift_id, gift.code, self.meta(BY_GIFTING))
        super().store()

    def take(self, aggregate: Any, facts: list[Any]) -> None:
        """Take in what a gift, packet or ask has become."""
        if isinstance(aggregate, Gift):
            self._rows.take_gift(aggregate, self.now, self._opened_at.get(aggregate.id))
        elif isinstance(aggregate, RedPacket):
            self._rows.take_packet(aggregate, self.now, self.seeds[aggregate.id], facts)
        elif isinstance(aggregate, Ask):
            self._rows.take_ask(aggregate, self.now)

    def write_rows(self) -> None:
        """Write the rows."""
        self._rows.write(self.conn)
