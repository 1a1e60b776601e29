"""Every limit of a gift: in one order of precedence, each with how much or when instead."""

import re
from itertools import combinations
from typing import Any

import pytest

from services.gifting.domain import limits
from services.gifting.domain.checks import Facts, Part, Party, mb
from services.gifting.domain.fees import before_fee, fee_of
from services.gifting.domain.limits import Question, Used, largest_gift, refuse_gift
from services.gifting.domain.quote import price, quote_gift
from services.gifting.domain.rules import KIB, Allowance, Fee, Gifts
from tests.unit.gifting.world import CALENDAR, DEADLINE, MIB, NOW

GIB = 1024 * MIB
DAY_MS = 86_400_000
OPENED = CALENDAR.parse("2015-01-01")
TOMORROW = "2015-09-11T00:00:00+08:00"
NEXT_MONTH = "2015-10-01T00:00:00+08:00"

# The world in which a gift of 10 MB is allowed: what is asked, both accounts, what was counted.
WORLD: dict[str, dict[str, Any]] = {
    "asked": {"sender": "ann", "receiver": "bob", "amount": 10 * MIB, "now": NOW},
    "sender": {
        "account": "ann", "opened_at": OPENED, "plan_bytes": 100 * MIB,
        "available_bytes": 60 * MIB, "giftable_bytes": 50 * MIB,
    },
    "receiver": {"account": "bob", "opened_at": OPENED, "last_used_at": NOW - DAY_MS},
    "facts": {"legs": [Part(lot_id="plan:2015-09", bytes=10 * MIB, kind="plan", expires_at=1)]},
    "used": {},
    "rules": {},
}  # fmt: skip
GONE = {"is": None}
A_GIFT = Part(lot_id="gift:1", bytes=1, kind="gift", expires_at=1)
# The least change that provokes each refusal, in the order of precedence.
PROVOKED: list[tuple[str, dict[str, dict[str, Any]]]] = [
    ("same_account", {"asked": {"receiver": "ann"}}),
    ("amount_too_small", {"asked": {"amount": 9 * MIB}}),
    ("amount_step", {"asked": {"amount": 10 * MIB + 1}}),
    ("amount_too_large", {"asked": {"amount": 1025 * MIB}}),
    ("fee_exceeds_gift", {"rules": {"fee": Fee(mode="percent", percent=100, payer="receiver")}}),
    ("sender_not_found", {"sender": GONE}),
    ("sender_closed", {"sender": {"status": "closed"}}),
    ("sender_suspended", {"sender": {"status": "suspended"}}),
    ("sender_too_new", {"sender": {"opened_at": NOW - 30 * DAY_MS + 1}}),
    ("receiver_not_found", {"receiver": GONE}),
    ("receiver_closed", {"receiver": {"status": "closed"}}),
    ("receiver_suspended", {"receiver": {"status": "suspended"}}),
    ("receiver_inactive", {"receiver": {"last_used_at": NOW - 61 * DAY_MS}}),
    ("month_gifts_limit", {"used": {"month_count": 10}}),
    ("month_bytes_limit", {"rules": {"per_month": Allowance(10, 15 * MIB)},
                           "used": {"month_bytes": 6 * MIB}}),
    ("plan_share_limit", {"sender": {"plan_bytes": 19 * MIB}}),
    ("receiver_gifts_limit", {"used": {"receiver_month_count": 10}}),
    ("receiver_bytes_limit", {"used": {"receiver_month_bytes": 5111 * MIB}}),
    ("receiver_senders_limit", {"used": {"receiver_month_senders": 10}}),
    ("day_gifts_limit", {"used": {"day_count": 3}}),
    ("day_bytes_limit", {"used": {"day_bytes": 2039 * MIB}}),
    ("kind_not_given", {"facts": {"legs": [A_GIFT]}}),
    ("insufficient_data", {"sender": {"giftable_bytes": 9 * MIB, "available_bytes": 9 * MIB}}),
    ("regift_not_allowed", {"sender": {"giftable_bytes": 9 * MIB, "received_bytes": 2 * MIB}}),
    ("data_not_giftable", {"sender": {"giftable_bytes": 9 * MIB}}),
    ("sender_keeps", {"sender": {"available_bytes": 19 * MIB}}),
]  # fmt: skip
ORDER = [code for code, _ in PROVOKED]


def ask(*changes: dict[str, dict[str, Any]]) -> Question:
    world = {name: dict(values) for name, values in WORLD.items()}
    for change in changes:
        for name, values in change.items():
            world[name].update(values)
    rules = Gifts(**world["rules"])
    asked = world["asked"]
    parties: dict[str, Any] = {
        name: None if "is" in world[name] else Party(**world[name])
        for name in ("sender", "receiver")
    }
    return Question(
        price(asked["sender"], asked["receiver"], asked["amount"], asked["now"], rules),
        rules, CALENDAR, Facts(**parties, **world["facts"]), Used(**world["used"]),
    )  # fmt: skip


