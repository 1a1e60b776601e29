"""Versions of the rules: which is in force, and what a put may say."""

import typing

import msgspec
import pytest

from services.ledger.codec import decode_rules, encode
from services.ledger.domain.fees import FEE
from services.ledger.domain.rules import RuleBook, Rules
from services.ledger.domain.transfers import ARRIVING_KIND
from services.ledger.rulebooks import read_rules
from shared.contracts.ledger import LOT_KINDS
from shared.contracts.offers import RewardTerms
from shared.errors import InvalidError
from tests.support.gateway import PEOPLE, lived_bank
from tests.support.memory import RULEBOOK

FIRST = RULEBOOK.latest()


def version(number: int, **changes: object) -> Rules:
    return msgspec.structs.replace(FIRST, version=number, **changes)


def in_force(book: RuleBook, *instants: int) -> list[int]:
    return [book.at(instant).version for instant in instants]


def test_a_version_is_in_force_from_its_instant_on():
    book = RuleBook([(0, version(1)), (100, version(2))])
    assert in_force(book, -5, 0, 99, 100, 10**15) == [1, 1, 1, 2, 2]


def test_a_later_version_that_comes_earlier_replaces_one_that_is_still_to_come():
    book = RuleBook([(0, version(1)), (100, version(2)), (50, version(3))])
    assert in_force(book, 49, 50, 99, 100, 200) == [1, 3, 3, 3, 3]


def test_a_book_with_further_versions_keeps_its_own():
    book = RuleBook([(0, version(1))]).with_versions([(100, version(2))])
    assert in_force(book, 99, 100) == [1, 2]
    assert book.latest().version == 2


def test_a_plan_that_is_gone_is_remembered_as_it_was_last():
    gone = version(2, plans={"std-1gb": FIRST.plans["std-1gb"]})
    book = RuleBook([(0, version(1)), (100, gone)])
    assert book.plan("std-30mb", 200) == FIRST.plans["std-30mb"]
    assert book.plan("never-heard-of", 200) is None
    assert book.plan(None, 200) is None


DOCUMENT = msgspec.to_builtins(FIRST)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"plans": {}}, "$.plans"),
        ({"plans": {"p": {"bytes_per_month": 0}}}, "$.plans.p.bytes_per_month"),
        ({"unheard_of": 1}, "$"),
        ({"order_of_use": {"by": ["expiry", "expiry"], "kinds": []}}, "$.order_of_use.by"),
        ({"order_of_use": {"by": ["luck"], "kinds": []}}, "$.order_of_use.by[0]"),
        ({"order_of_use": {"by": [], "kinds": []}}, "$.order_of_use.by"),
        (
            {"order_of_use": {"by": ["kind"], "kinds": ["carry", "planet"]}},
            "$.order_of_use.kinds[1]",
        ),
        ({"thresholds": {"expiring_days": [7, 3, 7]}}, "$.thresholds.expiring_days"),
        ({"thresholds": {"plan_used_percent": [80, 80]}}, "$.thresholds.plan_used_percent"),
    ],
)
def test_rules_that_say_something_wrong_are_refused_with_the_place(change, pointer):
    with pytest.raises(InvalidError) as refused:
        read_rules({**DOCUMENT, **change})
    assert refused.value.extra["pointer"] == pointer


KINDS = "plan, pack, carry, voucher, gift, red_packet, reward, award, adjustment, fee"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (
            {"plans": {"p": {"bytes_per_month": 1, "carry_over": {"excluded_kinds": ["gfit"]}}}},
            f"'gfit' is none of {KINDS}, at $.plans.p.carry_over.excluded_kinds[0]",
        ),
        (
            {"order_of_use": {"by": ["kind"], "kinds": ["planet"]}},
            f"'planet' is none of {KINDS}, at $.order_of_use.kinds[0]",
        ),
        (
            {"order_of_use": {"by": ["luck"], "kinds": []}},
            "'luck' is none of directed, expiry, kind, oldest, at $.order_of_use.by[0]",
        ),
        (
            {"order_of_use": {"by": [], "kinds": []}},
            "it needs at least one of directed, expiry, kind, oldest, at $.order_of_use.by",
        ),
        (
            {"order_of_use": {"by": ["kind"], "kinds": ["plan", "gift", "plan"]}},
            "plan stands there more than once, at $.order_of_use.kinds",
        ),
        (
            {"thresholds": {"expiring_days": [7, 3, 7]}},
            "7 stands there more than once, at $.thresholds.expiring_days",
        ),
        (
            {"plans": {"p": {"bytes_per_month": 1, "carry_over": {"mode": "foo"}}}},
            "'foo' is none of auto_extend, convert_to_voucher, none, at $.plans.p.carry_over.mode",
        ),
        (
            {"arriving": {"pack": {}}},
            "'pack' is none of award, gift, red_packet, at $.arriving",
        ),
    ],
)
def test_a_wrong_word_is_told_with_the_right_ones(change, detail):
    with pytest.raises(InvalidError) as refused:
        read_rules({**DOCUMENT, **change})
    assert refused.value.detail == detail


def test_rules_that_were_put_before_words_were_checked_are_still_read():
    stored = {
        **DOCUMENT,
        "order_of_use": {"by": [], "kinds": ["planet"]},
        "thresholds": {"expiring_days": [3, 3], "plan_used_percent": [80, 80]},
    }
    assert encode(decode_rules(msgspec.json.encode(stored))) == msgspec.json.encode(
        msgspec.convert(stored, Rules)
    )


def test_the_kinds_that_rules_may_name_are_those_that_lots_have():
    promised = typing.get_args(typing.get_type_hints(RewardTerms)["kind"])
    made = {
        "plan",
        "pack",
        "adjustment",
        "carry",
        "voucher",
        FEE,
        *ARRIVING_KIND.values(),
        *promised,
    }
    assert made == set(LOT_KINDS)
    bank = lived_bank(1, steps=60)
    for name in PEOPLE:
        assert {lot.kind for lot in bank.account(name).lots.values()} <= set(LOT_KINDS)


def test_the_number_and_the_time_in_a_file_are_not_needed():
    bare = {key: DOCUMENT[key] for key in ("plans", "order_of_use")}
    assert read_rules(bare).plans == FIRST.plans
