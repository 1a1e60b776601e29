"""Three months under each rule file of docs/examples/rules, wherever the bank that lives them is.

A story says what it expects, so a bank in memory and one that runs are held against the same. The
stories follow one upon the other, each in a quarter of its own: one bank can live them all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.ledger.domain.commands import CloseMonth, OpenAccount, Transfer, Usage
from services.ledger.rules import load_rules
from tests.support.memory import CALENDAR, MemoryBank

RULES = Path(__file__).parents[2] / "docs" / "examples" / "rules"
MIB = 1 << 20
GIB = 1 << 30


class World(ABC):
    """A bank with two subscribers, ann and bob, on the plan of one rule file."""

    @abstractmethod
    def use(self, amount: int, at: str) -> None:
        """Let ann use data that lots must cover."""

    @abstractmethod
    def give(self, amount: int) -> None:
        """Let ann give bob data, and wait until it has arrived."""

    @abstractmethod
    def close(self, month: str, at: str) -> tuple[int, int]:
        """Close ann's month; returns what was carried over and what expired."""

    @abstractmethod
    def left(self) -> dict[str, int]:
        """Return what is left of ann's lots; those with nothing are not in it."""

    @abstractmethod
    def end_of(self, lot_id: str) -> int:
        """Return when one of ann's lots ends, in milliseconds."""


@dataclass(frozen=True)
class Story:
    """What happens under a rule file from a day on."""

    rules: str
    plan: str
    starts: str
    tell: Callable[[World], None]


def t_mobile(world: World) -> None:
    """Each month's rest lives twelve months; after the plan the oldest goes first."""
    assert world.close("2015-01", "2015-02-01T06:00:00") == (3 * GIB, 0)
    assert world.close("2015-02", "2015-03-01T06:00:00") == (3 * GIB, 0)
    world.use(4 * GIB, "2015-03-15T00:00:00")
    assert world.left() == {"carry:2015-01:any": 2 * GIB, "carry:2015-02:any": 3 * GIB}
    assert world.close("2015-03", "2015-04-01T06:00:00") == (0, 0)
    assert world.end_of("carry:2015-01:any") == CALENDAR.month_end("2016-01")


def att(world: World) -> None:
    """The plan is used before what was rolled over; what is left of that ends with its month."""
    world.use(1 * GIB, "2015-04-10T00:00:00")
    assert world.close("2015-04", "2015-05-01T06:00:00") == (2 * GIB, 0)
    world.use(2 * GIB, "2015-05-10T00:00:00")
    assert world.left() == {"carry:2015-04:any": 2 * GIB, "plan:2015-05": 1 * GIB}
    world.use(2 * GIB, "2015-05-20T00:00:00")
    assert world.left() == {"carry:2015-04:any": 1 * GIB}
    assert world.close("2015-05", "2015-06-01T06:00:00") == (0, 1 * GIB)
    assert world.close("2015-06", "2015-07-01T06:00:00") == (3 * GIB, 0)


def voucher(world: World) -> None:
    """A voucher is usable next month, can be given away, and ends with that month."""
    world.use(40 * MIB, "2015-07-10T00:00:00")
    assert world.close("2015-07", "2015-08-01T06:00:00") == (60 * MIB, 0)
    assert world.left() == {"voucher:2015-07:any": 60 * MIB, "plan:2015-08": 100 * MIB}
    world.give(10 * MIB)
    assert world.left() == {"voucher:2015-07:any": 50 * MIB, "plan:2015-08": 100 * MIB}
    assert world.close("2015-08", "2015-09-01T06:00:00") == (100 * MIB, 50 * MIB)
    assert world.close("2015-09", "2015-10-01T06:00:00") == (100 * MIB, 100 * MIB)


def china(world: World) -> None:
    """50 left of 100 in October: November uses them first; on 1 December their rest is gone."""
    world.use(50 * MIB, "2015-10-20T12:00:00")
    assert world.close("2015-10", "2015-11-01T06:00:00") == (50 * MIB, 0)
    world.use(20 * MIB, "2015-11-10T12:00:00")
    assert world.left() == {"carry:2015-10:any": 30 * MIB, "plan:2015-11": 100 * MIB}
    assert world.close("2015-11", "2015-12-01T06:00:00") == (100 * MIB, 30 * MIB)
    assert world.left() == {"carry:2015-11:any": 100 * MIB, "plan:2015-12": 100 * MIB}
    world.use(130 * MIB, "2015-12-31T12:00:00")
    assert world.left() == {"plan:2015-12": 70 * MIB}
    assert world.close("2015-12", "2016-01-01T06:00:00") == (70 * MIB, 0)


STORIES = [
    Story("t-mobile-data-stash", "simple-3gb", "2015-01-01T00:00:00", t_mobile),
    Story("att-rollover-2015", "mobile-3gb", "2015-04-01T00:00:00", att),
    Story("voucher", "std-100mb", "2015-07-01T00:00:00", voucher),
    Story("china-2015-10", "std-100mb", "2015-10-01T00:00:00", china),
]


class MemoryWorld(World):
    """A bank in memory whose rules are a file's."""

    def __init__(self, rules: str, plan: str, starts: str) -> None:
        rulebook = load_rules(RULES / f"{rules}.json", CALENDAR)
        self.bank = MemoryBank(now=starts, rulebook=rulebook)
        self.bank.do(*(OpenAccount(key="o", account=name, plan=plan) for name in ("ann", "bob")))

    def use(self, amount: int, at: str) -> None:
        """Charge a record."""
        self.bank.at(at)
        record = Usage(usage_id=at, account="ann", bytes=amount, occurred_at=CALENDAR.parse(at))
        assert self.bank.do(record)[0].unfunded_bytes == 0

    def give(self, amount: int) -> None:
        """Transfer and deliver."""
        self.bank.do(Transfer(key=str(amount), account="ann", to="bob", bytes=amount))
        self.bank.settle()

    def close(self, month: str, at: str) -> tuple[int, int]:
        """Close ann's month."""
        self.bank.at(at)
        (outcome,) = self.bank.do(CloseMonth(key=f"c{month}", account="ann", month=month))
        assert self.bank.account("ann").balances()
        return outcome.result.get("carried_bytes", 0), outcome.result.get("expired_bytes", 0)

    def left(self) -> dict[str, int]:
        """Look at the state."""
        lots = self.bank.account("ann").lots.values()
        return {lot.lot_id: lot.remaining for lot in lots if lot.remaining}

    def end_of(self, lot_id: str) -> int:
        """Look at the state."""
        return self.bank.account("ann").lots[lot_id].expires_at