def code_of(question: Question) -> str | None:
    refusal = refuse_gift(question)
    return None if refusal is None else refusal.code


def test_a_gift_within_all_limits_is_allowed():
    assert refuse_gift(ask()) is None


def test_the_documented_order_is_the_order_that_is_tested():
    documented = re.findall(r"^\| \w+ +\| ([a-z_]+) +\|", str(limits.__doc__), re.MULTILINE)
    assert [code for code in documented if code != "code"] == ORDER


@pytest.mark.parametrize(("code", "change"), PROVOKED)
def test_each_limit_refuses_by_its_own_code_and_says_why(code, change):
    refusal = refuse_gift(ask(change))
    assert refusal is not None
    assert (refusal.code, bool(refusal.detail)) == (code, True)


@pytest.mark.parametrize("kind", ["plan", "award", "reward"])
def test_what_a_campaign_made_giftable_may_be_given_as_any_other(kind):
    part = Part(lot_id=f"{kind}:1", bytes=1, kind=kind, expires_at=1)
    assert refuse_gift(ask({"facts": {"legs": [part]}})) is None


def agree(first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]) -> bool:
    """Say whether both changes can be true at once."""
    return not any(
        first[name].keys() & second[name].keys() or GONE in (first[name], second[name])
        for name in first.keys() & second.keys()
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param(first, second, id=f"{first[0]}-{second[0]}")
        for first, second in combinations(PROVOKED, 2)
        if agree(first[1], second[1])
    ],
)
def test_of_two_limits_the_one_that_is_first_in_the_table_answers(earlier, later):
    assert code_of(ask(earlier[1], later[1])) == earlier[0]


@pytest.mark.parametrize(
    ("change", "extra"),
    [
        ({"asked": {"amount": MIB}}, {"least_bytes": 10 * MIB}),
        ({"asked": {"amount": 10 * MIB + 1}}, {"step_bytes": MIB}),
        ({"asked": {"amount": 2 * GIB}}, {"allowed_bytes": GIB}),
        ({"sender": {"opened_at": NOW}}, {"allowed_from": "2015-10-10T12:00:00+08:00"}),
        ({"used": {"day_count": 3}},
         {"allowed_bytes": 0, "limit": 3, "allowed_from": TOMORROW}),
        ({"used": {"month_count": 10, "day_count": 3}},
         {"allowed_bytes": 0, "limit": 10, "allowed_from": NEXT_MONTH}),
        # Tomorrow the receiver is given nothing either.
        ({"used": {"receiver_month_count": 10, "day_count": 3}},
         {"allowed_bytes": 0, "limit": 10, "allowed_from": NEXT_MONTH}),
        ({"asked": {"amount": 40 * MIB}, "used": {"month_bytes": 20 * MIB}},
         {"allowed_bytes": 30 * MIB, "allowed_from": NEXT_MONTH}),
        # More than the plan's share is allowed in no month.
        ({"asked": {"amount": 51 * MIB}}, {"allowed_bytes": 50 * MIB}),
        ({"asked": {"amount": 20 * MIB}, "rules": {"per_day": Allowance(3, 32 * MIB)},
          "used": {"day_bytes": 16 * MIB + 5}},
         {"allowed_bytes": 15 * MIB, "allowed_from": TOMORROW}),
        ({"sender": {"giftable_bytes": 5 * MIB, "available_bytes": 5 * MIB}}, {"allowed_bytes": 0}),
        ({"asked": {"amount": 51 * MIB}, "sender": {"plan_bytes": GIB, "giftable_bytes": 60 * MIB}},
         {"allowed_bytes": 50 * MIB}),
    ],
)  # fmt: skip
def test_a_refusal_says_how_much_is_allowed_or_from_when_on(change, extra):
    refusal = refuse_gift(ask(change))
    assert refusal is not None
    assert refusal.extra == extra


@pytest.mark.parametrize(
    ("change", "at_the_limit"),
    [
        ("month_count", 9), ("day_count", 2), ("receiver_month_count", 9),
        ("day_bytes", 2038 * MIB), ("receiver_month_bytes", 5110 * MIB),
        ("receiver_month_senders", 9), ("month_bytes", 40 * MIB),
    ],
)  # fmt: skip
def test_a_limit_is_reached_by_the_gift_that_still_fits(change, at_the_limit):
    assert code_of(ask({"used": {change: at_the_limit}})) is None
    assert code_of(ask({"used": {change: at_the_limit + 1}})) is not None


def test_who_gave_to_the_receiver_this_month_is_no_further_sender():
    used = {"receiver_month_senders": 10, "receiver_knows_sender": True}
    assert refuse_gift(ask({"used": used})) is None


def test_what_the_sender_keeps_is_counted_after_a_fee_on_top():
    change = {"sender": {"available_bytes": 20 * MIB}}
    assert code_of(ask(change)) is None
    assert code_of(ask(change, {"rules": {"fee": Fee(mode="fixed", bytes=1)}})) == "sender_keeps"
    payer = {"rules": {"fee": Fee(mode="fixed", bytes=1, payer="receiver")}}
    assert code_of(ask(change, payer)) is None


