"""The bank's calendar, in whatever order it is asked."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from shared.calendar import MONTHS_MAX, Calendar, add_months

ZONES = st.sampled_from(["Asia/Shanghai", "America/New_York", "Asia/Kathmandu"])
INSTANTS = st.integers(0, 4_000_000_000_000)


@given(zone=ZONES, instants=st.lists(INSTANTS, max_size=20))
def test_an_instants_month_is_the_same_whatever_was_asked_before(zone: str, instants: list[int]):
    calendar = Calendar(zone)
    for at in instants + instants[::-1]:
        told = datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).strftime("%Y-%m")
        assert calendar.month_of(at) == told


def test_a_month_begins_where_the_one_before_ends_for_more_months_than_are_remembered() -> None:
    calendar = Calendar("Asia/Shanghai")
    month = "2015-08"
    for _ in range(3 * MONTHS_MAX):
        begins = calendar.month_start(month)
        assert calendar.month_of(begins - 1) == add_months(month, -1)
        assert calendar.month_of(begins) == month
        month = add_months(month, 1)
