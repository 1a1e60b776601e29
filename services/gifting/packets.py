"""Red packets: made with a secret seed, opened by the ledger's hold, claimed with its link."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta as Limits

from services.gifting.domain.checks import Facts, Party
from services.gifting.domain.fees import fee_of
from services.gifting.domain.packet_limits import PacketAsked, refuse_claim, refuse_packet
from services.gifting.domain.red_packet import PacketWish, RedPacket, unknown_packet
from services.gifting.domain.rules import Rules
from services.gifting.domain.split import SEED_BYTES, Split, commitment_of
from services.gifting.gifts import HOUR_MS, Amount, Message, SubscriberId
from services.gifting.ledger import Check, fee_in_check
from services.gifting.requests import Request
from services.gifting.turn import BY_GIFTING, Needs, Turn
from shared.ids import digest
from shared.sagas.requests import Answer, Asking
from shared.sagas.writer import Job

PURPOSE = "red_packet"
# The least that the ledger can be asked about, where only who somebody is matters.
ANY_BYTES = 1


class PacketTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sender puts into a red packet."""

    sender: SubscriberId
    bytes: Amount
    shares: Annotated[int, Limits(ge=1, le=1000)]
    split: Split = "lucky"
    message: Message | None = None


class ClaimTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who takes a share."""

    receiver: SubscriberId


def token_of(seed: bytes) -> str:
    """Return the token of a packet's link: 22 letters that only who knows the seed can make."""
    return urlsafe_b64encode(digest("token", seed.hex())).rstrip(b"=").decode()


def token_hash(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def check_of(terms: PacketTerms, rules: Rules) -> Check:
    """Return the question to the ledger about a packet."""
    return _check(terms.sender, terms.bytes, fee_of(rules.red_packets.fee, terms.bytes))


def check_again(packet: RedPacket) -> Check:
    """Return the question to the ledger about a packet that was requested before."""
    return _check(packet.sender, packet.bytes, packet.fee_bytes)


def _check(sender: str, amount: int, fee_bytes: int) -> Check:
    fee = fee_in_check(fee_bytes, "sender")
    return Check(account=sender, bytes=amount, fee=fee, purpose=PURPOSE)


def check_person(account: str) -> Check:
    """Return the question to the ledger who somebody is; the answer tells it as the sender."""
    return Check(account=account, bytes=ANY_BYTES, purpose=PURPOSE)


class MakePacket(Request):
    """Make a red packet: refused at once, or requested and, where the ledger was there, offered."""

    def __init__(self, asking: Asking, terms: PacketTerms) -> None:
        super().__init__(asking)
        self.terms = terms
        # Not in the turn: a turn that is run again must not know another seed.
        self._seed = secrets.token_bytes(SEED_BYTES)

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.packet_senders.add(self.terms.sender)

    def act(self, turn: Turn) -> UUID:
        """Make it. Raises what limits and the ledger refuse."""
        terms = self.terms
        asked = PacketAsked(
            sender=terms.sender, bytes=terms.bytes, shares=terms.shares, now=turn.now,
            fee_bytes=fee_of(turn.rules.red_packets.fee, terms.bytes),
        )  # fmt: skip
        today = turn.tallies.packets_today(terms.sender)
        refusal = refuse_packet(asked, turn.rules, turn.calendar, self.facts, today)
        if refusal is not None:
            raise refusal
        meta = turn.meta(self.asking.caller)
        packet = RedPacket.request(self._wish(turn), meta)
        turn.add(packet)
        turn.seeds[packet.id] = self._seed
        turn.tallies.count_packet(terms.sender)
        if self.facts is not None:
            packet.offer(meta)
        return packet.id

    def _wish(self, turn: Turn) -> PacketWish:
        terms, limits = self.terms, turn.rules.red_packets
        return PacketWish(
            packet_id=self.asking.subject.hex, sender=terms.sender,
            token_hash=token_hash(token_of(self._seed)), bytes=terms.bytes, shares=terms.shares,
            split=terms.split, seed_commitment=commitment_of(self._seed),
            share_bytes_min=limits.share_bytes_min,
            deadline=turn.now + limits.valid_hours * HOUR_MS, message=terms.message,
            fee_bytes=fee_of(limits.fee, terms.bytes),
        )  # fmt: skip


class GoOnWithPacket(Job[None]):
    """Decide about a packet that was requested while the ledger was away."""

    def __init__(self, packet: RedPacket, facts: Facts) -> None:
        super().__init__()
        self._id = packet.id
        self._facts = facts

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        needs.streams.add(self._id)

    def decide(self, turn: Turn) -> None:
        """Offer it or refuse it; in any other state it is no business of this job."""
        packet = turn.found(RedPacket, self._id)
        if packet is None or packet.state != "requested":
            return
        asked = PacketAsked(
            sender=packet.sender, bytes=packet.bytes, shares=packet.shares, now=turn.now,
            fee_bytes=packet.fee_bytes,
        )  # fmt: skip
        refusal = refuse_packet(asked, turn.rules, turn.calendar, self._facts, None)
        meta = turn.meta(BY_GIFTING)
        if refusal is not None:
            packet.deny(refusal.code, refusal.detail, meta)
        else:
            packet.offer(meta, turn.now + turn.rules.red_packets.valid_hours * HOUR_MS)


class ClaimShare(Request):
    """Take a share of a packet; one person has one, however often it asks."""

    def __init__(self, asking: Asking, token: str) -> None:
        super().__init__(asking)
        self._token_hash = token_hash(token)

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.tokens.add(self._token_hash)
        needs.share_receivers.add(self.asking.account)

    def decide(self, turn: Turn) -> Answer:
        """Take it; who has a share already gets that one, whatever the key."""
        known = self._packet(turn).claim_of(self.asking.account)
        answer = super().decide(turn)
        return msgspec.structs.replace(answer, repeated=known is not None)

    def act(self, turn: Turn) -> UUID:
        """Take it. Raises packet_not_found, what the packet says and what limits refuse."""
        packet, receiver = self._packet(turn), self.asking.account
        if packet.claim_of(receiver) is None:
            packet.check_claim(receiver, turn.now)
            # While the ledger is away nobody knows; an arrival that it refuses comes back.
            party = Party(account=receiver) if self.facts is None else self.facts.sender
            used = turn.tallies.shares_used(receiver)
            refusal = refuse_claim(receiver, party, turn.rules, used, turn.now, turn.calendar)
            if refusal is not None:
                raise refusal
            packet.claim(receiver, turn.seeds[packet.id], turn.meta(self.asking.caller))
            turn.tallies.count_share(receiver)
        return packet.id

    def _packet(self, turn: Turn) -> RedPacket:
        stream = turn.packet_of_token.get(self._token_hash)
        packet = None if stream is None else turn.found(RedPacket, stream)
        if packet is None:
            raise unknown_packet()
        return packet
