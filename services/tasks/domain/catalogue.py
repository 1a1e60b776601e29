"""The catalogue: packs and pools in versions, each with its prices by date.

    PackTerms   what a version of a pack is: bytes, scope, hours, effect, validity, prices
    Pack        that version; the last one is sold, older ones live on in their orders

A pack is issued as one lot of its size. A pool is bytes from which many draw; one that grows has
as many bytes more as members join it.
"""

from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta

from services.tasks.domain.tasks.rewards import DAY_MS, Part
from services.tasks.domain.usable import carry_mistake, use_mistake
from shared.calendar import Calendar, add_months
from shared.contracts.audiences import ListName
from shared.contracts.offers import Amount, Hours, RewardTerms
from shared.contracts.tasks import PackPublished
from shared.errors import InvalidError, RefusedError
from shared.ids import digest
from shared.mistakes import shaped
from shared.sagas.aggregate import Aggregate, beginning
from shared.sagas.aggregate import Meta as Who

CATALOGUE = "operator:catalogue"
Name = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9._-]{0,63}\Z", "1 to 64 small letters, digits, . _ or -, such as night-1g"
    ),
]
Day = Annotated[
    str, shaped(r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z", "a day such as 2015-08-31")
]
Fen = Annotated[int, Meta(ge=0, le=10**12)]
Effect = Literal["now", "next_cycle"]
COUNT_MAX = 1_000_000
BYTES_MAX = 2**53 - 1


class Valid(Part, frozen=True):
    """How long a lot can be used from its begin: `days`, or to the end of a month.

    `months` 0: of the month in which it begins; 1: of the next one; and so on.
    """

    days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    months: Annotated[int, Meta(ge=0, le=120)] | None = None

    def __post_init__(self) -> None:
        if (self.days is None) == (self.months is None):
            raise ValueError("a validity has `days` or `months`, one of them")

    def end(self, begin: int, calendar: Calendar) -> int:
        """Return the first instant after it."""
        if self.days is not None:
            return begin + self.days * DAY_MS
        return calendar.month_end(add_months(calendar.month_of(begin), self.months or 0))


class LotOffered(Part, frozen=True, kw_only=True):
    """The terms of the lot that a subscriber gets."""

    scope: Literal["any"] | list[str] = "any"
    hours: Hours | None = None
    effect: Effect = "now"
    valid: Valid = Valid(months=0)
    giftable: bool = False
    carries: bool = False

    def lot(self, now: int, calendar: Calendar) -> RewardTerms:
        """Return the lot's terms if it is given now; the next cycle is the bank's next month."""
        begin = now if self.effect == "now" else calendar.month_end(calendar.month_of(now))
        return RewardTerms(
            kind="pack", valid_from=begin, expires_at=self.valid.end(begin, calendar),
            scope=self.scope, hours=self.hours, giftable=self.giftable, carries=self.carries,
        )  # fmt: skip

    def mistake(self) -> str | None:
        """Return what is wrong with it if it is put now, None if nothing is."""
        ends_with_month = self.valid.months is not None
        return use_mistake(self.scope, self.hours) or carry_mistake(
            carries=self.carries, ends_with_month=ends_with_month
        )


class Price(Part, frozen=True):
    """What one costs from a bank day on."""

    from_day: Day
    fen: Fen


class PackTerms(LotOffered, frozen=True, kw_only=True):
    """A version of a pack: `bytes` is the size of one, or of a pool.

    Of a pool only: `grows_with` names a list of members, each of whom adds `bytes` when it joins
    (ordered and paid for it, at this version's price of the day), and who alone may draw;
    `member_limit_bytes` is what one member draws in a month at most; at `alarm_percent` or less
    left the pool is low.
    """

    name: Name
    title: Annotated[str, Meta(max_length=200)] = ""
    kind: Literal["pack", "pool"] = "pack"
    bytes: Amount
    prices: Annotated[list[Price], Meta(min_length=1, max_length=1000)]
    grows_with: ListName | None = None
    member_limit_bytes: Amount | None = None
    alarm_percent: Annotated[int, Meta(ge=0, le=100)] = 20

    def __post_init__(self) -> None:
        days = [price.from_day for price in self.prices]
        if days != sorted(set(days)):
            raise ValueError("`prices` need rising days")
        if self.kind == "pack" and (self.grows_with or self.member_limit_bytes):
            raise ValueError("only a pool `grows_with` a list or has a `member_limit_bytes`")

    def price_on(self, day: str) -> int:
        """Return what one costs on a bank day, in fen. Refusal: pack_not_on_sale."""
        found = [price.fen for price in self.prices if price.from_day <= day]
        if not found:
            first = self.prices[0].from_day
            detail = f"the pack {self.name} is sold from {first} on"
            raise RefusedError("pack_not_on_sale", detail, sold_from=first)
        return found[-1]


def read_pack(stored: dict[str, Any]) -> PackTerms:
    """Read a version's terms from an event or a file's document. Raises InvalidError."""
    try:
        return msgspec.convert(stored, PackTerms)
    except msgspec.ValidationError as error:
        raise InvalidError(f"the pack can't be used: {error}") from error


def pack_stream(name: str, version: int) -> str:
    """Return the id (32 hex digits) of the stream of a version of a pack."""
    return digest("pack", name, str(version)).hex()


class Pack(Aggregate):
    """One version of a pack; it never changes."""

    TOPIC = "tasks.pack"

    Published = beginning(PackPublished)

    terms: PackTerms

    def __init__(self) -> None:
        self.number = 0

    @classmethod
    def publish(cls, terms: PackTerms, version: int, meta: Who) -> Self:
        """Put a version into the catalogue: it is sold from now on, and no other.

        Raises InvalidError where nobody could use it, or it carries and ends within a month.
        """
        mistake = terms.mistake()
        if mistake is not None:
            raise InvalidError(f"the pack can't be used: {mistake}")
        stream = pack_stream(terms.name, version)
        return cls._begin(
            stream,
            PackPublished(
                **meta.facts(CATALOGUE, stream), pack=terms.name, pack_version=version,
                terms=msgspec.to_builtins(terms),
            ),
        )  # fmt: skip

    def evolve(self, data: PackPublished) -> None:
        """Change the state as the fact says."""
        self.name, self.number = data.pack, data.pack_version
        self.published_at = data.recorded_at
        self.terms = read_pack(data.terms)


def unknown_pack(name: str) -> RefusedError:
    """Return what is said of a pack that does not exist."""
    return RefusedError("pack_not_found", f"there is no pack {name}", 404, pack=name)
