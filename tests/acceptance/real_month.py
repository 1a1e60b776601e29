"""The real month that acceptance tests live in: where its files are, and how it is imported."""

import csv
import gzip
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("DATABANK_DATA") or Path(__file__).parents[3] / "shared" / "data")
FILES = [str(DATA / "unicom-2015-08" / f"{city}.csv.gz") for city in ("beijing", "guangzhou")]
CLOCK = "2015-09-01T12:00:00+08:00"
IMPORT = ("import-usage", *FILES, "--open-accounts", "std-30mb", "--active-from", "2015-08")
ACCOUNTS = 4_174


def require_real_month() -> None:
    """The data are no part of the project; where CI runs they must be there."""
    missing = [path for path in FILES if not Path(path).is_file()]
    if missing and os.environ.get("CI"):
        pytest.fail(f"the real month is missing: {missing}; set DATABANK_DATA")
    if missing:
        pytest.skip(f"the real month is not here ({missing[0]}); set DATABANK_DATA to its folder")


def real_people() -> list[str]:
    """Return everybody whom the files name, sorted; the import opens no account for some."""
    people = set()
    for path in FILES:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            people |= {row[0] for row in rows if row}
    return sorted(people)
