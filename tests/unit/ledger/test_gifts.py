"""What gifting asks is done once, and each of its sagas hears an answer, whatever it is."""

from typing import Any

import pytest
from msgspec.structs import replace

from services.ledger.domain.commands import (
    Buy,
    CloseAccount,
    Hold,
    OpenAccount,
    Suspend,
    Touch,
    Transfer,
)
from services.ledger.domain.rules import Arriving, RuleBook
from shared.contracts.gifting import (
    GiftAccepted,
    GiftCancelled,
    GiftDeclined,
    GiftOffered,
    RedPacketOffered,
    ShareClaimed,
)
from shared.contracts.ledger import (
    ArrivalRefused,
    DataHeld,
    DataReceived,
    DataTransferred,
    Event,
    HoldRefused,
    HoldReleased,
    TransferRefused,
    TransferReturned,
)
from tests.support.memory import CALENDAR, RULEBOOK, MemoryBank

MIB = 1 << 20
GIFT = "gift-1"
PACKET = "packet-1"
CLAIM = "claim-1"
DEADLINE = CALENDAR.parse("2015-08-13T12:00:00")


def three_friends(rulebook: RuleBook = RULEBOOK) -> MemoryBank:
    bank = MemoryBank(partitions=4, rulebook=rulebook)
    people = ("ann", "bob", "cat")
    bank.do(*(OpenAccount(key="open", account=name, plan="std-30mb") for name in people))
    return bank


def told(**more: Any) -> dict[str, Any]:
    return {"account": "ann", "recorded_at": 0, "actor": "gifting", **more}


def offered(*, waits: bool = False, to: str = "bob", amount: int = 5 * MIB, **more: Any) -> Event:
    deadline = DEADLINE if waits else 0
    return GiftOffered(
        **told(gift_id=GIFT, receiver=to, bytes=amount, waits=waits, deadline=deadline, **more)
    )


def accepted(to: str = "bob", **more: Any) -> Event:
    return GiftAccepted(**told(gift_id=GIFT, receiver=to, hold_id="", **more))


def declined() -> Event:
    return GiftDeclined(**told(gift_id=GIFT, hold_id=""))


def packet(amount: int = 20 * MIB, **more: Any) -> Event:
    return RedPacketOffered(**told(packet_id=PACKET, bytes=amount, deadline=DEADLINE, **more))


def claimed(to: str, amount: int = MIB, claim: str = CLAIM, **more: Any) -> Event:
    return ShareClaimed(
        **told(
            claim_id=claim, packet_id=PACKET, hold_id="", receiver=to, position=0, bytes=amount,
            **more,
        )
    )  # fmt: skip


def lots(bank: MemoryBank, name: str) -> dict[str, int]:
    return {lot.kind: lot.remaining for lot in bank.account(name).lots.values()}


def heard(bank: MemoryBank, saga: str) -> list[str]:
    """Return what a saga hears, by the names of the events."""
    return sorted(type(event).__name__ for event in bank.told(Event, saga) if event.SAGAS)


def test_an_automatic_gift_departs_and_arrives_with_its_id_all_the_way() -> None:
    bank = three_friends()
    assert bank.hear(offered())[0].status == "done"
    bank.settle()
    assert lots(bank, "bob") == {"plan": 30 * MIB, "gift": 5 * MIB}
    assert heard(bank, GIFT) == ["DataReceived", "DataTransferred"]
    departed = bank.told(DataTransferred)[0]
    assert (departed.causation_id, departed.actor) == ("/bank/1/gifting_00/0", "gifting")
    assert bank.in_transit() == 0


