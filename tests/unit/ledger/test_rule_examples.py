"""The rule files of docs/examples/rules, each lived through for three months."""

from typing import Literal

import pytest

from services.ledger.domain.commands import (
    AwardOnTerms,
    Buy,
    OpenAccount,
    Transfer,
)
from services.ledger.rules import load_rules
from shared.contracts.offers import RewardTerms
from tests.support.memory import CALENDAR
from tests.support.rule_stories import GIB, MIB, RULES, STORIES, MemoryWorld, Story

FILES = sorted(each.stem for each in RULES.glob("*.json"))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.rules)
def test_three_months_under_a_rule_file(story: Story) -> None:
    story.tell(MemoryWorld(story.rules, story.plan, story.starts))


def test_every_rule_file_has_its_three_months() -> None:
    assert sorted(story.rules for story in STORIES) == FILES


def test_in_china_gifts_and_dated_packs_do_not_carry_and_monthly_packs_do() -> None:
    world = MemoryWorld("china-2015-10", "std-100mb", "2015-10-01T00:00:00")
    world.bank.do(Transfer(key="g", account="bob", to="ann", bytes=5 * MIB))
    world.bank.settle()
    world.bank.do(
        Buy(key="monthly", account="ann", bytes=7 * MIB),
        Buy(key="dated", account="ann", bytes=9 * MIB, expires_at="2015-10-31T00:00:00"),
    )
    assert world.close("2015-10", "2015-11-01T06:00:00") == (107 * MIB, 14 * MIB)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.rules)
@pytest.mark.parametrize("kind", ["award", "reward"])
def test_what_somebody_got_carries_over_nowhere_whatever_was_promised(
    story: Story, kind: Literal["award", "reward"]
) -> None:
    world = MemoryWorld(story.rules, story.plan, "2015-08-01T00:00:00")
    bank = world.bank
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
    _, expired_bytes = world.close("2015-08", "2015-09-01T06:00:00")
    assert expired_bytes == 5 * MIB


def test_the_examples_exclude_every_kind_that_somebody_else_gave() -> None:
    for name in FILES:
        for plan in load_rules(RULES / f"{name}.json", CALENDAR).latest().plans.values():
            assert {"gift", "red_packet", "award", "reward"} <= set(plan.carry_over.excluded_kinds)


def test_at_t_mobile_the_stash_never_exceeds_twenty_gigabytes() -> None:
    world = MemoryWorld("t-mobile-data-stash", "simple-3gb", "2015-01-01T00:00:00")
    carried = [
        world.close(f"2015-{number:02d}", f"2015-{number + 1:02d}-01T06:00:00")[0]
        for number in range(1, 9)
    ]
    assert carried == [3 * GIB] * 6 + [2 * GIB, 0]
