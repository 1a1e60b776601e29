"""Each side of a gift is told what is its own: who receives it learns nothing of who gives."""

from typing import Any

import pytest

from services.gifting.documents import gift_document, packet_document
from services.gifting.domain.gift import Gift
from services.gifting.domain.red_packet import PacketWish, RedPacket
from shared.calendar import Calendar
from shared.contracts.ledger import TransferRefused
from shared.sagas.aggregate import Meta
from tests.unit.gifting.test_gift import play
from tests.unit.gifting.world import MIB, NOW, Ledger, a_gift, meta

CALENDAR = Calendar("Asia/Shanghai")
BY_HAND = "looks like a resale ring, ticket 4711"
DETAIL = "10485760 bytes asked, 3133383 can be given"


@pytest.fixture
def refused() -> Gift:
    """A gift that was kept, let go by hand and refused by the ledger."""
    gift = a_gift(confirmed_for=["new_receiver"])
    gift.delay(["star"], meta())
    gift.release(Meta(now=NOW, actor="operator", reason=BY_HAND))
    gift.offer(meta())
    answer = TransferRefused(
        account="ann", recorded_at=NOW, actor="ledger", correlation_id=gift.gift_id,
        transfer_id="t", to="bob", code="insufficient_data", detail=DETAIL,
    )  # fmt: skip
    gift.on(answer, meta())
    return gift


def told(gift: Gift, viewer: str | None) -> dict[str, Any]:
    events: list[Any] = list(gift.pending_events)
    return gift_document(gift, CALENDAR, viewer, events)


def test_an_operator_sees_all_of_a_gift(refused: Gift):
    document = told(refused, None)
    assert (document["detail"], document["reasons"]) == (DETAIL, ["star"])
    steps = {step["step"]: step for step in document["steps"]}
    assert steps["gift_requested"]["confirmed_for"] == ["new_receiver"]
    assert steps["gift_delayed"]["reasons"] == ["star"]
    assert steps["gift_released"]["reason"] == BY_HAND
    assert steps["gift_refused"]["detail"] == DETAIL


def test_a_sender_sees_why_and_not_what_it_looked_like_or_what_an_operator_said(refused: Gift):
    document = told(refused, "ann")
    assert (document["code"], document["detail"], document["reasons"]) == (
        "insufficient_data", DETAIL, [],
    )  # fmt: skip
    steps = {step["step"]: step for step in document["steps"]}
    assert steps["gift_requested"]["confirmed_for"] == ["new_receiver"]
    assert steps["gift_refused"]["detail"] == DETAIL
    assert {step["reason"] for step in document["steps"]} == {None}
    assert not any("reasons" in step for step in document["steps"])


def test_a_receiver_sees_the_code_alone(refused: Gift):
    document = told(refused, "bob")
    assert (document["state"], document["code"]) == ("refused", "insufficient_data")
    assert (document["detail"], document["reasons"], document["legs"]) == (None, [], [])
    assert document["steps"][-1]["code"] == "insufficient_data"
    for word in (BY_HAND, "star", "3133383", "new_receiver"):
        assert word not in str(document)


def test_what_left_the_sender_is_shown_to_it_alone():
    gift, ledger = a_gift(), Ledger(30 * MIB)
    gift.offer(meta())
    play(gift, ledger)
    legs = {viewer: told(gift, viewer)["legs"] for viewer in (None, "ann", "bob")}
    assert len(legs["ann"]) == len(legs[None]) == 1
    assert legs["bob"] == []
    assert len(told(gift, "bob")["lots"]) == 1


def test_a_sender_is_not_told_what_was_counted_against_it():
    gift = a_gift()
    star = Meta(now=NOW, actor="gateway", reason="star")
    gift.deny("abuse_suspected", "this gift is denied: 12 senders in 24 hours", star)
    assert "12 senders" in str(told(gift, None))
    for viewer in ("ann", "bob"):
        document = told(gift, viewer)
        assert (document["code"], document["detail"]) == ("abuse_suspected", None)
        assert "12 senders" not in str(document)


def test_why_a_packet_was_refused_is_its_senders_business():
    wish = PacketWish(
        packet_id="a" * 32, sender="ann", token_hash="h", bytes=MIB, shares=1, split="fixed",
        seed_commitment="c", share_bytes_min=MIB, deadline=NOW,
    )  # fmt: skip
    packet = RedPacket.request(wish, meta())
    packet.deny("insufficient_data", DETAIL, meta())
    shown = {who: packet_document(packet, CALENDAR, who)["detail"] for who in (None, "ann", "bob")}
    assert shown == {None: DETAIL, "ann": DETAIL, "bob": None}