def test_an_offer_that_comes_again_does_nothing_twice() -> None:
    bank = three_friends()
    first = bank.hear(offered())[0]
    again = bank.hear(offered(), offered())
    assert [(each.repeated, each.events) for each in again] == [(True, first.events)] * 2
    assert len(bank.told(DataTransferred)) == 1


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (Suspend(key="s", account="ann"), "account_suspended"),
        (CloseAccount(key="s", account="ann"), "account_closed"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_a_refused_offer_is_told_once_and_stays_refused(
    spoil: Suspend | CloseAccount, code: str, *, waits: bool
) -> None:
    bank = three_friends()
    bank.do(spoil)
    outcomes = bank.hear(offered(waits=waits)) + bank.hear(offered(waits=waits))
    assert [(each.status, each.code) for each in outcomes] == [("refused", code)] * 2
    assert [each.repeated for each in outcomes] == [False, True]
    refusals = bank.told(HoldRefused if waits else TransferRefused, GIFT)
    assert [(each.account, each.code) for each in refusals] == [("ann", code)]


def test_a_refusal_is_told_of_a_giver_whom_nobody_knows() -> None:
    bank = MemoryBank()
    bank.hear(offered())
    (refusal,) = bank.told(TransferRefused, GIFT)
    assert (refusal.code, refusal.to) == ("account_not_found", "bob")


def test_a_refusal_to_somebody_who_only_asks_over_http_binds_nothing() -> None:
    bank = three_friends()
    outcome = bank.do(Transfer(key="k", account="ann", to="bob", bytes=31 * MIB))[0]
    assert outcome.code == "insufficient_data"
    assert bank.told(TransferRefused) == []
    assert bank.do(Transfer(key="k", account="ann", to="bob", bytes=MIB))[0].status == "done"


def test_a_gift_that_waits_is_held_and_posted_when_it_is_accepted() -> None:
    bank = three_friends()
    bank.hear(offered(waits=True))
    assert bank.account("ann").available(bank.clock.at) == 25 * MIB
    bank.hear(accepted())
    bank.settle()
    assert heard(bank, GIFT) == ["DataHeld", "DataReceived", "DataTransferred"]
    assert lots(bank, "bob")["gift"] == 5 * MIB
    assert bank.account("ann").holds == {}


@pytest.mark.parametrize("answer", [GiftDeclined, GiftCancelled])
def test_a_gift_that_is_declined_or_cancelled_is_the_senders_again(
    answer: type[GiftDeclined | GiftCancelled],
) -> None:
    bank = three_friends()
    before = bank.account("ann").lots
    given_up = answer(**told(gift_id=GIFT, hold_id=""))
    # In one batch, because a sender may cancel before anybody knows of the hold.
    bank.hear(offered(waits=True), given_up)
    bank.hear(given_up)
    assert bank.account("ann").lots == before
    (released,) = bank.told(HoldReleased, GIFT)
    assert released.cause == "released"


def test_the_deadline_answers_with_the_gifts_id_and_an_acceptance_comes_too_late() -> None:
    bank = three_friends()
    bank.hear(offered(waits=True))
    bank.at("2015-08-13T12:00:00")
    bank.hear(accepted())
    (released,) = bank.told(HoldReleased, GIFT)
    assert released.cause == "timed_out"
    (refusal,) = bank.told(TransferRefused, GIFT)
    assert (refusal.code, refusal.hold_id) == ("hold_not_found", released.hold_id)
    assert bank.account("ann").available(bank.clock.at) == 30 * MIB


def test_the_end_of_the_senders_account_is_told_to_the_gift() -> None:
    bank = three_friends()
    bank.hear(offered(waits=True))
    closed = CloseAccount(key="end", account="ann")
    first, again = bank.do(closed)[0], bank.do(closed)[0]
    assert [each.cause for each in bank.told(HoldReleased, GIFT)] == ["released"]
    assert (again.request_id, again.events) == (first.request_id, first.events)


def test_a_hold_of_somebody_else_times_out_on_the_request_that_asked_for_it() -> None:
    bank = three_friends()
    bank.do(Hold(key="h", account="ann", bytes=MIB, deadline="2015-08-11T00:00:00"))
    bank.at("2015-08-11T00:00:00")
    bank.do(Touch(key="due", account="ann"))
    assert [each.correlation_id for each in bank.told(HoldReleased)] == ["request"]


def test_a_gift_that_cannot_arrive_comes_back_with_its_id() -> None:
    bank = three_friends()
    before = bank.account("ann").lots
    bank.hear(offered(to="nobody"))
    bank.settle()
    assert heard(bank, GIFT) == ["ArrivalRefused", "DataTransferred", "TransferReturned"]
    assert bank.told(ArrivalRefused, GIFT)[0].code == "account_not_found"
    assert bank.account("ann").lots == before


def test_a_gift_that_has_arrived_is_not_given_again_and_not_carried_over() -> None:
    bank = three_friends()
    bank.hear(offered(amount=30 * MIB))
    bank.settle()
    gift = next(lot for lot in bank.account("bob").lots.values() if lot.kind == "gift")
    assert (gift.giftable, gift.carries) == (False, False)
    more_than_his_own = GiftOffered(
        account="bob", recorded_at=0, actor="gifting", gift_id="on", receiver="cat",
        bytes=31 * MIB,
    )  # fmt: skip
    bank.hear(more_than_his_own)
    assert bank.told(TransferRefused, "on")[0].code == "insufficient_data"


AUGUST_ENDS = CALENDAR.parse("2015-09-01T00:00:00")
OCTOBER = "2015-10-01T00:00:00"


@pytest.mark.parametrize(
    ("rule", "ends_at"),
    [
        (Arriving("preserve"), AUGUST_ENDS),
        (Arriving("later_of_two"), CALENDAR.parse(OCTOBER)),
        (Arriving("fixed", 7), CALENDAR.parse("2015-08-17T12:00:00")),
        (Arriving("end_of_month"), AUGUST_ENDS),
    ],
    ids=["preserve", "later_of_two", "fixed", "end_of_month"],
)
def test_a_gift_ends_when_the_rule_says_also_beside_a_gift_that_ends_later(
    rule: Arriving, ends_at: int
) -> None:
    newest = RULEBOOK.latest()
    rules = replace(newest, version=newest.version + 1, arriving={"gift": rule})
    bank = three_friends(RULEBOOK.with_versions([(0, rules)]))
    # What cat gives is its plan lot and, as a leg of its own, a part of a pack that lives longer.
    bank.do(Buy(key="b", account="cat", bytes=10 * MIB, expires_at=OCTOBER))
    both = GiftOffered(
        account="cat", recorded_at=0, actor="gifting", gift_id="first", receiver="bob",
        bytes=35 * MIB,
    )  # fmt: skip
    bank.hear(both)
    bank.settle()
    had = set(bank.account("bob").lots)
    assert len([one for one in bank.account("bob").lots.values() if one.kind == "gift"]) == 2

    bank.hear(offered())
    bank.settle()

    (gift,) = [lot for name, lot in bank.account("bob").lots.items() if name not in had]
    assert (gift.granted, gift.expires_at) == (5 * MIB, ends_at)


@pytest.mark.parametrize("rule", [Arriving("fixed", 30), Arriving("end_of_month")])
def test_what_has_expired_while_it_was_held_does_not_live_again(rule: Arriving) -> None:
    newest = RULEBOOK.latest()
    rules = replace(newest, version=newest.version + 1, arriving={"gift": rule})
    bank = MemoryBank(partitions=4, rulebook=RULEBOOK.with_versions([(0, rules)]))
    bank.do(
        OpenAccount(key="open", account="ann", plan="std-30mb"),
        OpenAccount(key="open", account="bob", plan="std-30mb"),
        Buy(key="b", account="ann", bytes=10 * MIB, expires_at="2015-08-11T00:00:00"),
    )
    bank.hear(offered(waits=True))
    bank.at("2015-08-11T06:00:00")
    bank.hear(accepted())
    bank.settle()

    gifts = [lot for lot in bank.account("bob").lots.values() if lot.kind == "gift"]
    assert [lot.expires_at for lot in gifts] == [CALENDAR.parse("2015-08-11T00:00:00")]
    assert bank.account("bob").available(bank.clock.now()) == 30 * MIB


def test_red_packet_shares_arrive_as_their_own_kind_by_its_own_rule() -> None:
    newest = RULEBOOK.latest()
    arriving = {"red_packet": Arriving("fixed", 7), "gift": Arriving("preserve")}
    rules = replace(newest, version=newest.version + 1, arriving=arriving)
    bank = three_friends(RULEBOOK.with_versions([(0, rules)]))
    bank.hear(packet(), claimed("bob"), claimed("cat", 2 * MIB, "claim-2"))
    bank.settle()
    share = next(lot for lot in bank.account("bob").lots.values() if lot.kind == "red_packet")
    assert (share.granted, share.giftable, share.carries) == (MIB, False, False)
    assert share.expires_at == bank.clock.at + 7 * 86_400_000
    assert heard(bank, CLAIM) == ["DataReceived", "DataTransferred"]
    assert heard(bank, PACKET) == ["DataHeld"]
    assert lots(bank, "cat")["red_packet"] == 2 * MIB


def test_claims_and_what_comes_back_are_the_packets_total() -> None:
    bank = three_friends()
    bank.hear(packet(3 * MIB), claimed("bob"), claimed("nobody", MIB, "claim-2"))
    bank.settle()
    bank.at("2015-08-13T12:00:00")
    bank.do(Touch(key="due", account="ann"))
    assert heard(bank, "claim-2") == ["ArrivalRefused", "DataTransferred", "TransferReturned"]
    (rest,) = bank.told(HoldReleased, PACKET)
    assert (rest.cause, sum(part.bytes for part in rest.slices)) == ("timed_out", MIB)
    assert lots(bank, "ann") == {"plan": 29 * MIB}
    assert lots(bank, "bob")["red_packet"] == MIB


def test_more_than_a_packet_holds_is_not_delivered() -> None:
    bank = three_friends()
    bank.hear(packet(MIB), claimed("bob"), claimed("cat", MIB, "claim-2"))
    (refusal,) = bank.told(TransferRefused, "claim-2")
    assert refusal.code == "hold_not_found"


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(("payer", "left", "arrived"), [("sender", 24, 5), ("receiver", 25, 4)])
def test_a_fee_is_on_top_or_out_of_what_arrives(
    payer: str, left: int, arrived: int, *, waits: bool
) -> None:
    bank = three_friends()
    fee: dict[str, Any] = {"fee_bytes": MIB, "fee_payer": payer}
    bank.hear(offered(waits=waits, **fee))
    if waits:
        bank.hear(accepted(**fee))
    bank.settle()
    assert lots(bank, "ann") == {"plan": left * MIB}
    assert lots(bank, "bob")["gift"] == arrived * MIB
    fees = bank.account("operator:fees")
    assert (fees.kind, fees.received, lots(bank, "operator:fees")) == (
        "operator", MIB, {"fee": MIB},
    )  # fmt: skip
    assert heard(bank, GIFT)[-3:] == ["DataReceived", "DataReceived", "DataTransferred"]
    assert bank.in_transit() == 0


def test_a_gift_that_comes_back_brings_its_fee() -> None:
    bank = three_friends()
    before = bank.account("ann").lots
    bank.hear(offered(to="nobody", fee_bytes=MIB))
    bank.settle()
    assert bank.account("ann").lots == before
    (returned,) = bank.told(TransferReturned)
    assert [(leg.bytes, leg.to) for leg in returned.legs] == [(6 * MIB, None)]
    assert bank.told(DataReceived) == []


def test_a_fee_takes_the_bytes_that_end_first() -> None:
    bank = three_friends()
    bank.do(Buy(key="pack", account="ann", bytes=MIB, expires_at="2015-08-20T00:00:00"))
    bank.hear(offered(amount=3 * MIB, fee_bytes=MIB, fee_payer="receiver"))
    bank.settle()
    (arrived,) = [event for event in bank.told(DataReceived) if event.account == "bob"]
    assert [lot.expires_at for lot in arrived.lots] == [CALENDAR.month_end("2015-08")]
    assert [leg.bytes for leg in arrived.fee_legs] == [MIB]


def test_a_fee_that_leaves_nothing_is_refused() -> None:
    bank = three_friends()
    bank.hear(offered(amount=MIB, fee_bytes=MIB, fee_payer="receiver"))
    assert bank.told(TransferRefused, GIFT)[0].code == "fee_exceeds_gift"


def test_a_packets_fee_is_held_with_it_and_paid_share_by_share() -> None:
    bank = three_friends()
    bank.hear(packet(2 * MIB, fee_bytes=2), claimed("bob", MIB, fee_bytes=1))
    bank.settle()
    (hold,) = bank.account("ann").holds.values()
    assert hold.bytes == MIB + 1
    assert lots(bank, "operator:fees") == {"fee": 1}


def test_the_fees_of_a_month_are_one_lot() -> None:
    bank = three_friends()
    for number in range(3):
        bank.hear(
            GiftOffered(
                **told(gift_id=f"g{number}", receiver="bob", bytes=MIB, fee_bytes=10 + number)
            )
        )
    bank.settle()
    bank.at("2015-09-02T00:00:00")
    bank.hear(GiftOffered(**told(gift_id="later", receiver="bob", bytes=MIB, fee_bytes=1)))
    bank.settle()
    fees = bank.account("operator:fees").lots
    assert {name: lot.remaining for name, lot in fees.items()} == {
        "fee:2015-08": 33, "fee:2015-09": 1,
    }  # fmt: skip


def test_a_hold_is_as_large_as_the_gift_and_a_fee_on_top() -> None:
    bank = three_friends()
    bank.hear(offered(waits=True, fee_bytes=MIB))
    (held,) = bank.told(DataHeld)
    assert sum(part.bytes for part in held.slices) == 6 * MIB
