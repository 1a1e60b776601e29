"""The rule files of docs/examples/rules, each lived through for three months."""

from pathlib import Path
from typing import Literal

import pytest

from services.ledger.domain.commands import (
    AwardOnTerms,
    Buy,
    CloseMonth,
    OpenAccount,
    Transfer,
    Usage,
)
from services.ledger.rules import load_rules
from shared.contracts.offers import RewardTerms
from tests.support.memory import CALENDAR, MemoryBank

RULES = Path(__file__).parents[3] / "docs" / "examples" / "rules"
MIB = 1 << 20
GIB = 1 << 30


def bank_with(rules: str, plan: str, start: str) -> MemoryBank:
    bank = MemoryBank(now=start, rulebook=load_rules(RULES / f"{rules}.json", CALENDAR))
    bank.do(*(OpenAccount(key="o", account=name, plan=plan) for name in ("ann", "bob")))
    return bank


def use(bank: MemoryBank, name: str, amount: int, at: str) -> None:
    bank.at(at)
    record = Usage(usage_id=name, account="ann", bytes=amount, occurred_at=CALENDAR.parse(at))
    assert bank.do(record)[0].unfunded_bytes == 0


def close(bank: MemoryBank, month: str, at: str) -> dict[str, int]:
    bank.at(at)
    outcome = bank.do(CloseMonth(key=f"c{month}", account="ann", month=month))[0]
    assert bank.account("ann").balances()
    return outcome.result  # type: ignore[no-any-return]


def left(bank: MemoryBank) -> dict[str, int]:
    return {name: lot.remaining for name, lot in bank.account("ann").lots.items()}


def test_the_chinese_rule_of_october_2015_to_the_letter() -> None:
    """50 left of 100 in October: November uses them first; on 1 December their rest is gone."""
    bank = bank_with("china-2015-10", "std-100mb", "2015-10-01T00:00:00")
    use(bank, "u1", 50 * MIB, "2015-10-20T12:00:00")
    assert close(bank, "2015-10", "2015-11-01T06:00:00")["carried_bytes"] == 50 * MIB
    use(bank, "u2", 20 * MIB, "2015-11-10T12:00:00")
    assert left(bank) == {"carry:2015-10:any": 30 * MIB, "plan:2015-11": 100 * MIB}
    result = close(bank, "2015-11", "2015-12-01T06:00:00")
    assert result == {"carried_bytes": 100 * MIB, "expired_bytes": 30 * MIB}
    assert left(bank) == {"carry:2015-11:any": 100 * MIB, "plan:2015-12": 100 * MIB}
    use(bank, "u3", 130 * MIB, "2015-12-31T12:00:00")
    assert left(bank) == {"carry:2015-11:any": 0, "plan:2015-12": 70 * MIB}
    assert close(bank, "2015-12", "2016-01-01T06:00:00")["carried_bytes"] == 70 * MIB


def test_in_china_gifts_and_dated_packs_do_not_carry_and_monthly_packs_do() -> None:
    bank = bank_with("china-2015-10", "std-100mb", "2015-10-01T00:00:00")
    bank.do(Transfer(key="g", account="bob", to="ann", bytes=5 * MIB))
    bank.settle()
    bank.do(Buy(key="monthly", account="ann", bytes=7 * MIB))
    bank.do(Buy(key="dated", account="ann", bytes=9 * MIB, expires_at="2015-10-31T00:00:00"))
    result = close(bank, "2015-10", "2015-11-01T06:00:00")
    assert result == {"carried_bytes": 107 * MIB, "expired_bytes": 14 * MIB}


@pytest.mark.parametrize("rules", sorted(each.stem for each in RULES.glob("*.json")))
@pytest.mark.parametrize("kind", ["award", "reward"])
def test_what_somebody_got_carries_over_nowhere_whatever_was_promised(
    rules: str, kind: Literal["award", "reward"]
) -> None:
    plan = next(iter(load_rules(RULES / f"{rules}.json", CALENDAR).latest().plans))
    bank = bank_with(rules, plan, "2015-08-01T00:00:00")
    terms = RewardTerms(
        kind=kind, valid_from=bank.clock.at, expires_at=CALENDAR.month_end("2015-08"), carries=True
    )
    bank.do(
        OpenAccount(key="o", account="partner:any"), Buy(key="b", account="partner:any", bytes=GIB)
    )
    bank.do(
        AwardOnTerms(key="a", account="partner:any", subscriber="ann", bytes=5 * MIB, terms=terms)
    )
    bank.settle()
    assert close(bank, "2015-08", "2015-09-01T06:00:00")["expired_bytes"] == 5 * MIB


