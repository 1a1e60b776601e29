"""A red packet: shares decided beforehand and open to a check, one each, the rest goes back."""

from statistics import fmean
from typing import Any

import pytest

from services.gifting.domain.checks import Facts, Party
from services.gifting.domain.packet_limits import (
    PacketAsked,
    SharesUsed,
    refuse_claim,
    refuse_packet,
)
from services.gifting.domain.periods import periods_of
from services.gifting.domain.red_packet import PacketWish, RedPacket, claim_name
from services.gifting.domain.rules import BUILT_IN
from services.gifting.domain.split import Split, check_split, commitment_of, shares_of
from shared.errors import RefusedError
from tests.unit.gifting.world import (
    CALENDAR,
    DEADLINE,
    MIB,
    NOW,
    Ledger,
    a_clawback,
    facts_of,
    meta,
    said,
    state_of,
    stored_and_read,
)

KIB = 1024
SEED = bytes(range(32))


def seeds(count: int) -> list[bytes]:
    return [number.to_bytes(32) for number in range(count)]


def a_packet(shares: int = 3, total: int = 12 * MIB, fee: int = 0) -> tuple[RedPacket, Ledger]:
    """Return a packet that was offered to a ledger, which holds it."""
    wish = PacketWish(
        packet_id="a" * 32, sender="ann", token_hash="h", bytes=total, shares=shares,
        split="lucky", seed_commitment=commitment_of(SEED), share_bytes_min=MIB,
        deadline=DEADLINE, fee_bytes=fee,
    )  # fmt: skip
    packet, ledger = RedPacket.request(wish, meta()), Ledger(30 * MIB, closed=("eve",))
    packet.offer(meta())
    ledger.take(said(packet)[-1])
    packet.on(ledger.told[-1], meta(), SEED)
    return packet, ledger


def deliver(packet: RedPacket, ledger: Ledger) -> None:
    """Let the ledger act on the last claim, and everything be heard."""
    ledger.take(said(packet)[-1])
    ledger.arrive()
    for answer in list(ledger.told):
        packet.on(answer, meta(ledger.now), SEED)
    ledger.check()


def refusal_of(packet: RedPacket, by: str, now: int = NOW) -> str:
    with pytest.raises(RefusedError) as refused:
        packet.claim(by, SEED, meta(now))
    return refused.value.code


@pytest.mark.parametrize("split", ["fixed", "lucky"])
@pytest.mark.parametrize(("shares", "least"), [(1, 1), (2, MIB), (7, KIB + 1), (10, MIB)])
def test_the_shares_always_come_to_the_total_and_none_is_too_small(split, shares, least):
    for seed in seeds(200):
        total = 10 * MIB + int.from_bytes(seed[-2:]) % 3000
        amounts = shares_of(seed, total, shares, split, least)
        assert (sum(amounts), len(amounts)) == (total, shares)
        assert min(amounts) >= least
        assert all(amount % KIB == 0 for amount in amounts[:-1])


def test_fixed_shares_are_alike_to_one_kb():
    assert shares_of(SEED, 10 * MIB, 3, "fixed", MIB) == (3414 * KIB, 3413 * KIB, 3413 * KIB)


def test_a_packet_of_the_least_shares_has_no_luck_in_it():
    assert shares_of(SEED, 20 * MIB, 20, "lucky", MIB) == (MIB,) * 20


def test_a_total_that_is_too_small_for_its_shares_is_no_packet():
    with pytest.raises(ValueError, match="21 shares"):
        shares_of(SEED, 20 * MIB, 21, "lucky", MIB)


def test_no_position_is_better_than_another_over_ten_thousand_packets():
    packets = [shares_of(seed, 100 * MIB, 10, "lucky", MIB) for seed in seeds(10_000)]
    for amounts in zip(*packets, strict=True):
        assert fmean(amounts) == pytest.approx(10 * MIB, rel=0.03)
    # … and it is luck: some get little, some get twice the mean or more.
    first = [amounts[0] for amounts in packets]
    assert min(first) < 1.1 * MIB
    assert max(first) > 18.9 * MIB


def test_the_published_algorithm_gives_these_shares():
    # Written down, so that a change of the algorithm can't go unnoticed: old packets must check.
    assert shares_of(SEED, 12 * MIB, 3, "lucky", MIB) == (5_063_680, 1_336_320, 6_182_912)
    assert commitment_of(SEED) == "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"


def test_anybody_can_check_what_was_claimed_with_the_seed_that_was_told():
    terms: tuple[int, int, Split, int] = (12 * MIB, 3, "lucky", MIB)
    claimed = dict(enumerate(shares_of(SEED, *terms)))
    assert check_split(SEED, commitment_of(SEED), terms, claimed)
    assert not check_split(SEED, commitment_of(b"other"), terms, claimed)
    assert not check_split(SEED, commitment_of(SEED), terms, {**claimed, 1: claimed[1] + KIB})
    assert not check_split(SEED, commitment_of(SEED), terms, {3: MIB})


