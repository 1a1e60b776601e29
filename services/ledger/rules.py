"""Reads the rules file: a list of versions, each in force from a bank time on."""

from itertools import pairwise
from pathlib import Path

import msgspec

from services.ledger.domain.rules import RuleBook, Rules
from shared.calendar import Calendar
from shared.errors import InvalidError
from shared.mistakes import explained

VERSIONS = list[Rules]
BUILT_IN = Path(__file__).with_name("rules.json")


def load_rules(path: Path, calendar: Calendar) -> RuleBook:
    """Read a rules file. Raises InvalidError that says what is wrong and where."""
    try:
        versions = msgspec.json.decode(path.read_bytes(), type=VERSIONS)
        dated = [(calendar.parse(rules.effective_from), rules) for rules in versions]
    except msgspec.ValidationError as error:
        text, place = explained(error, VERSIONS)
        raise InvalidError(f"the rules file {path} can't be used: {text}, at {place}") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise InvalidError(f"the rules file {path} can't be used: {error}") from error
    mistake = _mistake(dated)
    if mistake is not None:
        raise InvalidError(f"the rules file {path} can't be used: {mistake}")
    return RuleBook(dated)


def _mistake(dated: list[tuple[int, Rules]]) -> str | None:
    """Return what is wrong with the versions as a whole, None if nothing is."""
    if not dated:
        return "it needs at least one version"
    for (start, before), (next_start, rules) in pairwise(dated):
        if rules.version <= before.version:
            return f"version {rules.version} comes after {before.version}: they must be rising"
        if next_start <= start:
            return f"effective_from of version {rules.version} is not after that before it"
        gone = sorted(before.plans.keys() - rules.plans.keys())
        if gone:
            return f"version {rules.version} lacks plans that accounts may have: {', '.join(gone)}"
    return None
