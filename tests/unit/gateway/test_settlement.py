"""What a day costs: prices, rounding, and the file."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.settlement import (
    GIB,
    NO_PRICE,
    Price,
    amount_fen,
    price_of,
    settlement_csv,
    settlement_document,
)

MIDNIGHT = 1_000
LINE = {
    "campaign": "campaign:ride", "kind": "sponsored", "rating_group": "didi", "bytes": GIB,
    "count": 2, "subscribers": 1,
}  # fmt: skip


@given(st.integers(-(10**18), 10**18), st.integers(0, 10**6))
def test_an_amount_is_rounded_half_to_even(amount: int, fen: int) -> None:
    assert amount_fen(amount, fen) == round(Fraction(amount * fen, GIB))


@pytest.mark.parametrize(("amount", "fen"), [(GIB // 2, 0), (3 * GIB // 2, 2), (5 * GIB // 2, 2)])
def test_a_half_goes_to_the_even_fen(amount: int, fen: int) -> None:
    assert amount_fen(amount, 1) == fen
    assert amount_fen(-amount, 1) == -fen


def test_the_price_of_a_day_was_set_before_the_day_was_over() -> None:
    old = Price(1, "2015-08-01", 10, {"award": 100})
    new = Price(2, "2015-08-10", 20, {"award": 200})
    late = Price(3, "2015-08-10", MIDNIGHT, {"award": 300})
    prices = [late, new, old]
    assert price_of(prices, "2015-08-09", MIDNIGHT) == old
    assert price_of(prices, "2015-08-10", MIDNIGHT) == new
    assert price_of(prices, "2015-08-10", MIDNIGHT + 1) == late
    assert price_of(prices, "2015-07-31", MIDNIGHT) == NO_PRICE


def test_the_file_has_a_line_for_each_group_whatever_the_order_in_which_they_are_found() -> None:
    price = Price(3, "2015-08-01", 10, {"sponsored": 250, "award": 100})
    award = LINE | {"kind": "award", "rating_group": "", "bytes": -GIB, "count": 0}
    asp_ids = {"campaign:ride": "asp,7"}
    texts = {
        settlement_csv(
            settlement_document("partner:didi", "2015-08-10", lines, price, "s-1", asp_ids)
        )
        for lines in ([LINE, award], [award, LINE])
    }
    file = (
        "day,campaign,rating_group,sponsor_id,asp_id,bytes,count,price_version,amount_fen\n"
        '2015-08-10,campaign:ride,(award),s-1,"asp,7",-1073741824,0,3,-100\n'
        '2015-08-10,campaign:ride,didi,s-1,"asp,7",1073741824,2,3,250\n'
    )
    assert texts == {file}