def test_every_share_claimed_and_delivered_ends_the_packet_and_tells_the_seed():
    packet, ledger = a_packet(fee=1000)
    for person in ("bob", "cat", "dan"):
        packet.claim(person, SEED, meta())
        deliver(packet, ledger)
    assert facts_of(packet) == [
        "RedPacketRequested", "RedPacketOffered", "RedPacketOpened",
        *["ShareClaimed", "ShareDelivered"] * 3, "RedPacketEnded",
    ]  # fmt: skip
    ended = said(packet)[-1]
    assert (ended.cause, ended.seed, ended.claimed_bytes, ended.returned_bytes) == (
        "all_claimed", SEED.hex(), 12 * MIB, 0,
    )  # fmt: skip
    assert ledger.arrived["operator:fees"] == 1000
    assert state_of(stored_and_read(packet)) == state_of(packet)


def test_the_seed_is_in_no_fact_before_the_end():
    packet, ledger = a_packet()
    packet.claim("bob", SEED, meta())
    deliver(packet, ledger)
    assert not any(SEED.hex() in repr(event) for event in packet.pending_events)


def test_at_the_deadline_the_rest_goes_back_and_the_packet_waits_for_shares_on_their_way():
    packet, ledger = a_packet()
    claim = packet.claim("bob", SEED, meta())
    ledger.take(said(packet)[-1])
    ledger.now = DEADLINE
    ledger.time_out()
    packet.on(ledger.told[-1], meta(DEADLINE), SEED)
    assert packet.state == "closed"
    ledger.arrive()
    packet.on(ledger.told[-1], meta(DEADLINE), SEED)
    ended = said(packet)[-1]
    assert (packet.state, ended.cause, ended.claimed_bytes) == ("ended", "timed_out", claim.bytes)
    assert ledger.free == 30 * MIB - claim.bytes


def test_a_share_that_can_not_arrive_is_the_senders_again_and_nobody_elses():
    packet, ledger = a_packet(shares=1)
    packet.claim("eve", SEED, meta())
    deliver(packet, ledger)
    claim, ended = packet.claim_of("eve"), said(packet)[-1]
    assert claim is not None
    assert (claim.state, claim.code) == ("returned", "account_closed")
    assert (ended.cause, ended.claimed_bytes, ended.returned_bytes) == ("all_claimed", 0, 12 * MIB)


def test_a_share_that_was_claimed_too_late_stays_the_senders():
    packet, ledger = a_packet()
    packet.claim("bob", SEED, meta(DEADLINE - 1))
    ledger.now = DEADLINE
    deliver(packet, ledger)
    assert facts_of(packet)[-3:] == ["RedPacketClosed", "ShareReturned", "RedPacketEnded"]
    assert ledger.free == 30 * MIB


def test_a_packet_whose_last_share_never_left_waits_for_its_holds_release():
    packet, ledger = a_packet(shares=1)
    packet.claim("bob", SEED, meta(DEADLINE - 1))
    ledger.now = DEADLINE
    ledger.take(said(packet)[-1])
    released, refused = ledger.told[-2:]
    packet.on(refused, meta(DEADLINE), SEED)
    assert packet.state == "open"
    packet.on(released, meta(DEADLINE), SEED)
    assert (packet.state, packet.cause) == ("ended", "timed_out")


def test_what_an_operator_takes_back_of_a_share_leaves_the_packets_sums_as_they_are():
    packet, ledger = a_packet(shares=1)
    claim = packet.claim("bob", SEED, meta())
    deliver(packet, ledger)
    taken = a_clawback(claim.claim_id, MIB)
    assert packet.on(taken, meta(), SEED) is True
    assert packet.on(taken, meta(), SEED) is False
    assert packet.on(a_clawback("of another", MIB), meta(), SEED) is False
    assert (facts_of(packet)[-2:], said(packet)[-1].claim_id) == (
        ["RedPacketEnded", "ShareClawedBack"], claim.claim_id,
    )  # fmt: skip
    assert (claim.state, claim.clawed_back_bytes) == ("delivered", MIB)
    assert (packet.delivered_bytes, packet.returned_bytes) == (12 * MIB, 0)


def test_a_fees_arrival_delivers_no_share():
    packet, ledger = a_packet(fee=1000)
    claim = packet.claim("bob", SEED, meta())
    ledger.take(said(packet)[-1])
    ledger.arrive()
    assert packet.on(ledger.told[-1], meta(), SEED) is False
    assert claim.state == "claimed"


def test_who_claims_again_gets_the_same_share_also_when_the_packet_is_over():
    packet, ledger = a_packet(shares=1)
    first = packet.claim("bob", SEED, meta())
    assert packet.claim("bob", SEED, meta()) is first
    deliver(packet, ledger)
    count = len(packet.pending_events)
    assert packet.claim("bob", SEED, meta(DEADLINE)) is first
    assert (len(packet.pending_events), first.claim_id) == (count, claim_name("a" * 32, "bob"))


