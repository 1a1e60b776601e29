"""Reads files that name people: CSV with a header, JSON lines, or one a line."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from infra.cli.output import CliError

COLUMN = "subscriber"


def read_people(file: Path) -> list[str]:
    """Return the column `subscriber`, row by row, as it is written. Raises CliError.

    A CSV file without such a header has one person a line; JSON lines are objects or texts.
    """
    try:
        lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CliError("invalid_file", f"{file} can't be read: {error}") from error
    if lines and lines[0].lstrip()[:1] in {"{", '"'}:
        return [_of_json(file, number, line) for number, line in enumerate(lines, start=1)]
    rows = list(csv.reader(lines))
    if rows and COLUMN in rows[0]:
        place = rows[0].index(COLUMN)
        return [row[place] if len(row) > place else "" for row in rows[1:]]
    return [row[0] if row else "" for row in rows]


def _of_json(file: Path, number: int, line: str) -> str:
    try:
        found: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise CliError("invalid_file", f"{file}, line {number} is no JSON: {error}") from error
    return str(found.get(COLUMN, "") if isinstance(found, dict) else found)


def batches(rows: list[str], size: int) -> Iterator[tuple[int, list[str]]]:
    """Yield where each batch begins, and its rows."""
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]
