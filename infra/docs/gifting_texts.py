"""What the page of events says of gifting's: meanings, readers, examples."""

from typing import Any

from shared.contracts.gifting import (
    AskAnswered,
    AskDeclined,
    AskExpired,
    AskMade,
    AskReopened,
    GiftAccepted,
    GiftCancelled,
    GiftClawedBack,
    GiftCompleted,
    GiftDeclined,
    GiftDelayed,
    GiftHeld,
    GiftOffered,
    GiftRefused,
    GiftReleased,
    GiftRequested,
    GiftReturned,
    GiftSent,
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
from shared.contracts.ledger import Event, Leg, LotTerms, Slice, Source

MEANINGS: dict[str, str] = {
    "gift_id": "32 hex digits, the same in all events of a gift",
    "packet_id": "32 hex digits, the same in all events of a red packet and its shares",
    "claim_id": "32 hex digits, the same in all events of a share",
    "ask_id": "32 hex digits, the same in all events of an ask",
    "receiver": "who is given",
    "asker": "who asks; `account` is the one who is asked",
    "bytes": "how much; what the receiver gets is less where it pays the fee",
    "ShareClaimed.bytes": "what the share is worth",
    "AskMade.bytes": "how much is asked for",
    "AskAnswered.bytes": "how much was asked for",
    "AskDeclined.bytes": "how much was asked for",
    "AskExpired.bytes": "how much was asked for",
    "waits": "held until the receiver accepts",
    "GiftRequested.deadline": "until when the receiver may accept, ms; 0 where it need not",
    "GiftOffered.deadline": "until when the receiver may accept, ms; 0 where it need not",
    "RedPacketRequested.deadline": "until when shares can be claimed, ms",
    "RedPacketOffered.deadline": "until when the ledger holds it, ms",
    "AskMade.deadline": "until when it can be answered, ms",
    "fee_bytes": "what the operator takes; 0 without a fee",
    "fee_payer": "`sender`: on top of `bytes`; `receiver`: out of them",
    "message": "the giver's words",
    "AskMade.message": "the asker's words",
    "GiftRequested.ask_id": "the ask that it answers",
    "GiftRequested.confirmed_for": "what asked for a second factor; the sender gave one",
    "reasons": "codes of what looked like abuse",
    "GiftHeld.slices": "what is pinned in which lots",
    "GiftSent.legs": "what left which lot; one with a `to` of its own is the fee",
    "GiftCompleted.lots": "the lots that arrived",
    "ShareDelivered.lots": "the lots that arrived",
    "GiftRefused.code": "why nothing was given",
    "taken_bytes": "what was left, and is the sender's again",
    "shortfall_bytes": "what was not left any more",
    "GiftClawedBack.transfer_id": "the clawback's, 32 hex digits",
    "ShareClawedBack.transfer_id": "the clawback's, 32 hex digits",
    "GiftReturned.code": "`declined`, `cancelled`, `timed_out`, `hold_released`, or why it could "
    "not arrive",
    "RedPacketRefused.code": "why nothing was held",
    "ShareReturned.code": "why it could not leave or arrive",
    "ShareReturned.transfer_id": "the transfer that came back; null where it never left",
    "token_hash": "SHA-256 of the link's token, hex",
    "shares": "how many",
    "split": "`fixed`: all alike; `lucky`: drawn from the seed",
    "seed_commitment": "SHA-256 of the seed, hex: it binds the split before anybody claims",
    "share_bytes_min": "no share is less",
    "position": "which share, from 0",
    "RedPacketClosed.cause": "`timed_out` or `hold_released`",
    "RedPacketEnded.cause": "`all_claimed`, `timed_out` or `hold_released`",
    "claimed_bytes": "what was delivered",
    "returned_bytes": "what is, or stayed, the sender's",
    "seed": "the seed, hex: anybody can draw the shares again",
    "AskAnswered.gift_id": "the gift that answers it",
    "AskReopened.gift_id": "the gift that answered it",
    "AskReopened.code": "the gift's, why it came to nothing: `insufficient_data`, `declined` …",
    "AskReopened.bytes": "how much was asked for",
}

WRITTEN_BY: dict[type[Event], str] = {
    GiftRequested: "`POST /v1/gifts`",
    GiftDelayed: "the checks against abuse",
    GiftReleased: "an operator",
    GiftOffered: "gifting, once its checks passed",
    GiftHeld: "gifting, on `data_held`",
    GiftAccepted: "the receiver",
    GiftDeclined: "the receiver",
    GiftCancelled: "the sender",
    GiftSent: "gifting, on `data_transferred`",
    GiftCompleted: "gifting, on the receiver's `data_received`",
    GiftRefused: "gifting's checks, or on `transfer_refused` or `hold_refused`",
    GiftReturned: "gifting, on `hold_released` or `transfer_returned`",
    GiftClawedBack: "gifting, on `data_clawed_back`",
    RedPacketRequested: "`POST /v1/red-packets`",
    RedPacketOffered: "gifting, once its checks passed",
    RedPacketOpened: "gifting, on `data_held`",
    RedPacketRefused: "gifting's checks, or on `hold_refused`",
    ShareClaimed: "who claims it",
    ShareDelivered: "gifting, on the receiver's `data_received`",
    ShareReturned: "gifting, on `transfer_refused` or `transfer_returned`",
    ShareClawedBack: "gifting, on `data_clawed_back`",
    RedPacketClosed: "gifting, on `hold_released` while shares are on their way",
    RedPacketEnded: "gifting, when the last share has settled",
    AskMade: "the asker",
    AskAnswered: "the friend, by a gift",
    AskReopened: "gifting, when the gift that answered it ends",
    AskDeclined: "the friend",
    AskExpired: "a job of gifting",
}
_ROW = "view `gifts`: its row"
READ_BY: dict[type[Event], str] = {
    **dict.fromkeys(WRITTEN_BY, _ROW),
    GiftOffered: f"the sender's partition: transfer or hold. {_ROW.capitalize()}",
    GiftAccepted: f"the sender's partition: post of the hold. {_ROW.capitalize()}",
    GiftDeclined: f"the sender's partition: release of the hold. {_ROW.capitalize()}",
    GiftCancelled: f"the sender's partition: release of the hold. {_ROW.capitalize()}",
    RedPacketOffered: f"the sender's partition: hold. {_ROW.capitalize()}",
    ShareClaimed: f"the sender's partition: post of a part of the hold. {_ROW.capitalize()}",
    **dict.fromkeys((AskMade, AskAnswered, AskReopened, AskDeclined, AskExpired), "nobody yet"),
}

_AUG, _SEP = 1438358400000, 1441036800000
_NOW, _LATER = 1440200000000, 1440459200000
_GIVER, _RECEIVER = "a50e2f674b137b04", "b61f30785c248c15"
_GIFT, _PACKET = "5d0a1f3c9b7e4a26", "c1f2e3d4a5b69788"
_HOLD = "1c5f0c2d8a3b4e6f9d7a2b1c3d4e5f60"
_TRANSFER = "7b3bdb70e14bfef4215cbce0e41628ee"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PLAN: dict[str, Any] = {"kind": "plan", "source": Source(type="plan", id="std-30mb")}
_LEG = Leg(lot_id="plan:2015-08", bytes=10485760, valid_from=_AUG, expires_at=_SEP, giftable=True,
           carries=True, **_PLAN)  # fmt: skip
_LOT = LotTerms(
    lot_id=f"gift:{_TRANSFER}:0", kind="gift", granted=10485760, valid_from=_AUG, expires_at=_SEP,
    source=Source(type="gift", id=_TRANSFER), parent_lot="plan:2015-08",
)  # fmt: skip


def _of(saga: str) -> dict[str, Any]:
    return {
        "account": _GIVER, "recorded_at": _NOW, "actor": "gateway", "correlation_id": saga,
        "rule_version": 1,
    }  # fmt: skip


_ON_GIFT: dict[str, Any] = {**_of(_GIFT), "gift_id": _GIFT}
_ON_PACKET: dict[str, Any] = {**_of(_PACKET), "packet_id": _PACKET}
_ON_SHARE: dict[str, Any] = {**_of("e4d1"), "claim_id": "e4d1", "packet_id": _PACKET}
_ON_ASK: dict[str, Any] = {**_of("a7c0"), "ask_id": "a7c0", "asker": _RECEIVER, "bytes": 10485760}
EXAMPLES: list[Event] = [
    GiftRequested(**_ON_GIFT, receiver=_RECEIVER, bytes=10485760, message="for your trip"),
    GiftDelayed(**_ON_GIFT, reasons=["fan_in"]),
    GiftReleased(**_ON_GIFT | {"actor": "operator"}, reasons=["fan_in"]),
    GiftOffered(**_ON_GIFT, receiver=_RECEIVER, bytes=10485760, waits=True, deadline=_LATER),
    GiftHeld(**_ON_GIFT, hold_id=_HOLD, deadline=_LATER, slices=[Slice("plan:2015-08", 10485760)]),
    GiftAccepted(**_ON_GIFT, receiver=_RECEIVER, hold_id=_HOLD),
    GiftDeclined(**_ON_GIFT, hold_id=_HOLD),
    GiftCancelled(**_ON_GIFT, hold_id=_HOLD),
    GiftSent(**_ON_GIFT, transfer_id=_TRANSFER, legs=[_LEG]),
    GiftCompleted(**_ON_GIFT, transfer_id=_TRANSFER, lots=[_LOT]),
    GiftRefused(**_ON_GIFT, code="insufficient_data", detail="0 bytes can be given"),
    GiftReturned(**_ON_GIFT, code="timed_out"),
    GiftClawedBack(**_ON_GIFT | {"actor": "ledger", "reason": "a hijacked account"},
                   transfer_id=_TRANSFER, taken_bytes=10000000, shortfall_bytes=485760),
    RedPacketRequested(**_ON_PACKET, token_hash=_HASH, bytes=20971520, shares=20, split="lucky",
                       seed_commitment=_HASH, share_bytes_min=1048576, deadline=_LATER),
    RedPacketOffered(**_ON_PACKET, bytes=20971520, deadline=_LATER),
    RedPacketOpened(**_ON_PACKET, hold_id=_HOLD),
    RedPacketRefused(**_ON_PACKET, code="insufficient_data", detail="0 bytes can be given"),
    ShareClaimed(**_ON_SHARE, hold_id=_HOLD, receiver=_RECEIVER, position=3, bytes=1048576),
    ShareDelivered(**_ON_SHARE, transfer_id=_TRANSFER, lots=[_LOT]),
    ShareReturned(**_ON_SHARE, code="account_closed", transfer_id=_TRANSFER),
    ShareClawedBack(**_ON_SHARE, transfer_id=_TRANSFER, taken_bytes=1048576),
    RedPacketClosed(**_ON_PACKET, cause="timed_out"),
    RedPacketEnded(**_ON_PACKET, claimed_bytes=20971520, returned_bytes=0, seed=_HASH,
                   cause="all_claimed"),
    AskMade(**_ON_ASK, deadline=_LATER, message="please"),
    AskAnswered(**_ON_ASK, gift_id=_GIFT),
    AskReopened(**_ON_ASK | {"actor": "gifting"}, gift_id=_GIFT, code="declined"),
    AskDeclined(**_ON_ASK),
    AskExpired(**_ON_ASK),
]  # fmt: skip
