"""The bank's own rules of completions, over all campaigns; versioned and effective-dated.

What belongs to one task stands in its campaign's terms (`kinds`).
"""

from typing import Annotated

from msgspec import Meta

from services.tasks.domain.tasks.rewards import DAY_MS, MIB, Part
from shared.calendar import Calendar
from shared.contracts.offers import Amount
from shared.rulebook import Rulebook, read_rulebook

Days = Annotated[int, Meta(ge=1, le=366)]
Hours = Annotated[int, Meta(ge=1, le=31 * 24)]


class TaskRules(Part, frozen=True):
    """One version of the rules, in force from `effective_from` (ISO 8601, bank time).

    `free_bytes_per_month`: how much one subscriber earns at most in a month of the bank by tasks
    of all campaigns together, whoever told them; None is without a limit.
    A partner's event arrives within `arrive_within_hours` of happening, and within
    `attribution_days` of the entrance that led to it. What was paid is clawed back within
    `clawback_days`.
    """

    version: Annotated[int, Meta(ge=1)]
    effective_from: str
    free_bytes_per_month: Amount | None = 500 * MIB
    arrive_within_hours: Hours = 72
    attribution_days: Days = 30
    clawback_days: Days = 7

    @property
    def told_late_ms(self) -> int:
        """Return how long after its contract a partner has something to tell: the last clawback."""
        return self.arrive_within_hours * 3_600_000 + self.clawback_days * DAY_MS


BUILT_IN = TaskRules(version=1, effective_from="2000-01-01T00:00:00")


def built_in_rules() -> Rulebook[TaskRules]:
    """Return the book with the built-in version alone."""
    return Rulebook([(0, BUILT_IN)])


def read_rules(text: bytes, calendar: Calendar) -> Rulebook[TaskRules]:
    """Read a rules file's text. Raises InvalidError that says what is wrong and where."""
    return read_rulebook(text, TaskRules, calendar, "tasks")
