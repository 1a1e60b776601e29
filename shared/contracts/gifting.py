"""Public events of gifting, in the order of a gift's, a red packet's and an ask's life.

An event's stored state is this contract's JSON. Amounts are bytes, instants are milliseconds since
1970-01-01Z. `account` is the giver (of an ask: who is asked to give); `correlation_id` is the
gift's, the packet's or the ask's id, of a share's events the claim's. What the ledger acts on lies
in lane `sagas` too. Events only grow: a new field gets a default, a new meaning gets a new event.
"""

from typing import Any, ClassVar, Literal

import msgspec

from shared.contracts.ledger import Event, Leg, LotTerms, Slice

LOG = "gifting_00"
FeePayer = Literal["sender", "receiver"]


class GiftRequested(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Somebody confirmed a gift; nothing is moved or held yet.

    A gift that `waits` is held until its receiver accepts, at most until `deadline`. The fee of
    `fee_bytes` is on top where the sender pays it, and taken out of `bytes` where the receiver
    does. `confirmed_for`: the reasons that asked for a second factor, which the sender gave.
    """

    TYPE: ClassVar[str] = "bank.gifting.gift_requested.v1"

    gift_id: str
    receiver: str
    bytes: int
    waits: bool = False
    deadline: int = 0
    fee_bytes: int = 0
    fee_payer: FeePayer = "sender"
    message: str | None = None
    ask_id: str | None = None
    confirmed_for: list[str] = msgspec.field(default_factory=list)


class GiftDelayed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A gift waits for an operator: `reasons` are the codes of what looked like abuse."""

    TYPE: ClassVar[str] = "bank.gifting.gift_delayed.v1"

    gift_id: str
    reasons: list[str]


class GiftReleased(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An operator let a delayed gift go on; `reasons` are those for which it was delayed."""

    TYPE: ClassVar[str] = "bank.gifting.gift_released.v1"

    gift_id: str
    reasons: list[str]


class GiftOffered(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The checks passed: the ledger moves the bytes now, or holds them (`waits`)."""

    TYPE: ClassVar[str] = "bank.gifting.gift_offered.v1"
    SAGAS: ClassVar[bool] = True

    gift_id: str
    receiver: str
    bytes: int
    waits: bool = False
    deadline: int = 0
    fee_bytes: int = 0
    fee_payer: FeePayer = "sender"


class GiftHeld(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The ledger holds the gift (a fee that the sender pays included) until `deadline`."""

    TYPE: ClassVar[str] = "bank.gifting.gift_held.v1"

    gift_id: str
    hold_id: str
    deadline: int
    slices: list[Slice]


class GiftAccepted(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The receiver wants the gift: the ledger posts the hold."""

    TYPE: ClassVar[str] = "bank.gifting.gift_accepted.v1"
    SAGAS: ClassVar[bool] = True

    gift_id: str
    receiver: str
    hold_id: str
    fee_bytes: int = 0
    fee_payer: FeePayer = "sender"


class GiftDeclined(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The receiver does not want the gift: the ledger releases the hold."""

    TYPE: ClassVar[str] = "bank.gifting.gift_declined.v1"
    SAGAS: ClassVar[bool] = True

    gift_id: str
    hold_id: str


class GiftCancelled(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The sender took the gift back before it was accepted: the ledger releases the hold."""

    TYPE: ClassVar[str] = "bank.gifting.gift_cancelled.v1"
    SAGAS: ClassVar[bool] = True

    gift_id: str
    hold_id: str


class GiftSent(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The bytes have left the sender; a leg with a `to` of its own is the fee.

    `late`: heard after their arrival, because logs are read one by one; the state is as before.
    """

    TYPE: ClassVar[str] = "bank.gifting.gift_sent.v1"

    gift_id: str
    transfer_id: str
    legs: list[Leg]
    late: bool = False


class GiftCompleted(Event, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """The gift has arrived: the lots that the receiver has got. Final."""

    TYPE: ClassVar[str] = "bank.gifting.gift_completed.v1"

    gift_id: str
    transfer_id: str
    lots: list[LotTerms]


class GiftRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Nothing ever left the sender: a limit, abuse, or the ledger said no. Final."""

    TYPE: ClassVar[str] = "bank.gifting.gift_refused.v1"

    gift_id: str
    code: str
    detail: str = ""


class GiftReturned(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The sender has the same lots back. Final.

    `code`: declined, cancelled, timed_out, or why the ledger did not let the gift arrive.
    """

    TYPE: ClassVar[str] = "bank.gifting.gift_returned.v1"

    gift_id: str
    code: str


class GiftClawedBack(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An operator took back in the ledger what was left of a gift; `shortfall_bytes` were used.

    The gift has arrived all the same: it stays completed.
    """

    TYPE: ClassVar[str] = "bank.gifting.gift_clawed_back.v1"

    gift_id: str
    transfer_id: str
    taken_bytes: int
    shortfall_bytes: int = 0


class RedPacketRequested(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Somebody made a red packet of `shares` shares that come to `bytes`.

    The token of its link is known by `token_hash` only (SHA-256, hex). Nobody can read what a share
    is worth before it is claimed: `seed_commitment` is the SHA-256 (hex) of the seed from which the
    shares are drawn, and the seed is told when the packet ends. No share is less than
    `share_bytes_min`. A fee is the sender's, on top.
    """

    TYPE: ClassVar[str] = "bank.gifting.red_packet_requested.v1"

    packet_id: str
    token_hash: str
    bytes: int
    shares: int
    split: Literal["fixed", "lucky"]
    seed_commitment: str
    share_bytes_min: int
    deadline: int
    fee_bytes: int = 0
    message: str | None = None


class RedPacketOffered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The checks passed: the ledger holds `bytes` and the fee until `deadline`."""

    TYPE: ClassVar[str] = "bank.gifting.red_packet_offered.v1"
    SAGAS: ClassVar[bool] = True

    packet_id: str
    bytes: int
    deadline: int
    fee_bytes: int = 0


class RedPacketOpened(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The ledger holds the packet: from now on shares can be claimed."""

    TYPE: ClassVar[str] = "bank.gifting.red_packet_opened.v1"

    packet_id: str
    hold_id: str


class RedPacketRefused(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Nothing was held: a limit, or the ledger said no. Final."""

    TYPE: ClassVar[str] = "bank.gifting.red_packet_refused.v1"

    packet_id: str
    code: str
    detail: str = ""


class ShareClaimed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The share at `position` (from 0) is the receiver's: the ledger posts `bytes` of the hold.

    `account` is the packet's sender. `fee_bytes` is this share's part of the fee, on top.
    """

    TYPE: ClassVar[str] = "bank.gifting.share_claimed.v1"
    SAGAS: ClassVar[bool] = True

    claim_id: str
    packet_id: str
    hold_id: str
    receiver: str
    position: int
    bytes: int
    fee_bytes: int = 0


class ShareDelivered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A share has arrived: the lots that the receiver has got."""

    TYPE: ClassVar[str] = "bank.gifting.share_delivered.v1"

    claim_id: str
    packet_id: str
    transfer_id: str
    lots: list[LotTerms]


class ShareReturned(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A share could not leave or arrive; its bytes are, or stay, the sender's.

    With a `transfer_id` it had left and came back into the sender's lots; else it never left.
    """

    TYPE: ClassVar[str] = "bank.gifting.share_returned.v1"

    claim_id: str
    packet_id: str
    code: str
    transfer_id: str | None = None


class ShareClawedBack(Event, frozen=True, omit_defaults=True, kw_only=True):
    """An operator took back in the ledger what was left of a share; `shortfall_bytes` were used.

    The share was delivered all the same, and its packet's sums stay as they are.
    """

    TYPE: ClassVar[str] = "bank.gifting.share_clawed_back.v1"

    claim_id: str
    packet_id: str
    transfer_id: str
    taken_bytes: int
    shortfall_bytes: int = 0


class RedPacketClosed(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The ledger released the rest: no more can be claimed; shares may be on their way.

    `cause`: timed_out, hold_released (the sender's account was closed).
    """

    TYPE: ClassVar[str] = "bank.gifting.red_packet_closed.v1"

    packet_id: str
    cause: str


class RedPacketEnded(Event, frozen=True, omit_defaults=True, kw_only=True):
    """A packet is over and no share is on its way; `seed` (hex) proves the split. Final.

    `cause`: all_claimed, timed_out, hold_released (the sender's account was closed).
    `claimed_bytes` + `returned_bytes` = the packet's bytes.
    """

    TYPE: ClassVar[str] = "bank.gifting.red_packet_ended.v1"

    packet_id: str
    claimed_bytes: int
    returned_bytes: int
    seed: str
    cause: str


class AskMade(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Somebody (`asker`) asks `account` for bytes; open until `deadline`."""

    TYPE: ClassVar[str] = "bank.gifting.ask_made.v1"

    ask_id: str
    asker: str
    bytes: int
    deadline: int
    message: str | None = None


class AskAnswered(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The friend answers with a gift. Final, unless the gift comes to nothing in time."""

    TYPE: ClassVar[str] = "bank.gifting.ask_answered.v1"

    ask_id: str
    asker: str
    bytes: int
    gift_id: str


class AskReopened(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The gift that answered it was refused or came back (`code`): it can be answered again."""

    TYPE: ClassVar[str] = "bank.gifting.ask_reopened.v1"

    ask_id: str
    asker: str
    bytes: int
    gift_id: str
    code: str


class AskDeclined(Event, frozen=True, omit_defaults=True, kw_only=True):
    """The friend says no. Final."""

    TYPE: ClassVar[str] = "bank.gifting.ask_declined.v1"

    ask_id: str
    asker: str
    bytes: int


class AskExpired(Event, frozen=True, omit_defaults=True, kw_only=True):
    """Nobody answered by the deadline. Final."""

    TYPE: ClassVar[str] = "bank.gifting.ask_expired.v1"

    ask_id: str
    asker: str
    bytes: int


EVENTS: tuple[type[Event], ...] = (
    GiftRequested, GiftDelayed, GiftReleased, GiftOffered, GiftHeld, GiftAccepted, GiftDeclined,
    GiftCancelled, GiftSent, GiftCompleted, GiftRefused, GiftReturned, GiftClawedBack,
    RedPacketRequested, RedPacketOffered, RedPacketOpened, RedPacketRefused, ShareClaimed,
    ShareDelivered, ShareReturned, ShareClawedBack, RedPacketClosed, RedPacketEnded, AskMade,
    AskAnswered, AskReopened, AskDeclined, AskExpired,
)  # fmt: skip
EVENT_BY_TYPE: dict[str, type[Event]] = {event.TYPE: event for event in EVENTS}
SAGA_TYPES = [event.TYPE for event in EVENTS if event.SAGAS]


def decode_data(event_type: str, data: Any) -> Event:
    """Read an envelope's decoded `data`. Raises KeyError, msgspec.ValidationError."""
    return msgspec.convert(data, EVENT_BY_TYPE[event_type])