def test_days_and_months_are_the_banks_own():
    just_before = CALENDAR.parse("2015-09-30T23:59:59")
    refusal = refuse_gift(ask({"asked": {"now": just_before}, "used": {"day_count": 3},
                               "receiver": {"last_used_at": None}}))  # fmt: skip
    assert refusal is not None
    assert refusal.extra["allowed_from"] == NEXT_MONTH


def test_while_the_ledger_is_away_only_what_needs_no_facts_is_checked():
    question = ask({"sender": {"status": "closed"}, "used": {"day_count": 3}})
    away = Question(question.asked, question.rules, CALENDAR, None, question.used)
    assert code_of(question) == "sender_closed"
    assert code_of(away) == "day_gifts_limit"
    assert code_of(Question(question.asked, question.rules, CALENDAR)) is None


def test_what_else_the_ledger_refuses_keeps_its_own_code():
    question = ask({"facts": {"code": "account_frozen", "detail": "no", "extra": {"a": 1}}})
    refusal = refuse_gift(question)
    assert refusal is not None
    assert (refusal.code, refusal.detail, refusal.extra) == ("account_frozen", "no", {"a": 1})


def test_limits_that_are_switched_off_refuse_nothing():
    none = Allowance()
    free = Gifts(
        per_day=none, per_month=none, receiver_per_month=none, plan_share_percent=None,
        receiver_senders_per_month=None, receiver_active_days=None, sender_keeps_bytes=0,
        sender_age_days=0,
    )  # fmt: skip
    question = ask(
        {"used": {"day_count": 99, "month_count": 99, "month_bytes": GIB, "day_bytes": GIB,
                  "receiver_month_senders": 99, "receiver_month_count": 99},
         "sender": {"plan_bytes": 0, "opened_at": NOW, "available_bytes": 50 * MIB},
         "receiver": {"last_used_at": 0}}
    )  # fmt: skip
    asked = price("ann", "bob", 50 * MIB, NOW, free)
    assert refuse_gift(Question(asked, free, CALENDAR, question.facts, question.used)) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 MB"), (1, "1 bytes"), (KIB, "1 KB"), (KIB + 1, "1025 bytes"), (MIB, "1 MB"),
     (10 * MIB + MIB // 2, "10.5 MB"), (1 << 30, "1024 MB")],
)  # fmt: skip
def test_small_amounts_are_not_told_as_nothing(amount, text):
    assert mb(amount) == text


@pytest.mark.parametrize("payer", ["sender", "receiver"])
@pytest.mark.parametrize(
    "fee", [("none", 0, 0), ("fixed", 3, 0), ("percent", 0, 7), ("percent", 0, 100)]
)
def test_the_largest_gift_before_a_fee_is_the_largest(fee, payer):
    mode, fixed, percent = fee
    rule = Fee(mode=mode, bytes=fixed, percent=percent, payer=payer)
    for departs in range(10, 400):
        amount = before_fee(rule, departs)
        on_top = (0, 0) if payer == "receiver" else (fee_of(rule, amount), fee_of(rule, amount + 1))
        assert amount + on_top[0] <= departs < amount + 1 + on_top[1]


def test_the_largest_gift_is_allowed_and_one_step_more_is_not():
    rule = {"fee": Fee(mode="percent", percent=10)}
    question = ask({"asked": {"amount": 500 * MIB}, "sender": {"plan_bytes": GIB}, "rules": rule})
    largest = largest_gift(question)
    assert largest == 45 * MIB
    change: dict[str, dict[str, Any]] = {"sender": {"plan_bytes": GIB}, "rules": rule}
    assert code_of(ask(change, {"asked": {"amount": largest}})) is None
    assert code_of(ask(change, {"asked": {"amount": largest + MIB}})) is not None


def test_a_quote_says_what_leaves_what_arrives_and_until_when():
    fee = Fee(mode="fixed", bytes=MIB, payer="receiver")
    quote = quote_gift(ask({"rules": {"fee": fee}}), waits=True)
    assert (quote.departs_bytes, quote.arrives_bytes, quote.fee_bytes) == (10 * MIB, 9 * MIB, MIB)
    assert (quote.accept_until, quote.code, quote.is_complete) == (DEADLINE, None, True)
    assert quote.legs[0].lot_id == "plan:2015-09"
    assert quote.allowed_bytes == 50 * MIB


def test_a_quote_names_what_stands_against_the_gift():
    question = ask({"used": {"day_count": 3}})
    quote = quote_gift(question, waits=False)
    assert (quote.code, quote.allowed_bytes, quote.accept_until) == ("day_gifts_limit", 0, 0)
    assert quote.extra["allowed_from"] == TOMORROW
    away = Question(question.asked, question.rules, CALENDAR, None, question.used)
    assert quote_gift(away, waits=False).is_complete is False
