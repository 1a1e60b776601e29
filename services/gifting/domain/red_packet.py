"""A red packet: one hold, shares for whoever comes first, and the rest back at the deadline.

    requested -> offered -> open -> (closed ->) ended
             any of them before `open` -> refused (nothing was held)
    share:   claimed -> delivered | returned

What a share is worth is decided when the packet is made (see `split`), told when it is claimed,
and can be checked by anyone when it has ended: the seed comes in as an argument and is written
into the last fact only. `closed` is a packet whose rest the ledger has released. It ends
when nothing is held and nothing is on its way: delivered + returned = total, always.
"""

from typing import Any, ClassVar, Self

import msgspec

from services.gifting.domain.split import Split, commitment_of, shares_of
from shared.contracts.gifting import (
    RedPacketClosed,
    RedPacketEnded,
    RedPacketOffered,
    RedPacketOpened,
    RedPacketRefused,
    RedPacketRequested,
    ShareClaimed,
    ShareClawedBack,
    ShareDelivered,
    ShareReturned,
)
from shared.contracts.ledger import (
    DataClawedBack,
    DataHeld,
    DataReceived,
    Event,
    HoldRefused,
    HoldReleased,
    LotTerms,
    TransferRefused,
    TransferReturned,
)
from shared.errors import RefusedError
from shared.ids import digest
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact

FINAL = frozenset({"ended", "refused"})


class PacketWish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the sender confirmed: `bytes` in so many shares, claimed until `deadline`."""

    packet_id: str
    sender: str
    token_hash: str
    bytes: int
    shares: int
    split: Split
    seed_commitment: str
    share_bytes_min: int
    deadline: int
    fee_bytes: int = 0
    message: str | None = None


class Claim(msgspec.Struct, kw_only=True):
    """A share that somebody has got; `state`: claimed, delivered, returned."""

    claim_id: str
    receiver: str
    position: int
    bytes: int
    fee_bytes: int = 0
    state: str = "claimed"
    code: str = ""
    transfer_id: str | None = None
    lots: list[LotTerms] = []
    clawed_back_bytes: int = 0

    @property
    def is_held(self) -> bool:
        """Say whether the share's bytes never left the hold (or are not known to have)."""
        return self.transfer_id is None


def claim_name(packet_id: str, receiver: str) -> str:
    """Return the id of a person's claim; there is but one per packet and person."""
    return digest("claim", packet_id, receiver).hex()


