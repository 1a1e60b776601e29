"""Rules are data: plans, order of use and carry-over, versioned and effective-dated."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from services.ledger.domain.lots import Lot
from shared.contracts.ledger import ANY_SCOPE, Leg, Thresholds

AMOUNT_MAX = 2**53 - 1
WHOLE_PERCENT = 100

T = TypeVar("T")

Criterion = Literal["directed", "expiry", "kind", "oldest"]
CRITERIA: tuple[str, ...] = get_args(Criterion)
# The thresholds that are lists: each value is a mark of its own.
LISTS = ("plan_used_percent", "expiring_days")
Percent = Annotated[int, Meta(ge=0, le=100)]
Bytes = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]


class CarryOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a month's close does with what is left of a plan's lots.

    `auto_extend` makes a carry lot that is valid for `months` months after the closed one;
    `convert_to_voucher` a giftable voucher. Of what may carry (not the `excluded_kinds`) at most
    `share_percent` does, and together with what earlier closes left never more than `cap_bytes`.
    """

    mode: Literal["none", "auto_extend", "convert_to_voucher"] = "none"
    share_percent: Percent = 100
    cap_bytes: Bytes | None = None
    months: Annotated[int, Meta(ge=1, le=36)] = 1
    excluded_kinds: list[str] = []

    def may_carry(self, lot: Lot | Leg) -> bool:
        """Say whether a lot may carry over at all."""
        return self.mode != "none" and lot.carries and lot.kind not in self.excluded_kinds

    @property
    def is_limited(self) -> bool:
        """Say whether of what may carry over a part may be left behind."""
        return self.share_percent < WHOLE_PERCENT or self.cap_bytes is not None


class Arriving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On which terms transferred bytes arrive: as they left, or with a new expiry.

    `later_of_two`: the giver's lot's or the receiver's latest lot of the kind; `fixed`: `days`
    from the arrival; `end_of_month`: with the month of the arrival.
    """

    terms: Literal["preserve", "later_of_two", "fixed", "end_of_month"] = "preserve"
    days: Annotated[int, Meta(ge=1, le=3660)] = 30


def repeated(values: Sequence[T]) -> T | None:
    """Return the first of the values that stands there more than once."""
    return next((value for value in values if values.count(value) > 1), None)


class RulesThresholds(Thresholds, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Thresholds as the rules have them: what nobody knows is refused.

    In a stored event an unknown field is one of a newer version, and is read over. A value that
    stands twice in rules of an earlier version is read, and told once.
    """


class GivenThresholds(RulesThresholds, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Thresholds as a command gives them to an account: each stands once, else ValueError."""

    def __post_init__(self) -> None:
        for name in LISTS:
            twice = repeated(getattr(self, name))
            if twice is not None:
                msg = f"{name} has {twice} more than once"
                raise ValueError(msg)


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan grants `bytes_per_month` at the start of each calendar month."""

    bytes_per_month: Bytes
    carry_over: CarryOver = CarryOver()


class OrderOfUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what lots are put in order; `kinds` ranks them, the first is used first."""

    by: list[Criterion]
    kinds: list[str]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of the rules, in force from `effective_from` (ISO 8601, bank time)."""

    version: Annotated[int, Meta(ge=1)]
    effective_from: str
    plans: dict[str, Plan]
    order_of_use: OrderOfUse
    purchase_valid_months: Annotated[int, Meta(ge=1, le=120)] = 12
    arriving: dict[Literal["gift", "red_packet", "award"], Arriving] = {}
    thresholds: RulesThresholds = RulesThresholds()

    def in_order(self, lots: list[Lot]) -> list[Lot]:
        """Return the lots in the order of use."""
        if len(lots) <= 1:
            return lots
        return sorted(lots, key=_place(tuple(self.order_of_use.by), tuple(self.order_of_use.kinds)))


@lru_cache
def _place(by: tuple[Criterion, ...], kinds: tuple[str, ...]) -> Callable[[Lot], list[int | str]]:
    """Return the function that gives a lot's place; made once, it is asked for every account."""
    ranks = {kind: rank for rank, kind in enumerate(kinds)}
    last = len(ranks)
    values: dict[Criterion, Callable[[Lot], int]] = {
        "directed": lambda lot: lot.scope == ANY_SCOPE,
        "expiry": lambda lot: lot.expires_at,
        "kind": lambda lot: ranks.get(lot.kind, last),
        "oldest": lambda lot: lot.granted_at,
    }
    chosen = [values[criterion] for criterion in by]
    return lambda lot: [*[value(lot) for value in chosen], lot.lot_id]


class RuleBook:
    """All versions of the rules, found by the instant at which they are in force.

    A version is in force from its instant on, until a later version is: a higher number wins, so
    that a version that is not yet in force can be replaced before its time.
    """

    def __init__(self, versions: list[tuple[int, Rules]]) -> None:
        self.versions = sorted(versions, key=lambda item: item[1].version)
        kept: list[tuple[int, Rules]] = []
        for start, rules in reversed(self.versions):
            if not kept or start < kept[-1][0]:
                kept.append((start, rules))
        self._in_turn = kept[::-1]
        self._starts = [start for start, _ in self._in_turn]

    def with_versions(self, versions: list[tuple[int, Rules]]) -> "RuleBook":
        """Return a book that has further versions; one of a number that is here replaces it."""
        numbers = {rules.version for _, rules in versions}
        kept = [each for each in self.versions if each[1].version not in numbers]
        return RuleBook(kept + versions)

    def at(self, instant: int) -> Rules:
        """Return the rules in force; before the first version, the first."""
        index = bisect_right(self._starts, instant) - 1
        return self._in_turn[max(index, 0)][1]

    def latest(self) -> Rules:
        """Return the last version."""
        return self.versions[-1][1]

    def plan(self, name: str | None, instant: int) -> Plan | None:
        """Return a plan as the rules in force have it, else as the last version that had it.

        A plan that somebody is on is never removed, but one may choose it in the last moment.
        """
        found = self.at(instant).plans.get(name or "")
        if found is None:
            for _, rules in self.versions:
                found = rules.plans.get(name or "", found)
        return found

    def carry_over(self, plan: str | None, instant: int) -> CarryOver:
        """Return a plan's carry-over; where there is no plan, nothing carries over."""
        found = self.plan(plan, instant)
        return CarryOver() if found is None else found.carry_over

    def is_superseded(self, version: int) -> bool:
        """Say whether a version never comes into force again, because a later one came before."""
        return all(rules.version != version for _, rules in self._in_turn)
