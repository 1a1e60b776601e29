"""Usage takes lots in the order of use, to the byte, and never below zero."""

from services.ledger.domain.commands import Buy, CloseMonth, OpenAccount, Transfer, Usage
from tests.support.memory import CALENDAR, MemoryBank

MIB = 1 << 20


def usage(bank: MemoryBank, name: str, amount: int, at: str, account: str = "ann") -> Usage:
    return Usage(usage_id=name, account=account, bytes=amount, occurred_at=CALENDAR.parse(at))


def opened(now: str = "2015-08-10T12:00:00", active_from: str = "2015-08") -> MemoryBank:
    bank = MemoryBank(now=now)
    bank.do(OpenAccount(key="open", account="ann", plan="std-30mb", active_from=active_from))
    return bank


def test_opening_grants_the_plan_lot_of_each_month_up_to_the_clocks() -> None:
    bank = opened("2015-10-02T00:00:00")
    assert list(bank.account("ann").lots) == ["plan:2015-08", "plan:2015-09", "plan:2015-10"]
    assert bank.account("ann").earned == 90 * MIB


def test_usage_is_charged_to_the_lot_that_was_valid_when_it_happened() -> None:
    bank = opened("2015-09-02T00:00:00")
    bank.do(
        usage(bank, "u1", 1000, "2015-08-31T23:59:59.999"),
        usage(bank, "u2", 7, "2015-09-01T00:00:00"),
    )
    lots = bank.account("ann").lots
    assert lots["plan:2015-08"].remaining == 30 * MIB - 1000
    assert lots["plan:2015-09"].remaining == 30 * MIB - 7


def test_what_no_lot_covers_is_unfunded_and_nothing_falls_below_zero() -> None:
    bank = opened()
    outcome = bank.do(usage(bank, "u1", 31 * MIB, "2015-08-10T11:00:00"))[0]
    assert (outcome.spent_bytes, outcome.unfunded_bytes) == (30 * MIB, MIB)
    assert bank.account("ann").lots["plan:2015-08"].remaining == 0


def test_usage_before_the_first_plan_month_is_unfunded() -> None:
    bank = opened()
    assert bank.do(usage(bank, "u1", 9, "2015-07-31T23:00:00"))[0].unfunded_bytes == 9


def test_the_soonest_expiry_is_used_first_and_a_gift_before_the_plan() -> None:
    bank = opened()
    bank.do(OpenAccount(key="open", account="bob", plan="std-30mb"))
    bank.do(Transfer(key="gift", account="bob", to="ann", bytes=100))
    bank.settle()
    bank.do(Buy(key="short", account="ann", bytes=50, expires_at="2015-08-20T00:00:00"))
    bank.do(usage(bank, "u1", 151, "2015-08-10T12:00:00"))
    left = {lot.kind: lot.remaining for lot in bank.account("ann").lots.values()}
    assert left == {"plan": 30 * MIB - 1, "gift": 0, "pack": 0}


def test_the_same_usage_id_charges_once_and_answers_alike() -> None:
    bank = opened()
    record = usage(bank, "u1", 500, "2015-08-10T11:00:00")
    first, second = bank.do(record, record)
    third = bank.do(record)[0]
    assert [o.repeated for o in (first, second, third)] == [False, True, True]
    assert {o.spent_bytes for o in (first, second, third)} == {500}
    assert bank.account("ann").spent == 500


def test_the_same_usage_id_with_other_bytes_is_a_conflict() -> None:
    bank = opened()
    bank.do(usage(bank, "u1", 500, "2015-08-10T11:00:00"))
    assert bank.do(usage(bank, "u1", 501, "2015-08-10T11:00:00"))[0].code == "conflict"
    assert bank.account("ann").spent == 500


def test_usage_is_refused_for_unknown_accounts_and_more_than_five_minutes_ahead() -> None:
    bank = opened()
    codes = [
        outcome.code
        for outcome in bank.do(
            usage(bank, "u1", 1, "2015-08-10T11:00:00", "zoe"),
            usage(bank, "u2", 1, "2015-08-10T12:05:00.001"),
            usage(bank, "u3", 1, "2015-08-10T12:05:00"),
        )
    ]
    assert codes == ["account_not_found", "usage_in_future", None]


def test_a_record_of_the_next_month_grants_that_months_plan_lot() -> None:
    bank = opened("2015-08-31T23:58:00")
    bank.do(usage(bank, "u1", 5, "2015-09-01T00:01:00"))
    assert bank.account("ann").lots["plan:2015-09"].remaining == 30 * MIB - 5


def test_late_usage_takes_the_lapsed_lot_and_after_the_close_the_carry_lot_born_of_it() -> None:
    bank = opened()
    bank.at("2015-09-02T00:00:00")
    bank.do(usage(bank, "u1", 10, "2015-08-20T00:00:00"))
    bank.do(CloseMonth(key="close", account="ann", month="2015-08"))
    bank.do(usage(bank, "u2", 7, "2015-08-21T00:00:00"))
    account = bank.account("ann")
    assert account.lots["carry:2015-08:any"].remaining == 30 * MIB - 17
    assert account.lots["plan:2015-09"].remaining == 30 * MIB
    assert account.unfunded == 0
    assert account.balances()


def test_two_hundred_lines_fill_an_event() -> None:
    bank = opened()
    bank.do(*(usage(bank, f"u{n}", 1, "2015-08-10T11:00:00") for n in range(450)))
    spent = [event for event in bank.of("ann").events() if event.TYPE.endswith("data_spent.v1")]
    assert [len(event.lines) for event in spent] == [200, 200, 50]  # type: ignore[attr-defined]
