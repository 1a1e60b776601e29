"""Bytes that leave an account arrive once at another, or come back to the lots they left."""

from services.ledger.domain.commands import Award, Buy, CloseMonth, Fund, OpenAccount, Transfer
from shared.contracts.ledger import TransferReturned
from tests.support.memory import MemoryBank

MIB = 1 << 20


def two_friends() -> MemoryBank:
    bank = MemoryBank(partitions=4)
    bank.do(*(OpenAccount(key="open", account=name, plan="std-30mb") for name in ("ann", "bob")))
    return bank


def campaign(bank: MemoryBank, amount: int = 10 * MIB) -> None:
    bank.do(OpenAccount(key="open", account="partner:didi"))
    bank.do(OpenAccount(key="open", account="campaign:ride", partner="partner:didi"))
    bank.do(Buy(key="buy", account="partner:didi", bytes=100 * MIB))
    bank.do(Fund(key="fund", account="partner:didi", campaign="campaign:ride", bytes=amount))
    bank.settle()


def test_a_gift_keeps_the_terms_of_the_lot_it_came_from() -> None:
    bank = two_friends()
    bank.do(Transfer(key="gift", account="ann", to="bob", bytes=MIB))
    bank.settle()
    gift = next(lot for lot in bank.account("bob").lots.values() if lot.kind == "gift")
    plan = bank.account("ann").lots["plan:2015-08"]
    assert (gift.granted, gift.expires_at, gift.valid_from) == (
        MIB,
        plan.expires_at,
        plan.valid_from,
    )
    assert (gift.giftable, gift.carries, gift.parent_lot) == (False, False, "plan:2015-08")
    assert bank.account("bob").received == MIB
    assert bank.in_transit() == 0


def test_a_gift_of_several_lots_has_several_legs() -> None:
    bank = two_friends()
    bank.do(Buy(key="pack", account="ann", bytes=MIB, expires_at="2015-08-12T00:00:00"))
    bank.do(Transfer(key="gift", account="ann", to="bob", bytes=3 * MIB))
    bank.settle()
    gifts = [lot.granted for lot in bank.account("bob").lots.values() if lot.kind == "gift"]
    assert gifts == [MIB, 2 * MIB]


def test_a_gift_to_nobody_comes_back_to_its_lots() -> None:
    bank = two_friends()
    before = bank.account("ann").lots
    bank.do(Transfer(key="gift", account="ann", to="nobody", bytes=MIB))
    assert bank.in_transit() == MIB
    bank.settle()
    account = bank.account("ann")
    assert account.lots == before
    assert (account.transferred, account.returned) == (MIB, MIB)
    returned = next(
        event for event in bank.of("ann").events() if isinstance(event, TransferReturned)
    )
    assert (returned.code, returned.to) == ("account_not_found", "nobody")
    assert bank.in_transit() == 0


def test_what_comes_back_after_the_close_goes_the_way_its_close_went() -> None:
    bank = two_friends()
    bank.do(Transfer(key="gift", account="ann", to="nobody", bytes=MIB))
    bank.at("2015-09-02T00:00:00")
    bank.do(CloseMonth(key="close", account="ann", month="2015-08"))
    bank.settle()
    account = bank.account("ann")
    assert account.lots["carry:2015-08:any"].remaining == 30 * MIB
    assert set(account.lots) == {"carry:2015-08:any", "plan:2015-09"}
    assert account.balances()


def test_what_comes_back_after_its_carry_lot_is_closed_too_expires() -> None:
    bank = two_friends()
    bank.do(Transfer(key="gift", account="ann", to="nobody", bytes=MIB))
    bank.at("2015-10-02T00:00:00")
    bank.do(CloseMonth(key="close", account="ann", month="2015-09"))
    bank.settle()
    account = bank.account("ann")
    assert account.expired == 29 * MIB + MIB
    assert account.balances()


def test_a_leg_that_expired_on_the_way_arrives_and_expires() -> None:
    bank = two_friends()
    bank.do(Buy(key="pack", account="ann", bytes=MIB, expires_at="2015-08-11T00:00:00"))
    bank.do(Transfer(key="gift", account="ann", to="bob", bytes=MIB))
    bank.at("2015-08-11T00:00:00")
    bank.settle()
    account = bank.account("bob")
    assert (account.received, account.expired) == (MIB, MIB)


def test_gifts_are_not_given_again_and_more_than_there_is_is_refused() -> None:
    bank = two_friends()
    bank.do(Transfer(key="gift", account="ann", to="bob", bytes=30 * MIB))
    bank.settle()
    outcome = bank.do(Transfer(key="on", account="bob", to="ann", bytes=31 * MIB))[0]
    assert (outcome.code, outcome.extra) == ("insufficient_data", {"available_bytes": 30 * MIB})
    assert bank.do(Transfer(key="self", account="bob", to="bob", bytes=1))[0].code == "same_account"


def test_a_partner_buys_funds_its_campaign_and_awards_a_subscriber() -> None:
    bank = two_friends()
    campaign(bank)
    outcome = bank.do(Award(key="ride", account="campaign:ride", subscriber="ann", bytes=MIB))[0]
    assert outcome.status == "done"
    bank.settle()
    award = next(lot for lot in bank.account("ann").lots.values() if lot.kind == "award")
    assert (award.source.partner, award.source.campaign) == ("partner:didi", "campaign:ride")
    assert bank.account("campaign:ride").transferred == MIB
    assert bank.account("partner:didi").transferred == 10 * MIB


def test_a_campaign_never_pays_more_than_its_escrow() -> None:
    bank = two_friends()
    campaign(bank, amount=3 * MIB)
    awards = [
        Award(key=f"a{n}", account="campaign:ride", subscriber="ann", bytes=MIB) for n in range(5)
    ]
    assert [outcome.status for outcome in bank.do(*awards)] == ["done"] * 3 + ["refused"] * 2


def test_funding_goes_to_campaigns_of_the_same_partner_only() -> None:
    bank = MemoryBank()
    campaign(bank)
    bank.do(OpenAccount(key="open", account="partner:shop"))
    bank.do(Buy(key="buy", account="partner:shop", bytes=MIB))
    bank.do(Fund(key="fund", account="partner:shop", campaign="campaign:ride", bytes=MIB))
    bank.settle()
    account = bank.account("partner:shop")
    assert (account.transferred, account.returned) == (MIB, MIB)
