"""The month that is measured: the real one where it lies, else a generated one of its shape."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from infra.cli.usage_file import COLUMNS, UsageFile, UsageRow, usage_row
from infra.generator import Generator
from services.ledger.domain.commands import Usage

CLOCK = "2015-09-01T12:00:00+08:00"
PLAN = "std-30mb"
MONTH = "2015-08"
ZONE = ZoneInfo("Asia/Shanghai")
CITIES = ("beijing", "guangzhou")
GENERATED_SUBSCRIBERS = 4_174
GENERATED_PER_DAY = 7_086
GENERATED_SEED = 2015
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Month:
    """Usage records in order of time."""

    usage: list[Usage]

    @property
    def subscribers(self) -> list[str]:
        """Every account once, in order of appearance."""
        return list(dict.fromkeys(record.account for record in self.usage))


def real_files() -> list[Path]:
    """Return the files of the real month, none where they are not at hand."""
    folder = Path(os.environ.get("DATABANK_DATA") or ROOT.parent / "shared" / "data")
    files = [folder / "unicom-2015-08" / f"{city}.csv.gz" for city in CITIES]
    return files if all(file.exists() for file in files) else []


def month_source() -> str:
    """Say which month is measured."""
    return "the real month" if real_files() else "a GENERATED month (DATABANK_DATA not set)"


def usage_files(folder: Path) -> list[Path]:
    """Return the month as files to import: the real ones, else one that is generated now."""
    if files := real_files():
        return files
    path = folder / "generated.csv"
    lines = [",".join(row) for row in (COLUMNS, *_generated_rows())]
    path.write_text("\n".join(lines) + "\n")
    return [path]


@cache
def month() -> Month:
    """Return the month's usable rows in order of time, repeated rows included."""
    files = real_files()
    rows = [row for file in files for row in _rows(file)] if files else list(_generated())
    usage = [
        Usage(usage_id=row.usage_id, account=row.subscriber, bytes=row.bytes,
              occurred_at=row.occurred_at)
        for row in rows
    ]  # fmt: skip
    usage.sort(key=lambda record: record.occurred_at)
    return Month(usage)


def _rows(path: Path) -> list[UsageRow]:
    file = UsageFile(path)
    try:
        return [row for row in file.rows(ZONE) if isinstance(row, UsageRow)]
    finally:
        file.close()


def _generated() -> Iterator[UsageRow]:
    for number, columns in enumerate(_generated_rows(), start=2):
        yield usage_row(columns, number, ZONE)


def _generated_rows() -> Iterator[list[str]]:
    generator = Generator(GENERATED_SEED)
    subscribers = generator.subscribers(GENERATED_SUBSCRIBERS)
    return generator.days(
        subscribers, date(2015, 8, 1), date(2015, 8, 31), per_day=GENERATED_PER_DAY
    )
