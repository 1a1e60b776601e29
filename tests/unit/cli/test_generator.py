"""The made-up population: always the same, and shaped like real traffic."""

from collections import Counter
from datetime import date
from zoneinfo import ZoneInfo

from infra.cli.usage_file import COLUMNS, UsageRow, read_row
from infra.generator import Generator

FIRST, LAST = date(2026, 2, 26), date(2026, 3, 2)


def make(
    seed: int = 7, *, first: date = FIRST, last: date = LAST, per_day: int = 4_000
) -> list[list[str]]:
    generator = Generator(seed)
    return list(generator.days(generator.subscribers(500), first, last, per_day=per_day))


def test_the_same_seed_makes_the_same_rows_and_another_seed_others() -> None:
    assert make(per_day=50) == make(per_day=50)
    assert make(per_day=50) != make(8, per_day=50)


def test_a_day_is_the_same_whichever_days_are_around_it() -> None:
    day = date(2026, 2, 28)
    alone = make(first=day, last=day, per_day=50)
    assert alone == [row for row in make(per_day=50) if row[-1] == "20260228"]


def test_every_row_can_be_charged() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    for columns in make(per_day=200):
        assert len(columns) == len(COLUMNS)
        assert isinstance(read_row(",".join(columns).encode(), 2, zone), UsageRow), columns


def test_rows_come_in_order_of_time_within_the_days() -> None:
    starts = [row[1] for row in make(per_day=200)]
    assert starts == sorted(starts)
    assert starts[0].startswith("2026-02-26")
    assert starts[-1].startswith("2026-03-02")


def test_sizes_have_a_heavy_tail() -> None:
    sizes = sorted(int(row[3]) + int(row[4]) for row in make())
    median, mean = sizes[len(sizes) // 2], sum(sizes) / len(sizes)
    assert 500 < median < 2_000
    assert mean > 5 * median
    assert sum(sizes[-len(sizes) // 100 :]) > sum(sizes) / 2


def test_few_heavy_users_use_most() -> None:
    used: Counter[str] = Counter()
    for row in make():
        used[row[0]] += int(row[3]) + int(row[4])
    heaviest = sum(count for _, count in used.most_common(50))
    assert heaviest > 0.6 * used.total()


def test_evenings_are_busier_than_nights_and_hosts_are_many() -> None:
    rows = make()
    hours = Counter(row[1][11:13] for row in rows)
    assert hours["21"] > 5 * hours["04"]
    assert len({row[8] for row in rows}) > 5
