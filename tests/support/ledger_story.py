"""A made-up life of a bank: the same seed tells the same story."""

from collections.abc import Iterator
from random import Random

from services.ledger.domain.commands import (
    AnyCommand,
    Award,
    Buy,
    CloseMonth,
    Fund,
    OpenAccount,
    Transfer,
    Usage,
)
from shared.calendar import add_months
from tests.support.memory import CALENDAR

MIB = 1 << 20
PEOPLE = [f"person-{number}" for number in range(12)]
OTHERS = ["partner:didi", "campaign:ride", "campaign:none", "stranger"]
DAY_MS = 86_400_000


def opening() -> list[AnyCommand | Usage]:
    """Return the commands that open everybody's account."""
    return [
        *(OpenAccount(key="o", account=p, plan="std-30mb", active_from="2015-07") for p in PEOPLE),
        OpenAccount(key="o", account="partner:didi"),
        OpenAccount(key="o", account="campaign:ride", partner="partner:didi"),
        Buy(key="b", account="partner:didi", bytes=500 * MIB),
    ]


def random_batch(rng: Random, now: int, serial: int) -> list[AnyCommand | Usage]:
    """Return some commands and usage; a few repeat keys, with the same or other terms."""
    made: list[AnyCommand | Usage] = []
    for number in range(rng.randint(1, 60)):
        key = f"k{serial}-{number}" if rng.random() < 0.9 else f"k{serial - 1}-{number}"
        who, other, size = rng.choice(PEOPLE), rng.choice(PEOPLE + OTHERS), rng.randint(1, 9 * MIB)
        at = now - rng.randint(0, 60) * DAY_MS
        month = add_months(CALENDAR.month_of(now), -rng.randint(0, 2))
        choices: list[AnyCommand | Usage] = [
            Usage(usage_id=key, account=other, bytes=size, occurred_at=at),
            Usage(usage_id=key, account=who, bytes=size, occurred_at=at),
            Transfer(key=key, account=who, to=other, bytes=size),
            Fund(key=key, account="partner:didi", campaign="campaign:ride", bytes=size),
            Award(key=key, account="campaign:ride", subscriber=other, bytes=size),
            CloseMonth(key=key, account=other, month=month),
            Buy(key=key, account=other, bytes=size),
            OpenAccount(key=key, account=who, plan="std-30mb"),
        ]
        made.append(rng.choice(choices))
    return made


def tell(seed: int = 1, steps: int = 40) -> Iterator[tuple[int, list[AnyCommand | Usage]]]:
    """Yield bank time (milliseconds) and a batch, again and again; time goes forward."""
    rng, now = Random(seed), CALENDAR.parse("2015-08-10T12:00:00")
    yield now, opening()
    for step in range(1, steps):
        now += rng.randint(0, 3) * DAY_MS
        yield now, random_batch(rng, now, step)
