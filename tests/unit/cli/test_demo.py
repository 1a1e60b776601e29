"""The demo's story follows from its seed and the clock's day."""

from datetime import date
from zoneinfo import ZoneInfo

from infra.cli.demo import make_story
from shared.calendar import Calendar

ZONE = "Asia/Shanghai"
NOON = Calendar(ZONE).parse("2026-03-05T12:00")
HOUR = 3_600_000


def test_usage_goes_from_last_month_to_yesterday() -> None:
    story = make_story(1, NOON, ZONE)
    assert (story.first, story.last) == (date(2026, 2, 1), date(2026, 3, 4))
    first_of_month = Calendar(ZONE).parse("2026-03-01T00:30")
    assert make_story(1, first_of_month, ZONE).last == date(2026, 2, 28)


def test_later_on_the_same_day_the_story_is_the_same() -> None:
    story, later = make_story(1, NOON, ZONE), make_story(1, NOON + 6 * HOUR, ZONE)
    zone = ZoneInfo(ZONE)
    assert story.openings() == later.openings()
    assert story.movements() == later.movements()
    assert list(story.usage(zone)) == list(later.usage(zone))


def test_every_command_has_a_key_of_its_own_on_its_account() -> None:
    story = make_story(1, NOON, ZONE)
    commands = [*story.openings(), *story.fundings(), *story.movements()]
    keys = {(command["account"], command["key"]) for command in commands}
    assert len(keys) == len(commands)


def test_awards_stay_within_what_campaigns_hold() -> None:
    story = make_story(1, NOON, ZONE)
    budgets = {each["campaign"]: each["bytes"] for each in story.fundings()}
    for command in story.movements():
        if command["type"] == "award":
            budgets[command["account"]] -= command["bytes"]
    assert min(budgets.values()) > 0


def test_the_demos_usage_has_exactly_the_rows_it_announces() -> None:
    story = make_story(1, NOON, ZONE)
    assert sum(1 for _ in story.usage(ZoneInfo(ZONE))) == story.usage_rows