class RedPacket(Aggregate):
    """One red packet with its shares, from its request to its end."""

    TOPIC = "gifting.red_packet"

    Requested = beginning(RedPacketRequested)
    Offered = fact(RedPacketOffered)
    Opened = fact(RedPacketOpened)
    Refused = fact(RedPacketRefused)
    ShareWasClaimed = fact(ShareClaimed)
    ShareWasDelivered = fact(ShareDelivered)
    ShareWasReturned = fact(ShareReturned)
    ShareWasClawedBack = fact(ShareClawedBack)
    Closed = fact(RedPacketClosed)
    Ended = fact(RedPacketEnded)

    def __init__(self) -> None:
        self.state = ""
        self.hold_id = ""
        self.code = ""
        self.detail = ""
        self.cause = ""
        self.claims: dict[str, Claim] = {}
        self.on_the_way = 0
        self.delivered_bytes = 0
        self.returned_bytes = 0

    @classmethod
    def request(cls, wish: PacketWish, meta: Meta) -> Self:
        """Note down what was confirmed; nothing is held yet."""
        return cls._begin(
            wish.packet_id,
            RedPacketRequested(
                **meta.facts(wish.sender, wish.packet_id), packet_id=wish.packet_id,
                token_hash=wish.token_hash, bytes=wish.bytes, shares=wish.shares,
                split=wish.split, seed_commitment=wish.seed_commitment,
                share_bytes_min=wish.share_bytes_min, deadline=wish.deadline,
                fee_bytes=wish.fee_bytes, message=wish.message,
            ),
        )  # fmt: skip

    @property
    def is_final(self) -> bool:
        """Say whether the packet has ended."""
        return self.state in FINAL

    @property
    def gives_back(self) -> bool:
        """Say whether the packet ended without being held: it counts no more for its sender."""
        return self.state == "refused"

    def deny(self, code: str, detail: str, meta: Meta) -> bool:
        """End a packet that was not offered yet: a limit says no."""
        if self.state != "requested":
            return False
        return self._record(RedPacketRefused(**self._facts(meta), code=code, detail=detail))

    def offer(self, meta: Meta, deadline: int = 0) -> bool:
        """Ask the ledger to hold the packet until `deadline`."""
        if self.state != "requested":
            return False
        return self._record(
            RedPacketOffered(
                **self._facts(meta), bytes=self.bytes, deadline=deadline or self.deadline,
                fee_bytes=self.fee_bytes,
            )
        )  # fmt: skip

    def claim_of(self, receiver: str) -> Claim | None:
        """Return a person's share, if it has one."""
        return self.claims.get(claim_name(self.packet_id, receiver))

    def check_claim(self, by: str, now: int) -> None:
        """Raise what stands against a first claim of this person.

        Refusals, in order: own_packet, packet_not_open, packet_ended, packet_empty,
        packet_timed_out.
        """
        if by == self.sender:
            raise RefusedError("own_packet", "nobody takes a share of an own packet")
        if self.state in {"requested", "offered"}:
            raise _conflict("packet_not_open", "the packet is not open yet; try again in a moment")
        if self.state == "refused":
            raise _conflict("packet_ended", f"the packet was refused: {self.code}")
        if len(self.claims) == self.shares:
            raise _conflict("packet_empty", "every share of the packet has been claimed")
        if self.state in {"closed", "ended"} or now >= self.deadline:
            raise _conflict("packet_timed_out", "the packet's time is over; the rest went back")

    def claim(self, by: str, seed: bytes, meta: Meta) -> Claim:
        """Give this person the next share; who has one already gets the same answer again.

        Refusals as `check_claim` has them. Raises ValueError for a seed of another packet.
        """
        known = self.claim_of(by)
        if known is not None:
            return known
        self.check_claim(by, meta.now)
        name, position = claim_name(self.packet_id, by), len(self.claims)
        amount, fee_bytes = self._worth(seed, position)
        self._record(
            ShareClaimed(
                **meta.facts(self.sender, name), claim_id=name, packet_id=self.packet_id,
                hold_id=self.hold_id, receiver=by, position=position, bytes=amount,
                fee_bytes=fee_bytes,
            )
        )  # fmt: skip
        return self.claims[name]

    def _worth(self, seed: bytes, position: int) -> tuple[int, int]:
        """Return a share and its part of the fee; the parts come to the whole fee."""
        if commitment_of(seed) != self.seed_commitment:
            raise ValueError("this is not the packet's seed")
        amounts = shares_of(seed, self.bytes, self.shares, self.split, self.share_bytes_min)
        before, amount = sum(amounts[:position]), amounts[position]
        fee = self.fee_bytes
        return amount, fee * (before + amount) // self.bytes - fee * before // self.bytes

    # What the ledger says.

    def on(self, event: Event, meta: Meta, seed: bytes) -> bool:
        """Take a fact of the ledger in; False if it tells nothing new here (late, repeated).

        It may be of the packet's hold or of one share. The packet ends in the same go where that
        was the last to wait for, with the seed told.
        """
        claim = self.claims.get(event.correlation_id)
        if isinstance(event, DataClawedBack):
            return self._on_clawed_back(event, meta)
        if claim is None:
            told = self._on_hold(event, meta)
        else:
            told = claim.state == "claimed" and self._on_share(claim, event, meta)
        return self._end_if_over(meta, seed) or told

    def _on_hold(self, event: Event, meta: Meta) -> bool:
        match event:
            case DataHeld() if self.state == "offered":
                return self._record(RedPacketOpened(**self._facts(meta), hold_id=event.hold_id))
            case HoldRefused() if self.state == "offered":
                return self._record(
                    RedPacketRefused(**self._facts(meta), code=event.code, detail=event.detail)
                )
            case HoldReleased() if self.state in {"offered", "open"}:
                cause = "timed_out" if event.cause == "timed_out" else "hold_released"
                return self._record(RedPacketClosed(**self._facts(meta), cause=cause))
        return False

    def _on_share(self, claim: Claim, event: Event, meta: Meta) -> bool:
        common = {
            **meta.facts(self.sender, claim.claim_id),
            "claim_id": claim.claim_id,
            "packet_id": self.packet_id,
        }
        match event:
            case DataReceived() if event.account == claim.receiver:
                return self._record(
                    ShareDelivered(**common, transfer_id=event.transfer_id, lots=event.lots)
                )
            case TransferReturned():
                return self._record(
                    ShareReturned(**common, code=event.code, transfer_id=event.transfer_id)
                )
            case TransferRefused():
                return self._record(ShareReturned(**common, code=event.code))
        return False

    def _on_clawed_back(self, event: DataClawedBack, meta: Meta) -> bool:
        """Note down what an operator took back of a share; the ledger does that once."""
        claim = self.claims.get(event.undone_correlation_id)
        if claim is None or claim.clawed_back_bytes:
            return False
        because = msgspec.structs.replace(meta, reason=event.reason)
        return self._record(
            ShareClawedBack(
                **because.facts(self.sender, claim.claim_id), claim_id=claim.claim_id,
                packet_id=self.packet_id, transfer_id=event.transfer_id,
                taken_bytes=sum(leg.bytes for leg in event.legs),
                shortfall_bytes=event.shortfall_bytes,
            )
        )  # fmt: skip

    def _end_if_over(self, meta: Meta, seed: bytes) -> bool:
        """End the packet where nothing is on its way any more and nothing is held."""
        if self.state not in {"open", "closed"} or self.on_the_way:
            return False
        left = len(self.claims) == self.shares and not any(
            claim.is_held for claim in self.claims.values()
        )
        if self.state == "open" and not left:
            return False
        return self._record(
            RedPacketEnded(
                **self._facts(meta), claimed_bytes=self.delivered_bytes,
                returned_bytes=self.bytes - self.delivered_bytes, seed=seed.hex(),
                cause="all_claimed" if left else self.cause,
            )
        )  # fmt: skip

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return {**meta.facts(self.sender, self.packet_id), "packet_id": self.packet_id}

    # How the state follows from the facts.

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        self._EVOLVE[type(data)](self, data)

    def _requested(self, data: RedPacketRequested) -> None:
        self.state = "requested"
        self.packet_id, self.sender, self.token_hash = data.packet_id, data.account, data.token_hash
        self.bytes, self.shares, self.split = data.bytes, data.shares, data.split
        self.seed_commitment, self.share_bytes_min = data.seed_commitment, data.share_bytes_min
        self.deadline, self.fee_bytes, self.message = data.deadline, data.fee_bytes, data.message
        self.requested_at = data.recorded_at

    def _offered(self, data: RedPacketOffered) -> None:
        self.state, self.deadline = "offered", data.deadline

    def _opened(self, data: RedPacketOpened) -> None:
        self.state, self.hold_id = "open", data.hold_id

    def _refused(self, data: RedPacketRefused) -> None:
        self.state, self.code, self.detail = "refused", data.code, data.detail

    def _claimed(self, data: ShareClaimed) -> None:
        self.on_the_way += 1
        self.claims[data.claim_id] = Claim(
            claim_id=data.claim_id, receiver=data.receiver, position=data.position,
            bytes=data.bytes, fee_bytes=data.fee_bytes,
        )  # fmt: skip

    def _delivered(self, data: ShareDelivered) -> None:
        claim = self.claims[data.claim_id]
        claim.state, claim.transfer_id, claim.lots = "delivered", data.transfer_id, data.lots
        self.on_the_way -= 1
        self.delivered_bytes += claim.bytes

    def _returned(self, data: ShareReturned) -> None:
        claim = self.claims[data.claim_id]
        claim.state, claim.code, claim.transfer_id = "returned", data.code, data.transfer_id
        self.on_the_way -= 1

    def _clawed_back(self, data: ShareClawedBack) -> None:
        self.claims[data.claim_id].clawed_back_bytes = data.taken_bytes

    def _closed(self, data: RedPacketClosed) -> None:
        self.state, self.cause = "closed", data.cause

    def _ended(self, data: RedPacketEnded) -> None:
        self.state, self.cause, self.seed = "ended", data.cause, data.seed
        self.returned_bytes = data.returned_bytes

    _EVOLVE: ClassVar[dict[type[Event], Any]] = {
        RedPacketRequested: _requested,
        RedPacketOffered: _offered,
        RedPacketOpened: _opened,
        RedPacketRefused: _refused,
        ShareClaimed: _claimed,
        ShareDelivered: _delivered,
        ShareReturned: _returned,
        ShareClawedBack: _clawed_back,
        RedPacketClosed: _closed,
        RedPacketEnded: _ended,
    }


def unknown_packet() -> RefusedError:
    """Return what is said of a token that no packet has."""
    return RefusedError("packet_not_found", "there is no such red packet", 404)


def _conflict(code: str, detail: str) -> RefusedError:
    return RefusedError(code, detail, 409)