def test_the_examples_exclude_every_kind_that_somebody_else_gave() -> None:
    for file in RULES.glob("*.json"):
        for plan in load_rules(file, CALENDAR).latest().plans.values():
            assert {"gift", "red_packet", "award", "reward"} <= set(plan.carry_over.excluded_kinds)


def test_at_att_the_plan_is_used_before_what_was_rolled_over() -> None:
    bank = bank_with("att-rollover-2015", "mobile-3gb", "2015-02-01T00:00:00")
    use(bank, "u1", 1 * GIB, "2015-02-10T00:00:00")
    assert close(bank, "2015-02", "2015-03-01T06:00:00")["carried_bytes"] == 2 * GIB
    use(bank, "u2", 2 * GIB, "2015-03-10T00:00:00")
    assert left(bank) == {"carry:2015-02:any": 2 * GIB, "plan:2015-03": 1 * GIB}
    use(bank, "u3", 2 * GIB, "2015-03-20T00:00:00")
    assert left(bank) == {"carry:2015-02:any": 1 * GIB, "plan:2015-03": 0}
    result = close(bank, "2015-03", "2015-04-01T06:00:00")
    assert result == {"carried_bytes": 0, "expired_bytes": 1 * GIB}
    assert close(bank, "2015-04", "2015-05-01T06:00:00")["carried_bytes"] == 3 * GIB


def test_at_t_mobile_each_months_rest_lives_twelve_months_and_the_oldest_goes_first() -> None:
    bank = bank_with("t-mobile-data-stash", "simple-3gb", "2015-01-01T00:00:00")
    close(bank, "2015-01", "2015-02-01T06:00:00")
    close(bank, "2015-02", "2015-03-01T06:00:00")
    use(bank, "u1", 4 * GIB, "2015-03-15T00:00:00")
    assert left(bank) == {
        "carry:2015-01:any": 2 * GIB,
        "carry:2015-02:any": 3 * GIB,
        "plan:2015-03": 0,
    }
    close(bank, "2015-03", "2015-04-01T06:00:00")
    ends = bank.account("ann").lots["carry:2015-01:any"].expires_at
    assert ends == CALENDAR.month_end("2016-01")


def test_at_t_mobile_the_stash_never_exceeds_twenty_gigabytes() -> None:
    bank = bank_with("t-mobile-data-stash", "simple-3gb", "2015-01-01T00:00:00")
    carried = []
    for number in range(1, 9):
        at = f"2015-{number + 1:02d}-01T06:00:00"
        carried.append(close(bank, f"2015-{number:02d}", at)["carried_bytes"])
    assert carried == [3 * GIB] * 6 + [2 * GIB, 0]


def test_a_voucher_is_usable_next_month_can_be_given_away_and_ends_with_it() -> None:
    bank = bank_with("voucher", "std-100mb", "2015-08-01T00:00:00")
    use(bank, "u1", 40 * MIB, "2015-08-10T00:00:00")
    assert close(bank, "2015-08", "2015-09-01T06:00:00")["carried_bytes"] == 60 * MIB
    assert left(bank) == {"voucher:2015-08:any": 60 * MIB, "plan:2015-09": 100 * MIB}
    bank.do(Transfer(key="g", account="ann", to="bob", bytes=10 * MIB))
    bank.settle()
    assert left(bank)["voucher:2015-08:any"] == 50 * MIB
    result = close(bank, "2015-09", "2015-10-01T06:00:00")
    assert result == {"carried_bytes": 100 * MIB, "expired_bytes": 50 * MIB}
    result = close(bank, "2015-10", "2015-11-01T06:00:00")
    assert result == {"carried_bytes": 100 * MIB, "expired_bytes": 100 * MIB}