def test_a_claim_is_refused_by_the_first_reason_in_order():
    packet, _ = a_packet(shares=1)
    assert refusal_of(packet, "ann", DEADLINE) == "own_packet"
    assert refusal_of(packet, "bob", DEADLINE) == "packet_timed_out"
    packet.claim("bob", SEED, meta())
    assert refusal_of(packet, "cat", DEADLINE) == "packet_empty"
    new = RedPacket.request(
        PacketWish(packet_id="b" * 32, sender="ann", token_hash="h", bytes=MIB, shares=1,
                   split="fixed", seed_commitment="", share_bytes_min=1, deadline=DEADLINE),
        meta(),
    )  # fmt: skip
    assert refusal_of(new, "ann") == "own_packet"
    assert refusal_of(new, "bob") == "packet_not_open"
    new.deny("packets_day_limit", "5 a day", meta())
    assert (refusal_of(new, "bob"), new.gives_back) == ("packet_ended", True)
    assert new.offer(meta()) is False


def test_another_packets_seed_gives_no_share():
    packet, _ = a_packet()
    with pytest.raises(ValueError, match="seed"):
        packet.claim("bob", b"other", meta())


# The least change that provokes each refusal of a packet, in the order of precedence.
SENDER: dict[str, Any] = {"account": "ann", "giftable_bytes": 50 * MIB, "available_bytes": 60 * MIB}
MAKING: list[tuple[str, dict[str, Any]]] = [
    ("too_many_shares", {"shares": 101}),
    ("amount_too_small", {"bytes": 10 * MIB - KIB}),
    ("amount_step", {"bytes": 10 * MIB + 1}),
    ("amount_too_large", {"bytes": 10 * 1024 * MIB + KIB}),
    ("share_too_small", {"shares": 21}),
    ("sender_not_found", {"sender": None}),
    ("sender_closed", {"status": "closed"}),
    ("sender_too_new", {"opened_at": NOW}),
    ("packets_day_limit", {"packets_today": 5}),
    ("insufficient_data", {"giftable_bytes": 1, "available_bytes": 1}),
    ("regift_not_allowed", {"giftable_bytes": 9 * MIB, "received_bytes": 20 * MIB}),
    ("data_not_giftable", {"giftable_bytes": 9 * MIB}),
]


def making(change: dict[str, Any]) -> str | None:
    asked: dict[str, Any] = {"sender": "ann", "bytes": 20 * MIB, "shares": 20, "now": NOW}
    asked |= {name: value for name, value in change.items() if name in asked and name != "sender"}
    party = SENDER | {k: v for k, v in change.items() if k in Party.__struct_fields__}
    sender = None if "sender" in change else Party(**party)
    refusal = refuse_packet(
        PacketAsked(**asked), BUILT_IN, CALENDAR, Facts(sender=sender, receiver=None),
        change.get("packets_today", 0),
    )  # fmt: skip
    return None if refusal is None else refusal.code


def test_a_packet_within_all_limits_is_allowed():
    assert making({}) is None


@pytest.mark.parametrize("place", range(len(MAKING)), ids=[code for code, _ in MAKING])
def test_a_packet_is_refused_by_the_first_reason_in_order(place):
    code, change = MAKING[place]
    assert making(change) == code
    for _, later in MAKING[place + 1 :]:
        if not later.keys() & change.keys() and "sender" not in change:
            assert making(later | change) == code


@pytest.mark.parametrize(
    ("used", "code", "allowed_from"),
    [
        ((3, 5, 10), "shares_month_limit", "2015-10-01T00:00:00+08:00"),
        ((3, 5, 9), "shares_week_limit", "2015-09-14T00:00:00+08:00"),
        ((3, 4, 9), "shares_day_limit", "2015-09-11T00:00:00+08:00"),
    ],
)
def test_a_receiver_has_limits_per_month_week_and_day(used, code, allowed_from):
    day, week, month = used
    counted = SharesUsed(day_count=day, week_count=week, month_count=month)
    bob = Party(account="bob")
    refusal = refuse_claim("bob", bob, BUILT_IN, counted, NOW, CALENDAR)
    assert refusal is not None
    assert (refusal.code, refusal.extra["allowed_from"]) == (code, allowed_from)
    assert refuse_claim("bob", bob, BUILT_IN, SharesUsed(day_count=2), NOW, CALENDAR) is None
    closed = refuse_claim("bob", None, BUILT_IN, counted, NOW, CALENDAR)
    assert closed is not None
    assert closed.code == "receiver_not_found"


def test_weeks_begin_on_monday_and_belong_to_the_year_of_their_thursday():
    new_year = periods_of(CALENDAR.parse("2016-01-01"), CALENDAR)
    assert (new_year.day.name, new_year.week.name, new_year.month.name) == (
        "2016-01-01", "2015-W53", "2016-01",
    )  # fmt: skip
    assert CALENDAR.text(new_year.week.starts_at) == "2015-12-28T00:00:00+08:00"
