"""Reads the rules file: a list of versions, each in force from a bank time on."""

from pathlib import Path

import msgspec

from services.ledger.domain.rules import RuleBook, Rules
from shared.calendar import Calendar
from shared.errors import InvalidError

BUILT_IN = Path(__file__).with_name("rules.json")


def load_rules(path: Path, calendar: Calendar) -> RuleBook:
    """Read a rules file. Raises InvalidError that says what is wrong and where."""
    try:
        versions = msgspec.json.decode(path.read_bytes(), type=list[Rules])
        dated = [(calendar.parse(rules.effective_from), rules) for rules in versions]
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise InvalidError(f"the rules file {path} can't be used: {error}") from error
    numbers = [rules.version for rules in versions]
    if not versions or sorted(set(numbers)) != numbers:
        raise InvalidError(f"the rules file {path} needs versions in rising order, each once")
    return RuleBook(dated)
