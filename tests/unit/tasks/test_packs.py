"""Packs, orders, pools and codes: what they give, what they refuse, and what they never change."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tasks.domain.catalogue import Pack, PackTerms, Price, Valid, read_pack
from services.tasks.domain.code import LENGTH, Code, code_hash, new_code
from services.tasks.domain.order import Order, Wish
from services.tasks.domain.pool import Below, Pool
from shared.calendar import Calendar
from shared.errors import InvalidError, RefusedError
from shared.ids import digest
from shared.sagas.aggregate import Meta

CALENDAR = Calendar("Asia/Shanghai")
NOW = CALENDAR.parse("2015-08-10T12:00:00")
META = Meta(now=NOW, actor="operator")
MIB = 1 << 20
DAY_MS = 86_400_000


def terms(**more) -> PackTerms:
    given = {"name": "p", "bytes": 10 * MIB, "prices": [{"from_day": "2015-08-01", "fen": 100}]}
    return read_pack(given | more)


def order(count: int = 3, day: str = "2015-08-10", **more) -> Order:
    pack = Pack.publish(terms(**more), 1, META)
    wish = Wish(order_id=digest("o").hex(), partner="didi", count=count)
    return Order.make(wish, pack, day, META)


def refusal(call, *arguments) -> str:
    with pytest.raises(RefusedError) as refused:
        call(*arguments)
    return refused.value.code


def test_a_price_counts_from_its_day_and_before_the_first_nothing_is_sold():
    prices = [{"from_day": "2015-08-01", "fen": 100}, {"from_day": "2015-09-01", "fen": 80}]
    assert order(day="2015-08-31", prices=prices).amount_fen == 300
    assert order(day="2015-09-01", prices=prices).amount_fen == 240
    with pytest.raises(RefusedError) as refused:
        order(day="2015-07-31", prices=prices)
    assert refused.value.code == "pack_not_on_sale"


def test_an_order_keeps_the_terms_and_amount_of_its_day_whatever_is_published_later():
    made = order()
    Pack.publish(terms(bytes=MIB, prices=[{"from_day": "2015-01-01", "fen": 1}]), 2, META)
    assert (made.amount_fen, made.bytes, made.terms.bytes) == (300, 30 * MIB, 10 * MIB)


@pytest.mark.parametrize(
    "document",
    [
        {"bytes": 0},
        {"prices": []},
        {"prices": [{"from_day": "2015-13-01", "fen": 1}]},
        {"prices": [{"from_day": "2015-02-01", "fen": 1}, {"from_day": "2015-01-01", "fen": 1}]},
        {"valid": {"days": 1, "months": 1}},
        {"valid": {}},
        {"grows_with": "drivers"},
        {"colour": "red"},
    ],
)
def test_a_pack_that_says_nonsense_is_refused(document):
    with pytest.raises(InvalidError):
        terms(**document)


UNUSABLE = [
    ({"scope": []}, "scope"),
    ({"scope": [""]}, "scope"),
    ({"scope": ["didi", "one\nline"]}, "scope"),
    ({"scope": ["any"]}, "scope"),
    ({"hours": {"begins": 360, "ends": 360}}, "hours"),
    ({"hours": {"begins": 1440, "ends": 0}}, "hours"),
    ({"carries": True, "valid": {"days": 7}}, "carries"),
]


@pytest.mark.parametrize(("document", "named"), UNUSABLE)
def test_a_pack_that_nobody_could_use_or_that_would_come_alive_again_is_not_put(document, named):
    with pytest.raises(InvalidError, match=f"`{named}`"):
        Pack.publish(terms(**document), 1, META)


@pytest.mark.parametrize(("document", "named"), UNUSABLE)
def test_a_pack_that_was_put_before_this_was_refused_can_still_be_read(document, named):
    stored = msgspec.to_builtins(terms(**document))
    assert msgspec.to_builtins(read_pack(stored)) == stored
    assert named in stored


@pytest.mark.parametrize(
    "document",
    [
        {"scope": ["didi", "taxi", "didi"]},
        {"hours": {"begins": 0, "ends": 1440}},
        {"hours": {"begins": 1380, "ends": 420}},
        {"hours": {"begins": 1440, "ends": 360}},
        {"carries": True, "valid": {"months": 0}},
        {"carries": True},
        {"valid": {"days": 7}},
    ],
)
def test_a_pack_that_can_be_used_is_put(document):
    assert Pack.publish(terms(**document), 1, META).number == 1


@pytest.mark.parametrize(
    ("effect", "valid", "begin", "end"),
    [
        ("now", Valid(months=0), "2015-08-10T12:00:00", "2015-09-01"),
        ("now", Valid(months=1), "2015-08-10T12:00:00", "2015-10-01"),
        ("now", Valid(days=2), "2015-08-10T12:00:00", "2015-08-12T12:00:00"),
        ("next_cycle", Valid(months=0), "2015-09-01", "2015-10-01"),
        ("next_cycle", Valid(days=1), "2015-09-01", "2015-09-02"),
    ],
)
def test_a_lot_begins_now_or_with_the_next_month_and_ends_as_its_validity_says(
    effect, valid, begin, end
):
    lot = terms(effect=effect, valid=msgspec.to_builtins(valid)).lot(NOW, CALENDAR)
    assert (lot.valid_from, lot.expires_at) == (CALENDAR.parse(begin), CALENDAR.parse(end))


def test_an_unpaid_order_gives_nothing_and_a_paid_one_no_more_than_it_has():
    made = order()
    assert refusal(made.check_gives, 1, 0) == "order_not_paid"
    assert made.pay(META)
    assert not made.pay(META)
    made.check_gives(3, 0)
    assert refusal(made.check_gives, 1, 3) == "inventory_empty"
    assert refusal(made.cancel, META) == "order_paid"


def test_a_cancelled_order_is_never_paid():
    made = order()
    assert made.cancel(META)
    assert not made.cancel(META)
    assert refusal(made.pay, META) == "order_cancelled"


def test_codes_need_an_end_that_is_to_come():
    made = order()
    made.pay(META)
    assert refusal(made.make_codes, "b", 2, 0, NOW, META) == "code_expiry_past"
    made.make_codes("b", 2, 0, NOW + 1, META)
    assert made.codes == 2
    made.expire_codes(1, META)
    assert made.codes == 1


@pytest.mark.parametrize(
    ("state", "now", "code"),
    [("locked", NOW, "code_used"), ("bound", NOW, "code_used"), ("expired", NOW, "code_expired"),
     ("made", NOW + 1, "code_expired")],
)  # fmt: skip
def test_a_code_is_used_once_and_in_time(state, now, code):
    found = Code(code_id="c", order_id="o", state=state, expires_at=NOW + 1)
    assert refusal(found.check_redeem, now) == code


def test_a_good_code_may_be_used_and_is_known_however_it_was_typed():
    Code(code_id="c", order_id="o", state="made", expires_at=NOW + 1).check_redeem(NOW)
    code = new_code()
    assert len(code.replace("-", "")) == LENGTH
    assert code_hash(code) == code_hash(f" {code.lower().replace('-', ' ')}")
    assert code_hash(code) != code_hash(new_code())


def pool(total: int = 2, **more) -> Pool:
    made = order(total, kind="pool", **more)
    made.pay(META)
    return Pool.open(made, META)


def below(amount: int) -> Below:
    return Below(pool_id=digest("child").hex(), title="east", bytes=amount)


def test_a_pool_gives_no_more_than_it_has_and_a_member_no_more_than_its_limit():
    made = pool(member_limit_bytes=5 * MIB)
    made.check_draw(5 * MIB, 15 * MIB, 0)
    assert refusal(made.check_draw, 5 * MIB, 0, 1) == "pool_member_limit"
    assert refusal(made.check_draw, 5 * MIB, 15 * MIB + 1, 0) == "pool_empty"


POOL: dict[str, Any] = {
    "scope": ["didi", "taxi"], "hours": {"begins": 0, "ends": 360},
    "valid": {"months": 1}, "grows_with": "drivers",
}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "differs"),
    [
        ({"scope": ["didi"]}, ["scope"]),
        ({"scope": "any"}, ["scope"]),
        ({"hours": None}, ["hours"]),
        ({"effect": "next_cycle"}, ["effect"]),
        ({"valid": {"days": 30}}, ["valid"]),
        ({"giftable": True}, ["giftable"]),
        ({"carries": True}, ["carries"]),
        ({"grows_with": None}, ["grows_with"]),
        ({"hours": None, "giftable": True, "scope": "any"}, ["scope", "hours", "giftable"]),
    ],
)
def test_a_pool_is_topped_up_only_with_bytes_on_its_own_terms(document, differs):
    made = pool(**POOL)
    with pytest.raises(RefusedError) as refused:
        made.check_top_up(terms(kind="pool", **POOL | document))
    assert (refused.value.code, refused.value.extra) == ("pool_terms_differ", {"differs": differs})
    assert all(name in refused.value.detail for name in differs)


def test_a_pack_of_another_name_size_and_price_may_top_a_pool_up():
    prices = [{"from_day": "2015-08-01", "fen": 1}]
    same = {"scope": ["taxi", "didi", "taxi"], "name": "q", "bytes": MIB, "prices": prices}
    pool(**POOL).check_top_up(terms(kind="pool", **POOL | same))


def test_the_alarm_sounds_once_until_the_pool_is_topped_up():
    made = pool(alarm_percent=20)
    assert not made.sound_alarm(16 * MIB - 1, META)
    assert made.sound_alarm(16 * MIB, META)
    assert not made.sound_alarm(17 * MIB, META)
    made.grow("o2", 10 * MIB, META)
    assert not made.sound_alarm(17 * MIB, META)
    assert made.sound_alarm(24 * MIB, META)


@given(st.lists(st.tuples(st.sampled_from("dgh"), st.integers(1, 30 * MIB)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_is_drawn_added_and_handed_down_no_pool_gives_more_than_was_paid(steps):
    made, drawn, paid, handed = pool(), 0, 20 * MIB, 0
    for kind, amount in steps:
        if kind == "g":
            made.grow("o", amount, META)
            paid += amount
        elif amount > paid - drawn - handed:
            assert refusal(made.check_draw, amount, drawn, 0) == "pool_empty"
            assert refusal(made.hand_down, below(amount), drawn, META) == "pool_empty"
        elif kind == "d":
            made.check_draw(amount, drawn, 0)
            drawn += amount
        else:
            handed += made.hand_down(below(amount), drawn, META).total_bytes
        assert made.total_bytes == paid - handed
        assert drawn + handed <= paid


def test_prices_are_read_as_they_are_written():
    assert terms().prices == [Price(from_day="2015-08-01", fen=100)]
