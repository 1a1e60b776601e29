"""Bytes that are carried over stay what they are: their scope, their hours, whether to be given."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger.domain.commands import (
    AwardOnTerms,
    Buy,
    CloseMonth,
    Hold,
    OpenAccount,
    Post,
    Release,
    Reverse,
    Usage,
)
from services.ledger.domain.rules import CarryOver
from shared.contracts.ledger import DataReceived, DataTransferred
from shared.contracts.offers import Hours, RewardTerms
from tests.support.carrying import HOURS, SCOPES, check_carried
from tests.support.memory import CALENDAR, PLAN, MemoryBank, carrying

MIB = 1 << 20
NIGHT = Hours(begins=0, ends=360)
NOON = "2015-08-10T11:00:00"
AFTER = "2015-09-01T06:00:00"


def ann(carry_over: CarryOver | None = None) -> MemoryBank:
    """Return a bank where ann has her plan of 30 MiB for August, and a partner has plenty."""
    rule = carry_over or CarryOver(mode="auto_extend")
    bank = MemoryBank(now="2015-08-10T12:00:00", rulebook=carrying(rule))
    bank.do(
        OpenAccount(key="o", account="ann", plan=PLAN, active_from="2015-08"),
        OpenAccount(key="o", account="bob", plan=PLAN, active_from="2015-08"),
        OpenAccount(key="o", account="partner:shop"),
        Buy(key="b", account="partner:shop", bytes=10_000 * MIB),
    )
    return bank


def pack(bank: MemoryBank, key: str, amount: int, **given: Any) -> None:
    """Let ann have a pack of August that carries over."""
    terms = RewardTerms(
        kind="pack", valid_from=CALENDAR.month_start("2015-08"),
        expires_at=CALENDAR.month_end("2015-08"), carries=True, **given,
    )  # fmt: skip
    bank.do(
        AwardOnTerms(key=key, account="partner:shop", subscriber="ann", bytes=amount, terms=terms)
    )
    bank.settle()


def close(bank: MemoryBank) -> None:
    bank.at(AFTER)
    bank.do(CloseMonth(key="c", account="ann", month="2015-08"))


def use(bank: MemoryBank, name: str, amount: int, group: str | None = None, at: str = NOON) -> None:
    bank.do(
        Usage(
            usage_id=name, account="ann", bytes=amount, occurred_at=CALENDAR.parse(at),
            rating_group=group,
        )
    )  # fmt: skip


def carried(bank: MemoryBank) -> dict[str, int]:
    """Return what ann has in lots that a close made."""
    lots = bank.account("ann").lots.values()
    return {lot.lot_id: lot.remaining for lot in lots if lot.source.type == "carry_over"}


def test_a_night_pack_carries_into_a_lot_of_the_night() -> None:
    bank = ann()
    pack(bank, "p", 5 * MIB, hours=NIGHT, giftable=True)
    close(bank)
    assert carried(bank) == {"carry:2015-08:any": 30 * MIB, "carry:2015-08:any@0-360": 5 * MIB}
    assert bank.account("ann").lots["carry:2015-08:any@0-360"].hours == NIGHT


def test_what_can_not_be_given_can_not_be_given_after_the_close_either() -> None:
    bank = ann()
    pack(bank, "p", 5 * MIB)
    close(bank)
    kept = bank.account("ann").lots["carry:2015-08:any:not_giftable"]
    assert (kept.remaining, kept.giftable) == (5 * MIB, False)


def test_a_voucher_can_always_be_given() -> None:
    bank = ann(CarryOver(mode="convert_to_voucher"))
    pack(bank, "p", 5 * MIB)
    close(bank)
    assert carried(bank) == {"voucher:2015-08:any": 35 * MIB}


def test_the_order_in_which_a_scope_is_written_makes_no_other_lot() -> None:
    bank = ann()
    for key, scope in enumerate((["a", "b"], ["b", "a"], ["a+b"])):
        pack(bank, str(key), MIB, scope=scope, giftable=True)
    close(bank)
    assert carried(bank) == {
        "carry:2015-08:any": 30 * MIB, "carry:2015-08:a+b": 2 * MIB, "carry:2015-08:a%2Bb": MIB,
    }  # fmt: skip


def test_a_cap_is_of_all_that_an_account_carries_in_the_order_of_use() -> None:
    bank = ann(CarryOver(mode="auto_extend", cap_bytes=20 * MIB))
    pack(bank, "p", 12 * MIB, scope=["didi"], giftable=True)
    close(bank)
    assert carried(bank) == {"carry:2015-08:didi": 12 * MIB, "carry:2015-08:any": 8 * MIB}
    assert bank.account("ann").expired == 22 * MIB


def test_a_cap_counts_what_another_mode_has_left() -> None:
    """Vouchers that last for months, and carry lots after the rule was changed, share it."""
    bank = ann(CarryOver(mode="convert_to_voucher", cap_bytes=20 * MIB, months=3))
    close(bank)
    for partition in bank.partitions:
        partition.rulebook = carrying(CarryOver(mode="auto_extend", cap_bytes=25 * MIB))
    bank.at("2015-10-01T06:00:00")
    bank.do(CloseMonth(key="c9", account="ann", month="2015-09"))
    assert carried(bank) == {"voucher:2015-08:any": 20 * MIB, "carry:2015-09:any": 5 * MIB}


def test_the_share_is_of_each_scopes_own_bytes() -> None:
    bank = ann(CarryOver(mode="auto_extend", share_percent=50))
    pack(bank, "p", 10 * MIB, scope=["didi"], giftable=True)
    close(bank)
    assert carried(bank) == {"carry:2015-08:any": 15 * MIB, "carry:2015-08:didi": 5 * MIB}


@pytest.mark.parametrize("left", [0, 3 * MIB])
@pytest.mark.parametrize("scope", ["any", ["didi"]])
@pytest.mark.parametrize("hours", [None, Hours(begins=600, ends=900)])
def test_a_reversal_after_the_close_goes_into_the_lot_that_its_rest_went_into(
    left: int, scope: str | list[str], hours: Hours | None
) -> None:
    bank = ann()
    use(bank, "plan", 30 * MIB)
    pack(bank, "p", 5 * MIB, scope=scope, hours=hours)
    use(bank, "u", 5 * MIB - left, "didi")
    close(bank)
    before = carried(bank)
    bank.do(Reverse(key="r", account="ann", usage_id="u", reason="test"))
    (name,) = carried(bank)
    lot = bank.account("ann").lots[name]
    assert (lot.remaining, lot.scope, lot.hours, lot.giftable) == (5 * MIB, scope, hours, False)
    assert before in ({}, {name: left})


def test_held_parts_that_depart_together_after_a_close_share_its_cap() -> None:
    bank = ann(CarryOver(mode="auto_extend", cap_bytes=20 * MIB))
    pack(bank, "p", 30 * MIB, giftable=True)
    bank.do(Hold(key="h", account="ann", bytes=60 * MIB, deadline="2015-09-05T00:00:00"))
    (hold_id,) = bank.account("ann").holds
    close(bank)
    bank.do(Post(key="p", account="ann", hold_id=hold_id, to="bob"))
    bank.settle()
    (moved,) = (event for event in bank.told(DataTransferred) if event.hold_id)
    alive = [leg.bytes for leg in moved.legs if leg.expires_at > bank.clock.at]
    assert sum(alive) == 20 * MIB
    assert bank.account("bob").expired == 40 * MIB
    assert sum(lot.granted for event in bank.told(DataReceived) for lot in event.lots
               if event.account == "bob") == 60 * MIB  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        CarryOver(mode="auto_extend"),
        CarryOver(mode="auto_extend", share_percent=50),
        CarryOver(mode="auto_extend", cap_bytes=20 * MIB),
        CarryOver(mode="convert_to_voucher", share_percent=50),
        CarryOver(),
    ],
)
@pytest.mark.parametrize("held", [30 * MIB, 12 * MIB])
def test_what_leaves_after_its_close_and_is_refused_is_as_if_it_had_been_released(
    rule: CarryOver, held: int
) -> None:
    ends = []
    for how in ("release", "post"):
        bank = ann(rule)
        bank.do(Hold(key="h", account="ann", bytes=held, deadline="2015-09-05T00:00:00"))
        (hold_id,) = bank.account("ann").holds
        close(bank)
        if how == "release":
            bank.do(Release(key="e", account="ann", hold_id=hold_id))
        else:
            bank.do(Post(key="e", account="ann", hold_id=hold_id, to="nobody"))
        bank.settle()
        late = Usage(usage_id="late", account="ann", bytes=MIB, occurred_at=CALENDAR.parse(NOON))
        (charged,) = bank.do(late)
        account = bank.account("ann")
        assert not any(account.carried_away.values())
        lots = {name: (lot.remaining, lot.kind, lot.giftable) for name, lot in account.lots.items()}
        ends.append((lots, account.expired, charged.unfunded_bytes))
        for partition in bank.partitions:
            check_carried(partition.events(), rule)
    assert ends[0] == ends[1]


TERMS = st.fixed_dictionaries(
    {
        "scope": st.sampled_from(SCOPES),
        "hours": st.sampled_from([None, *HOURS]),
        "giftable": st.booleans(),
    }
)
RULES = st.builds(
    CarryOver,
    mode=st.sampled_from(["auto_extend", "convert_to_voucher"]),
    share_percent=st.sampled_from([100, 67]),
    cap_bytes=st.none() | st.integers(1, 60 * MIB),
    months=st.integers(1, 3),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rule=RULES,
    packs=st.lists(st.tuples(TERMS, st.integers(1, 20 * MIB)), max_size=5),
    used=st.lists(
        st.tuples(st.sampled_from([None, "didi", "taxi"]), st.integers(1, 20 * MIB)), max_size=5
    ),
    held=st.none() | st.integers(1, 30 * MIB),
    undone=st.sets(st.integers(0, 4)),
)
def test_whatever_is_used_held_closed_and_reversed_bytes_stay_what_they_are_for(
    rule: CarryOver,
    packs: list[tuple[dict[str, Any], int]],
    used: list[tuple[str | None, int]],
    held: int | None,
    undone: set[int],
) -> None:
    bank = ann(rule)
    for number, (terms, amount) in enumerate(packs):
        pack(bank, f"p{number}", amount, **terms)
    for number, (group, amount) in enumerate(used):
        use(bank, f"u{number}", amount, group)
    if held:
        bank.do(Hold(key="h", account="ann", bytes=held, deadline="2015-09-05T00:00:00"))
    close(bank)
    for number in undone:
        bank.do(Reverse(key=f"r{number}", account="ann", usage_id=f"u{number}", reason="test"))
    for hold_id in bank.account("ann").holds:
        bank.do(Post(key="p", account="ann", hold_id=hold_id, to="bob"))
    bank.settle()
    bank.at("2015-10-01T06:00:00")
    bank.do(CloseMonth(key="c9", account="ann", month="2015-09"))
    assert bank.account("ann").balances()
    for partition in bank.partitions:
        check_carried(partition.events(), rule)
