"""A month is closed once per account: what is left is carried over or expires."""

from services.ledger.domain.commands import Buy, CloseMonth, OpenAccount, Transfer, Usage
from shared.contracts.ledger import DataCarriedOver
from tests.support.memory import CALENDAR, MemoryBank

MIB = 1 << 20


def opened(plan: str = "std-30mb") -> MemoryBank:
    bank = MemoryBank(now="2015-10-05T00:00:00")
    bank.do(OpenAccount(key="open", account="ann", plan=plan, active_from="2015-10"))
    return bank


def close(month: str, key: str = "") -> CloseMonth:
    return CloseMonth(key=key or f"close-{month}", account="ann", month=month)


def use(bank: MemoryBank, name: str, amount: int, at: str) -> None:
    bank.do(Usage(usage_id=name, account="ann", bytes=amount, occurred_at=CALENDAR.parse(at)))


def test_the_rest_of_october_is_used_first_in_november_and_gone_in_december() -> None:
    """The carry-over rule of 2015-10-01: once, to the end of the next month, used first."""
    bank = opened()
    use(bank, "u1", 10 * MIB, "2015-10-04T00:00:00")
    bank.at("2015-11-01T06:00:00")
    assert bank.do(close("2015-10"))[0].result["carried_bytes"] == 20 * MIB
    use(bank, "u2", 5 * MIB, "2015-11-01T05:00:00")
    lots = bank.account("ann").lots
    assert {name: lot.remaining for name, lot in lots.items()} == {
        "carry:2015-10:any": 15 * MIB,
        "plan:2015-11": 30 * MIB,
    }
    bank.at("2015-12-01T06:00:00")
    result = bank.do(close("2015-11"))[0].result
    assert (result["carried_bytes"], result["expired_bytes"]) == (30 * MIB, 15 * MIB)
    assert set(bank.account("ann").lots) == {"carry:2015-11:any", "plan:2015-12"}


def test_closing_twice_does_nothing_more() -> None:
    bank = opened()
    bank.at("2015-11-02T00:00:00")
    bank.do(close("2015-10"))
    before = bank.account("ann")
    again, other_key = bank.do(close("2015-10"), close("2015-10", "another"))
    assert again.repeated
    assert (other_key.status, other_key.events) == ("done", [])
    assert bank.account("ann") == before


def test_a_running_month_is_not_closed() -> None:
    bank = opened()
    outcome = bank.do(close("2015-10"))[0]
    assert (outcome.code, outcome.extra) == ("month_running", {"latest": "2015-09"})


def test_a_month_with_nothing_left_is_noted_as_closed() -> None:
    bank = opened()
    use(bank, "u1", 30 * MIB, "2015-10-04T00:00:00")
    bank.at("2015-11-02T00:00:00")
    assert bank.do(close("2015-10"))[0].result == {}
    assert bank.account("ann").closed_through == "2015-10"


def test_earlier_months_that_are_open_are_closed_first() -> None:
    bank = opened()
    bank.at("2016-01-02T00:00:00")
    bank.do(close("2015-12"))
    account = bank.account("ann")
    assert set(account.lots) == {"carry:2015-12:any", "plan:2016-01"}
    assert account.expired == 60 * MIB
    assert account.balances()


def test_a_plan_without_carry_over_lets_its_rest_expire() -> None:
    bank = opened("basic-10mb")
    bank.at("2015-11-02T00:00:00")
    assert bank.do(close("2015-10"))[0].result == {"carried_bytes": 0, "expired_bytes": 10 * MIB}


def test_monthly_packs_carry_over_and_gifts_and_dated_packs_do_not() -> None:
    bank = opened()
    bank.do(OpenAccount(key="open", account="bob", plan="std-30mb"))
    bank.do(Transfer(key="gift", account="bob", to="ann", bytes=MIB))
    bank.settle()
    (monthly,) = bank.do(Buy(key="monthly", account="ann", bytes=2 * MIB))
    bank.do(Buy(key="dated", account="ann", bytes=4 * MIB, expires_at="2015-10-20T00:00:00"))
    bank.at("2015-11-02T00:00:00")
    result = bank.do(close("2015-10"))[0].result
    assert result == {"carried_bytes": 32 * MIB, "expired_bytes": 5 * MIB}
    carried = next(event for event in bank.of("ann").events() if isinstance(event, DataCarriedOver))
    assert {part.lot_id for part in carried.slices} == {"plan:2015-10", *monthly.result["lots"]}
