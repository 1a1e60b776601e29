"""What a gift looks like in its sender's and its receiver's history."""

from typing import Any

from infra.cli.questions import _what
from services.gateway.history import HistoryDelta
from services.gateway.integration import decode_event
from services.ledger.domain.commands import Fee, Transfer
from shared.contracts.gifting import RedPacketOffered, ShareClaimed
from tests.support.gateway import MIB, BankReader, opened_bank
from tests.support.memory import MemoryBank


def entries(bank: MemoryBank, account: str, kind: str) -> list[dict[str, Any]]:
    delta = HistoryDelta()
    for event in BankReader(bank).all_events():
        delta.add("", decode_event(event))
    return [
        {
            "kind": entry.kind, "bytes_in": entry.bytes_in, "bytes_out": entry.bytes_out,
            "lots": [{"lot_id": lot[0]} for lot in entry.lots], "reason": None, **entry.facts,
        }
        for name, entry in delta.entries
        if (name, entry.kind) == (account, kind)
    ]  # fmt: skip


def test_a_fee_is_told_to_who_gave_and_is_part_of_what_went() -> None:
    bank = opened_bank()
    bank.do(Transfer(key="k", account="ann", to="bob", bytes=MIB, fee=Fee(bytes=1000)))
    bank.settle()
    (went,) = entries(bank, "ann", "transferred")
    assert (went["bytes_out"], went["fee_bytes"]) == (MIB + 1000, 1000)
    assert _what(went) == "to bob, gift, of it a fee of 1,000 B, plan:2015-08"
    (came,) = entries(bank, "bob", "received")
    assert came["bytes_in"] == MIB
    assert _what(came).startswith("from ann, gift, gift:")
    (fee,) = entries(bank, "operator:fees", "received")
    assert (fee["bytes_in"], _what(fee)) == (1000, "from ann, fee, fee:2015-08")


def test_a_share_says_that_it_is_of_a_red_packet() -> None:
    bank = opened_bank()
    told: dict[str, Any] = {"account": "ann", "recorded_at": 0, "actor": "gifting"}
    deadline = bank.clock.at + 1000
    bank.hear(
        RedPacketOffered(**told, packet_id="r", bytes=MIB, deadline=deadline),
        ShareClaimed(**told, claim_id="c", packet_id="r", hold_id="", receiver="bob", position=0,
                     bytes=MIB),
    )  # fmt: skip
    bank.settle()
    (held,) = entries(bank, "ann", "held")
    assert held["purpose"] == "red_packet"
    (came,) = entries(bank, "bob", "received")
    assert _what(came).startswith("from ann, red packet, red_packet:")
