"""What the golden files of gifting say, as values: per event one with every field, one with least.

A golden file never changes. A new field gets another entry in `values.LATER` and in the file.
"""

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
from shared.contracts.ledger import FEES_ACCOUNT, Event, Leg, LotTerms, Slice, Source

AUG, SEP, LATER = 1438358400000, 1441036800000, 1440459200000
GIFT, PACKET, CLAIM, ASK = "5d0a1f3c", "c1f2e3d4", "e4d1c2b3", "a7c0b1d2"
TRANSFER, HOLD = "7b3bdb70e14bfef4215cbce0e41628ee", "1c5f0c2d8a3b4e6f9d7a2b1c3d4e5f60"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
LEAST: dict[str, Any] = {"account": "ann", "recorded_at": 1440200000000, "actor": "gateway"}
ALL: dict[str, Any] = {
    "account": "a50e2f674b137b04",
    "recorded_at": 1440200000001,
    "actor": "operator",
    "correlation_id": GIFT,
    "causation_id": "/k2b1xq7d/1/ledger_00/124",
    "reason": "生日快乐",
    "rule_version": 3,
}
LOT = LotTerms(lot_id="gift:1:0", kind="gift", granted=1, valid_from=AUG, expires_at=SEP,
               source=Source("gift", TRANSFER), parent_lot="plan:2015-08")  # fmt: skip
LEG = Leg(lot_id="plan:2015-08", bytes=1, kind="plan", valid_from=AUG, expires_at=SEP,
          source=Source("plan"))  # fmt: skip
FEE_LEG = Leg(lot_id="plan:2015-08", bytes=1, kind="plan", valid_from=AUG, expires_at=SEP,
              source=Source("plan"), to=FEES_ACCOUNT)  # fmt: skip
SLICES = [Slice("plan:2015-08", 5242880)]
FEE: dict[str, Any] = {"fee_bytes": 1048576, "fee_payer": "receiver"}
GIVEN: dict[str, Any] = {"gift_id": GIFT, "receiver": "bob", "bytes": 2**53 - 1}
SHARE: dict[str, Any] = {"claim_id": CLAIM, "packet_id": PACKET}
MADE: dict[str, Any] = {
    "packet_id": PACKET, "token_hash": HASH, "bytes": 20971520, "shares": 20, "split": "lucky",
    "seed_commitment": HASH, "share_bytes_min": 1048576, "deadline": LATER,
}  # fmt: skip
ASKED: dict[str, Any] = {"ask_id": ASK, "asker": "bob", "bytes": 10485760}
CLAIMED: dict[str, Any] = {
    **SHARE, "hold_id": HOLD, "receiver": "bob", "position": 3, "bytes": 1048576,
}  # fmt: skip
ENDED: dict[str, Any] = {
    "packet_id": PACKET, "claimed_bytes": 20971519, "returned_bytes": 1, "seed": HASH,
    "cause": "timed_out",
}  # fmt: skip

