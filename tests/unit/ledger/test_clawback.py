"""A transfer is undone once, by a transfer the other way, of what is left of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from services.ledger.domain.commands import (
    Award,
    Buy,
    ClawBack,
    CloseAccount,
    CloseMonth,
    Fund,
    Hold,
    OpenAccount,
    Post,
    Suspend,
    Transfer,
    Usage,
)
from shared.contracts.ledger import DataClawedBack, DataExpired, DataTransferred
from tests.support.memory import MemoryBank

MIB = 1 << 20


@pytest.fixture
def bank() -> MemoryBank:
    made = MemoryBank(partitions=4)
    made.do(*(OpenAccount(key="open", account=name, plan="std-30mb") for name in ("ann", "bob")))
    made.do(OpenAccount(key="open", account="partner:didi"))
    made.do(OpenAccount(key="open", account="campaign:ride", partner="partner:didi"))
    made.do(Buy(key="buy", account="partner:didi", bytes=100 * MIB))
    made.do(Fund(key="fund", account="partner:didi", campaign="campaign:ride", bytes=10 * MIB))
    made.settle()
    return made


def gift(bank: MemoryBank, amount: int = 4 * MIB) -> str:
    (done,) = bank.do(Transfer(key="gift", account="ann", to="bob", bytes=amount))
    bank.settle()
    return str(done.result["transfer_id"])


def award(bank: MemoryBank, amount: int = 4 * MIB) -> str:
    asked = Award(key="ride", account="campaign:ride", subscriber="bob", bytes=amount)
    (done,) = bank.do(asked)
    bank.settle()
    return str(done.result["transfer_id"])


def use(bank: MemoryBank, amount: int, usage_id: str = "u") -> None:
    at = bank.clock.at
    bank.do(Usage(usage_id=usage_id, account="bob", bytes=amount, occurred_at=at))


def claw(bank: MemoryBank, transfer_id: str, account: str = "bob", **fields: Any) -> Any:
    asked = {"key": "claw", "reason": "sent by mistake", **fields}
    (outcome,) = bank.do(ClawBack(account=account, transfer_id=transfer_id, **asked))
    bank.settle()
    assert bank.in_transit() == 0
    for partition in bank.partitions:
        assert all(account.balances() for account in partition.refolded().values())
    return outcome


def back(bank: MemoryBank, giver: str) -> DataClawedBack:
    return next(e for e in bank.of(giver).events() if isinstance(e, DataClawedBack))


def test_a_whole_gift_goes_back_into_the_lots_it_came_from(bank: MemoryBank) -> None:
    before = bank.account("ann").lots
    outcome = claw(bank, transfer_id := gift(bank))
    assert outcome.status == "done"
    assert (outcome.result["undoes"], outcome.result["shortfall_bytes"]) == (transfer_id, 0)
    ann, bob = bank.account("ann"), bank.account("bob")
    assert ann.lots == before
    assert (ann.transferred, ann.received, ann.returned) == (4 * MIB, 4 * MIB, 0)
    assert (bob.received, bob.transferred) == (4 * MIB, 4 * MIB)
    event = back(bank, "ann")
    assert (event.undoes, event.sender, event.purpose) == (transfer_id, "bob", "gift")
    assert (event.transfer_id, event.reason) == (outcome.result["transfer_id"], "sent by mistake")


def test_what_the_receiver_has_used_stays_and_is_told_as_the_shortfall(bank: MemoryBank) -> None:
    transfer_id = award(bank)
    use(bank, 31 * MIB)
    outcome = claw(bank, transfer_id)
    assert outcome.result["shortfall_bytes"] == MIB
    campaign, bob = bank.account("campaign:ride"), bank.account("bob")
    assert (campaign.transferred, campaign.received) == (4 * MIB, 10 * MIB + 3 * MIB)
    assert sum(lot.remaining for lot in campaign.lots.values()) == 9 * MIB
    assert (bob.spent, bob.transferred) == (31 * MIB, 3 * MIB)
    event = back(bank, "campaign:ride")
    assert (event.partner, event.campaign) == ("partner:didi", "campaign:ride")
    assert event.shortfall_bytes == MIB
    (sent,) = (e for e in bank.of("campaign:ride").events()
               if isinstance(e, DataTransferred) and e.purpose == "award")  # fmt: skip
    assert event.undone_correlation_id == sent.correlation_id
    (again,) = bank.do(Award(key="again", account="campaign:ride", subscriber="ann", bytes=9 * MIB))
    assert again.status == "done"


def test_a_transfer_is_clawed_back_once_and_the_command_has_a_key(bank: MemoryBank) -> None:
    transfer_id = gift(bank)
    first = claw(bank, transfer_id)
    assert claw(bank, transfer_id) == replace(first, repeated=True)
    assert claw(bank, transfer_id, reason="other terms").code == "conflict"
    other = claw(bank, transfer_id, key="other")
    assert (other.code, other.extra) == ("already_clawed_back", {"event_id": first.events[0].id})
    assert bank.account("bob").transferred == 4 * MIB


def test_what_is_not_there_to_be_clawed_back_is_refused(bank: MemoryBank) -> None:
    asked = Transfer(key="gift", account="ann", to="bob", bytes=4 * MIB)
    transfer_id = bank.do(asked)[0].result["transfer_id"]
    on_its_way = ClawBack(key="early", account="bob", transfer_id=transfer_id, reason="too early")
    assert bank.do(on_its_way)[0].code == "transfer_not_found"
    bank.settle()
    assert claw(bank, transfer_id, "ann").code == "transfer_not_found"
    assert claw(bank, transfer_id, "nobody").code == "account_not_found"
    use(bank, 34 * MIB)
    assert claw(bank, transfer_id).code == "nothing_left"
    lost = bank.do(Transfer(key="lost", account="ann", to="nobody", bytes=MIB))[0]
    bank.settle()
    assert claw(bank, lost.result["transfer_id"], "ann", key="x").code == "transfer_not_found"


def test_a_clawback_is_not_clawed_back(bank: MemoryBank) -> None:
    outcome = claw(bank, gift(bank))
    again = claw(bank, outcome.result["transfer_id"], "ann", key="back")
    assert again.code == "transfer_not_found"


def test_after_the_close_it_goes_the_way_its_close_went(bank: MemoryBank) -> None:
    bank.do(Buy(key="pack", account="bob", bytes=MIB))
    transfer_id = gift(bank)
    bank.at("2015-09-02T00:00:00")
    bank.do(CloseMonth(key="close", account="ann", month="2015-08"))
    assert bank.account("ann").lots["carry:2015-08:any"].remaining == 26 * MIB
    outcome = claw(bank, transfer_id)
    assert outcome.result["shortfall_bytes"] == 0
    ann = bank.account("ann")
    assert ann.lots["carry:2015-08:any"].remaining == 30 * MIB
    assert set(ann.lots) == {"carry:2015-08:any", "plan:2015-09"}


def test_after_its_carry_lot_is_closed_too_it_expires(bank: MemoryBank) -> None:
    transfer_id = gift(bank)
    bank.at("2015-10-02T00:00:00")
    bank.do(CloseMonth(key="close", account="ann", month="2015-09"))
    claw(bank, transfer_id)
    assert bank.account("ann").expired == 26 * MIB + 4 * MIB


def test_after_the_receivers_close_nothing_is_left(bank: MemoryBank) -> None:
    transfer_id = gift(bank)
    bank.at("2015-09-02T00:00:00")
    bank.do(CloseMonth(key="close", account="bob", month="2015-08"))
    assert claw(bank, transfer_id).code == "nothing_left"


def test_a_suspended_receiver_is_no_shelter_and_a_closed_giver_gets_it_to_expire(
    bank: MemoryBank,
) -> None:
    transfer_id = gift(bank)
    bank.do(Suspend(key="stop", account="bob"), CloseAccount(key="end", account="ann"))
    assert claw(bank, transfer_id).status == "done"
    last = bank.of("ann").events()[-1]
    assert isinstance(last, DataExpired)
    assert sum(part.bytes for part in last.slices) == 4 * MIB


def test_what_was_posted_out_of_a_hold_after_its_close_goes_back_into_the_carry_lot(
    bank: MemoryBank,
) -> None:
    deadline = "2015-09-05T00:00:00"
    (held,) = bank.do(Hold(key="h", account="ann", bytes=5 * MIB, deadline=deadline))
    bank.at("2015-09-02T00:00:00")
    bank.do(CloseMonth(key="close", account="ann", month="2015-08"))
    (sent,) = bank.do(Post(key="p", account="ann", hold_id=held.result["hold_id"], to="bob"))
    bank.settle()
    assert bank.account("ann").carried_away == {"carry:2015-08": 5 * MIB}
    claw(bank, sent.result["transfer_id"])
    ann = bank.account("ann")
    assert ann.carried_away == {"carry:2015-08": 0}
    assert set(ann.lots) == {"carry:2015-08:any", "plan:2015-09"}
    assert sum(lot.remaining for lot in ann.lots.values()) == 30 * MIB + 30 * MIB


def test_each_lot_of_a_gift_of_several_goes_back_to_its_own(bank: MemoryBank) -> None:
    bank.do(Buy(key="pack", account="ann", bytes=MIB, expires_at="2015-08-12T00:00:00"))
    before = bank.account("ann").lots
    transfer_id = gift(bank)
    use(bank, MIB)  # The pack ends first, so the gift of it is used first.
    claw(bank, transfer_id)
    after = bank.account("ann").lots
    pack = next(name for name in before if name.startswith("pack:"))
    assert after[pack].remaining == 0
    assert after["plan:2015-08"] == before["plan:2015-08"]


def test_the_departure_names_what_it_undoes_and_who_asked(bank: MemoryBank) -> None:
    transfer_id = award(bank)
    claw(bank, transfer_id, reason="the ride was cancelled")
    moved = [e for e in bank.of("bob").events() if isinstance(e, DataTransferred)]
    (event,) = [e for e in moved if e.account == "bob"]
    assert (event.purpose, event.to, event.undoes) == ("clawback", "campaign:ride", transfer_id)
    assert (event.actor, event.reason) == ("operator", "the ride was cancelled")
