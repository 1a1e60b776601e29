"""Corrections add events: adjustments by hand, and reversals that restore the same slices."""

from msgspec.structs import replace

from services.ledger.domain.commands import (
    Adjust,
    Buy,
    CloseMonth,
    OpenAccount,
    ReverseUsage,
    Usage,
)
from services.ledger.items import Item
from services.ledger.outcomes import Outcome
from shared.contracts.ledger import DataSpent
from tests.support.memory import CALENDAR, OPERATOR, MemoryBank

MIB = 1 << 20


def ann(now: str = "2015-08-10T12:00:00", plan: str = "std-30mb") -> MemoryBank:
    bank = MemoryBank(now=now)
    bank.do(OpenAccount(key="o", account="ann", plan=plan, active_from="2015-08"))
    return bank


def use(bank: MemoryBank, amount: int, at: str = "2015-08-10T11:00:00") -> None:
    bank.do(Usage(usage_id="u", account="ann", bytes=amount, occurred_at=CALENDAR.parse(at)))


def reversal(bank: MemoryBank, key: str, reason: str = "test") -> Item:
    spent = next(event for event in bank.of("ann").events() if isinstance(event, DataSpent))
    asked = ReverseUsage(key=key, account="ann", line=spent.lines[0], reason=reason)
    return Item(asked, "operator", OPERATOR)


def reverse(bank: MemoryBank, key: str = "r", reason: str = "test") -> Outcome:
    item = reversal(bank, key, reason)
    bank.of("ann").execute([item])
    assert isinstance(item.outcome, Outcome)
    return item.outcome


def test_a_gift_by_hand_is_a_lot_and_makes_adjusted_negative() -> None:
    bank = ann()
    bank.do(Adjust(key="a", account="ann", direction="give", bytes=MIB, reason="outage"))
    account = bank.account("ann")
    assert account.adjusted == -MIB
    assert [lot.kind for lot in account.lots.values()] == ["plan", "adjustment"]
    assert account.balances()


def test_what_is_taken_by_hand_is_never_more_than_there_is() -> None:
    bank = ann()
    take = Adjust(key="t", account="ann", direction="take", bytes=31 * MIB, reason="fraud")
    assert bank.do(take)[0].code == "insufficient_data"
    bank.do(Adjust(key="t2", account="ann", direction="take", bytes=30 * MIB, reason="fraud"))
    assert (bank.account("ann").adjusted, bank.account("ann").balances()) == (30 * MIB, True)


def test_a_reversal_restores_the_same_slices_once() -> None:
    bank = ann()
    before = bank.account("ann").lots
    use(bank, 31 * MIB)
    assert reverse(bank).status == "done"
    again = reverse(bank)
    account = bank.account("ann")
    assert again.repeated
    assert (account.lots, account.spent, account.unfunded) == (before, 0, 0)


def test_a_reversal_has_a_key_as_every_command() -> None:
    bank = ann()
    use(bank, 10 * MIB)
    done = reverse(bank)
    assert replace(reverse(bank), repeated=False) == done
    other_terms = reverse(bank, reason="other")
    assert (other_terms.status, other_terms.code) == ("refused", "conflict")
    other_key = reverse(bank, "other")
    assert (other_key.code, other_key.extra) == (
        "already_reversed",
        {"event_id": done.events[0].id},
    )
    assert bank.account("ann").spent == 0
    same_key = Buy(key="r", account="ann", bytes=1)
    assert bank.do(same_key)[0].code == "conflict"


def test_of_two_reversals_in_one_batch_the_first_is_done() -> None:
    bank = ann()
    use(bank, 10 * MIB)
    items = [reversal(bank, key) for key in ("r", "other", "r")]
    bank.of("ann").execute(items)
    first, second, third = (item.outcome for item in items)
    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert (first.status, second.code) == ("done", "already_reversed")
    assert second.extra == {"event_id": first.events[0].id}
    assert third == replace(first, repeated=True)
    assert bank.account("ann").spent == 0


def test_after_the_close_a_reversal_goes_into_the_carry_lot() -> None:
    bank = ann()
    use(bank, 10 * MIB)
    bank.at("2015-09-02T00:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    reverse(bank)
    account = bank.account("ann")
    assert account.lots["carry:2015-08:any"].remaining == 30 * MIB
    assert account.balances()


def test_after_its_carry_lot_is_closed_too_a_reversal_expires() -> None:
    bank = ann()
    use(bank, 10 * MIB)
    bank.at("2015-10-02T00:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-09"))
    reverse(bank)
    account = bank.account("ann")
    assert (account.expired, account.spent) == (30 * MIB, 0)
    assert account.balances()


def test_a_whole_spent_lot_that_was_closed_comes_back_as_its_close_would_have_it() -> None:
    bank = ann()
    use(bank, 30 * MIB)
    bank.at("2015-09-02T00:00:00")
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))
    reverse(bank)
    account = bank.account("ann")
    assert account.balances()
    assert account.lots["carry:2015-08:any"].remaining == 30 * MIB
