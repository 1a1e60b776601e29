"""Versions of the rules: which is in force, and what a put may say."""

import msgspec
import pytest

from services.ledger.domain.rules import RuleBook, Rules
from services.ledger.rulebooks import read_rules
from shared.errors import InvalidError
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
    ],
)
def test_rules_that_say_something_wrong_are_refused_with_the_place(change, pointer):
    with pytest.raises(InvalidError) as refused:
        read_rules({**DOCUMENT, **change})
    assert refused.value.extra["pointer"] == pointer


def test_the_number_and_the_time_in_a_file_are_not_needed():
    bare = {key: DOCUMENT[key] for key in ("plans", "order_of_use")}
    assert read_rules(bare).plans == FIRST.plans
