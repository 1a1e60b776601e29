"""Accounts are suspended, resumed, closed, and change their plan from the next cycle on."""

from services.ledger.domain.commands import (
    Buy,
    ChangePlan,
    CloseAccount,
    Hold,
    OpenAccount,
    Resume,
    Suspend,
    Touch,
    Transfer,
    Usage,
)
from tests.support.memory import CALENDAR, MemoryBank

MIB = 1 << 20


def friends() -> MemoryBank:
    bank = MemoryBank(partitions=2)
    bank.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in ("ann", "bob")))
    return bank


def use(bank: MemoryBank, name: str) -> str | None:
    at = CALENDAR.parse("2015-08-10T11:00:00")
    outcome = bank.do(Usage(usage_id=name, account="ann", bytes=7, occurred_at=at))[0]
    return outcome.code  # type: ignore[no-any-return]


def test_a_suspended_account_neither_uses_nor_gives_but_receives() -> None:
    bank = friends()
    bank.do(Suspend(key="s", account="ann", reason="lost"))
    assert use(bank, "u1") == "account_suspended"
    gift = Transfer(key="g", account="ann", to="bob", bytes=1)
    assert bank.do(gift)[0].code == "account_suspended"
    bank.do(Transfer(key="g", account="bob", to="ann", bytes=MIB))
    bank.settle()
    assert bank.account("ann").received == MIB
    bank.do(Resume(key="r", account="ann"))
    assert use(bank, "u1") is None


def test_a_closed_account_has_nothing_left_and_takes_nothing() -> None:
    bank = friends()
    bank.do(Hold(key="h", account="ann", bytes=MIB, deadline="2015-08-20T00:00:00"))
    bank.do(CloseAccount(key="c", account="ann", reason="left"))
    account = bank.account("ann")
    assert (account.status, account.expired, account.holds) == ("closed", 30 * MIB, {})
    bank.do(Transfer(key="g", account="bob", to="ann", bytes=MIB))
    bank.settle()
    assert (bank.account("bob").returned, bank.account("ann").received) == (MIB, 0)
    assert bank.do(Buy(key="b", account="ann", bytes=1))[0].code == "account_closed"
    assert use(bank, "u") == "account_closed"
    bank.at("2015-09-05T00:00:00")
    bank.do(Touch(key="t", account="ann"))
    assert bank.account("ann").earned == 30 * MIB


def test_what_comes_back_to_a_closed_account_expires_at_once() -> None:
    bank = friends()
    bank.do(Transfer(key="g", account="ann", to="nobody", bytes=MIB))
    bank.do(CloseAccount(key="c", account="ann"))
    bank.settle()
    account = bank.account("ann")
    assert (account.returned, account.expired) == (MIB, 30 * MIB)
    assert account.balances()


def test_another_plan_counts_from_the_next_cycle() -> None:
    bank = friends()
    assert bank.do(ChangePlan(key="p", account="ann", plan="std-100mb"))[0].status == "done"
    assert bank.account("ann").earned == 30 * MIB
    bank.at("2015-09-01T00:00:00")
    bank.do(Touch(key="t", account="ann"))
    assert bank.account("ann").lots["plan:2015-09"].granted == 100 * MIB
    unknown = bank.do(ChangePlan(key="q", account="ann", plan="gold"))[0]
    assert unknown.code == "plan_unknown"
