"""docs/errors.md is true: each row can be provoked, in this order, and no refusal is missing."""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from services.ledger.domain.commands import PUBLIC
from services.ledger.outcomes import RETRY
from tests.unit.ledger.refusals import (
    ANY,
    ARRIVAL,
    CHANGES,
    FORGOTTEN,
    USAGE,
    WELL,
    Change,
    known_key,
    newer,
    provoke,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "errors.md").read_text()
LEDGER = ROOT / "services" / "ledger"
SOURCES = [
    *sorted((LEDGER / "domain").glob("*.py")),
    *(LEDGER / name for name in ("batch.py", "items.py", "sponsors.py")),
]
# Codes that are named, since more than one module needs them.
NAMED = {"RETRY": RETRY}
COMMANDS = {str(command.__struct_config__.tag): command for command in PUBLIC}


@dataclass(frozen=True)
class Row:
    """A row of the table; `status` is 0 where it has none."""

    command: str
    code: str
    detail: str
    extra: frozenset[str]
    status: int


def _row(line: str) -> Row:
    command, code, _, detail, extra, status = (cell.strip() for cell in line.strip("|").split("|"))
    return Row(
        command.strip("`"), code.strip("`"), detail.strip("`"),
        frozenset(re.findall(r"`(\w+)`", extra)), int(status.replace("-", "0")),
    )  # fmt: skip


TABLE = PAGE.partition("| --- | --- | --- | --- | --- | --- |\n")[2].partition("\n\n")[0]
ROWS = [_row(line) for line in TABLE.splitlines()]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command}-{row.code}")


def codes_of(command: str) -> list[str]:
    return [row.code for row in ROWS if row.command == command]


def change_of(row: Row, command: str) -> Change:
    """Return how a command is made to break a row's rule. Raises KeyError for one without a way."""
    if row.command != ANY:
        return CHANGES[command, row.code]
    ways = {"conflict": known_key(command), "newer_version": newer(command)}
    return (ways | {"plan_unknown": FORGOTTEN})[row.code]


def commands_of(row: Row) -> list[str]:
    """Return the commands that can break a row's rule."""
    if row.command != ANY:
        return [row.command]
    if row.code == "plan_unknown":
        return sorted(set(COMMANDS) - {"fund", "award"})
    return sorted(COMMANDS)


def rows_of(command: str) -> list[Row]:
    return [row for row in ROWS if command in commands_of(row)]


def can_be_broken_together(first: Row, second: Row) -> bool:
    """Say whether one command can break both.

    No month's lot is due on an account that ended; an offer asks a quota within its caps only.
    """
    if first.code == RETRY:
        return False
    if first.code == "newer_version":
        return second.code != "account_not_found"
    if first.command == ANY and first.code == "plan_unknown":
        return second.code not in ("account_closed", "account_not_found", "conflict")
    return True


@pytest.mark.parametrize("command", [name for name in WELL if name != ARRIVAL])
def test_where_nothing_is_wrong_a_command_is_done(command):
    assert provoke(command, []).status == "done"


@each_row
def test_a_refusal_is_provoked_and_says_what_the_table_says(row):
    for command in commands_of(row):
        outcome = provoke(command, [change_of(row, command)])
        assert outcome.code == row.code, command
        if row.command == ARRIVAL:
            continue
        assert outcome.status == ("retry" if row.code == RETRY else "refused")
        assert re.fullmatch(re.escape(row.detail).replace("…", ".+"), outcome.detail)
        assert set(outcome.extra) == row.extra


@pytest.mark.parametrize("command", WELL)
def test_of_two_broken_rules_the_first_in_the_table_is_the_answer(command):
    for first, second in combinations(rows_of(command), 2):
        if can_be_broken_together(first, second):
            changes = [change_of(second, command), change_of(first, command)]
            assert provoke(command, changes).code == first.code, (first.code, second.code)


@pytest.mark.parametrize("command", WELL)
def test_of_all_rules_broken_at_once_the_first_in_the_table_is_the_answer(command):
    own = [row for row in ROWS if row.command == command]
    for place, first in enumerate(own):
        changes = [change_of(row, command) for row in reversed(own[place:])]
        assert provoke(command, changes).code == first.code


def test_each_row_has_one_way_to_provoke_it_and_each_way_its_row():
    own = [(row.command, row.code) for row in ROWS if row.command != ANY]
    assert len(own) == len(set(own))
    assert set(own) == set(CHANGES)
    assert codes_of(ANY) == ["conflict", "newer_version", "plan_unknown"]


def test_every_command_is_in_the_table():
    assert {row.command for row in ROWS} == {*COMMANDS, ANY, USAGE, ARRIVAL}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_order_of_a_command_is_that_of_its_docstring(command):
    promised = re.search(r"Refusals, in order: ([\w,\s]+)\.", COMMANDS[command].__doc__ or "")
    assert promised
    assert codes_of(command) == re.findall(r"\w+", promised.group(1))


def refusals_in_code() -> dict[str, set[int]]:
    """Return every code that the ledger's decisions refuse with, and its statuses."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RefusedError":
                code, _, *status = node.args
                name = NAMED[code.id] if isinstance(code, ast.Name) else ast.literal_eval(code)
                found[name].add(ast.literal_eval(status[0]) if status else 422)
    return found


def arrivals_refused_in_code() -> set[str]:
    """Return every code with which the arrival of a transfer is refused."""
    tree = ast.parse((LEDGER / "domain" / "transfers.py").read_text())
    decision = next(node for node in ast.walk(tree) if getattr(node, "name", "") == "_refusal")
    returned = [node.value for node in ast.walk(decision) if isinstance(node, ast.Return)]
    return {ast.literal_eval(value) for value in returned if value is not None} - {None}


def test_every_refusal_of_the_code_has_a_row_and_its_status():
    documented: dict[str, set[int]] = defaultdict(set)
    for row in ROWS:
        if row.command != ARRIVAL:
            documented[row.code].add(row.status)
    assert documented == refusals_in_code()
    assert set(codes_of(ARRIVAL)) == arrivals_refused_in_code()


def test_every_field_of_extra_is_explained_and_no_other():
    explained = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert explained == sorted({name for row in ROWS for name in row.extra})