FULL: list[Event] = [
    GiftRequested(**ALL, **GIVEN, **FEE, waits=True, deadline=LATER, message="for you", ask_id=ASK),
    GiftDelayed(**ALL, gift_id=GIFT, reasons=["fan_in", "velocity"]),
    GiftReleased(**ALL, gift_id=GIFT, reasons=["fan_in"]),
    GiftOffered(**ALL, **GIVEN, **FEE, waits=True, deadline=LATER),
    GiftHeld(**ALL, gift_id=GIFT, hold_id=HOLD, deadline=LATER, slices=SLICES),
    GiftAccepted(**ALL, **FEE, gift_id=GIFT, receiver="bob", hold_id=HOLD),
    GiftDeclined(**ALL, gift_id=GIFT, hold_id=HOLD),
    GiftCancelled(**ALL, gift_id=GIFT, hold_id=HOLD),
    GiftSent(**ALL, gift_id=GIFT, transfer_id=TRANSFER, legs=[LEG, FEE_LEG]),
    GiftCompleted(**ALL, gift_id=GIFT, transfer_id=TRANSFER, lots=[LOT]),
    GiftRefused(**ALL, gift_id=GIFT, code="insufficient_data", detail="0 bytes can be given"),
    GiftReturned(**ALL, gift_id=GIFT, code="timed_out"),
    GiftClawedBack(**ALL, gift_id=GIFT, transfer_id=TRANSFER, taken_bytes=10000000,
                   shortfall_bytes=485760),
    RedPacketRequested(**ALL, **MADE, fee_bytes=1, message="to all of you"),
    RedPacketOffered(**ALL, packet_id=PACKET, bytes=20971520, deadline=LATER, fee_bytes=1),
    RedPacketOpened(**ALL, packet_id=PACKET, hold_id=HOLD),
    RedPacketRefused(**ALL, packet_id=PACKET, code="insufficient_data", detail="too little"),
    ShareClaimed(**ALL, **CLAIMED, fee_bytes=1),
    ShareDelivered(**ALL, **SHARE, transfer_id=TRANSFER, lots=[LOT]),
    ShareReturned(**ALL, **SHARE, code="account_closed", transfer_id=TRANSFER),
    ShareClawedBack(**ALL, **SHARE, transfer_id=TRANSFER, taken_bytes=1048575, shortfall_bytes=1),
    RedPacketClosed(**ALL, packet_id=PACKET, cause="timed_out"),
    RedPacketEnded(**ALL, **ENDED),
    AskMade(**ALL, **ASKED, deadline=LATER, message="please"),
    AskAnswered(**ALL, **ASKED, gift_id=GIFT),
    AskReopened(**ALL, **ASKED, gift_id=GIFT, code="declined"),
    AskDeclined(**ALL, **ASKED),
    AskExpired(**ALL, **ASKED),
]  # fmt: skip
MINIMAL: list[Event] = [
    GiftRequested(**LEAST, **GIVEN),
    GiftDelayed(**LEAST, gift_id=GIFT, reasons=[]),
    GiftReleased(**LEAST, gift_id=GIFT, reasons=[]),
    GiftOffered(**LEAST, **GIVEN),
    GiftHeld(**LEAST, gift_id=GIFT, hold_id=HOLD, deadline=LATER, slices=SLICES),
    GiftAccepted(**LEAST, gift_id=GIFT, receiver="bob", hold_id=HOLD),
    GiftDeclined(**LEAST, gift_id=GIFT, hold_id=HOLD),
    GiftCancelled(**LEAST, gift_id=GIFT, hold_id=HOLD),
    GiftSent(**LEAST, gift_id=GIFT, transfer_id=TRANSFER, legs=[LEG]),
    GiftCompleted(**LEAST, gift_id=GIFT, transfer_id=TRANSFER, lots=[LOT]),
    GiftRefused(**LEAST, gift_id=GIFT, code="insufficient_data"),
    GiftReturned(**LEAST, gift_id=GIFT, code="declined"),
    GiftClawedBack(**LEAST, gift_id=GIFT, transfer_id=TRANSFER, taken_bytes=10485760),
    RedPacketRequested(**LEAST, **MADE),
    RedPacketOffered(**LEAST, packet_id=PACKET, bytes=20971520, deadline=LATER),
    RedPacketOpened(**LEAST, packet_id=PACKET, hold_id=HOLD),
    RedPacketRefused(**LEAST, packet_id=PACKET, code="insufficient_data"),
    ShareClaimed(**LEAST, **CLAIMED),
    ShareDelivered(**LEAST, **SHARE, transfer_id=TRANSFER, lots=[LOT]),
    ShareReturned(**LEAST, **SHARE, code="hold_not_found"),
    ShareClawedBack(**LEAST, **SHARE, transfer_id=TRANSFER, taken_bytes=1048576),
    RedPacketClosed(**LEAST, packet_id=PACKET, cause="timed_out"),
    RedPacketEnded(**LEAST, **ENDED),
    AskMade(**LEAST, **ASKED, deadline=LATER),
    AskAnswered(**LEAST, **ASKED, gift_id=GIFT),
    AskReopened(**LEAST, **ASKED, gift_id=GIFT, code="timed_out"),
    AskDeclined(**LEAST, **ASKED),
    AskExpired(**LEAST, **ASKED),
]
