"""Who a campaign is for: everyone, a list, or a rule over what the bank itself knows."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.mistakes import shaped

Bytes = Annotated[int, Meta(ge=0, le=2**53 - 1)]
ListName = Annotated[
    str,
    shaped(r"^[a-z0-9][a-z0-9_-]{0,63}\Z", "1 to 64 small letters, digits, _ or -, such as vip"),
]
PlanName = Annotated[str, Meta(min_length=1, max_length=64)]
# A month of the bank: the running one, the one before it, or one by its name.
Month = Annotated[
    str,
    shaped(r"^(this|last|[0-9]{4}-(0[1-9]|1[0-2]))\Z", "this, last, or a month such as 2015-08"),
]
# A partner never sees an audience that is smaller: it would point at persons.
AUDIENCE_MIN = 50


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes of one month, both ends included; None is without an end."""

    month: Month = "last"
    at_least_bytes: Bytes = 0
    at_most_bytes: Bytes | None = None

    def __post_init__(self) -> None:
        if self.at_most_bytes is not None and self.at_most_bytes < self.at_least_bytes:
            raise ValueError("`at_most_bytes` is below `at_least_bytes`")


class AudienceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which active subscribers are meant: those for whom all that is given holds.

    `tier`: one of these plans is in force. `used`: so much was used in the month (by the records'
    own time, whoever paid). `unused`: so much was left when the month was closed, whether it was
    carried over or expired. `lapsed_days`: nothing was used for so many days, by an account that is
    as old.
    """

    tier: Annotated[list[PlanName], Meta(min_length=1, max_length=100)] | None = None
    used: Band | None = None
    unused: Band | None = None
    lapsed_days: Annotated[int, Meta(ge=1, le=3660)] | None = None

    def __post_init__(self) -> None:
        if not any((self.tier, self.used, self.unused, self.lapsed_days)):
            raise ValueError("a rule needs `tier`, `used`, `unused` or `lapsed_days`")


class Audience(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True,
               kw_only=True):  # fmt: skip
    """Who a campaign is for: `all`, the members of a list, or who a rule finds."""

    all: Literal[True] | None = None
    list: ListName | None = None
    rule: AudienceRule | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.all, self.list, self.rule)) != 1:
            raise ValueError("an audience is one of `all`, `list` and `rule`")


EVERYONE = Audience(all=True)
