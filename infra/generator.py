"""A seeded population and its usage, shaped like a real month of mobile data.

Sizes are log-normal with a Pareto tail, a few heavy users use most, evenings are busy, most rows
have no host. The same seed gives the same subscribers and the same rows of each day, whichever
other days are asked for.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from random import Random

# Measured on a real month (219,673 records of 4,174 subscribers): median 914 B, 90 % below
# 10,030 B, 1 % above 156 kB; the heaviest 1 % of users use 46 % of all bytes.
MEDIAN_BYTES = 914
SIGMA = 1.87
TAIL_SHARE = 0.01
TAIL_FROM_BYTES = 120_000
TAIL_ALPHA = 1.05
RECORD_BYTES_MAX = 100_000_000
USER_ALPHA = 1.0
USER_WEIGHT_MAX = 2_000.0

HOUR_WEIGHTS = (
    20,
    10,
    5,
    3,
    2,
    3,
    8,
    20,
    35,
    40,
    42,
    45,
    55,
    48,
    42,
    42,
    48,
    55,
    65,
    70,
    75,
    80,
    70,
    40,
)
HOSTS = (
    "", "", "", "short.weixin.qq.com", "mmsns.qpic.cn", "api.weibo.cn", "wireless.mapbar.com",
    "m.baidu.com", "adash.m.taobao.com", "common.diditaxi.com.cn", "api.udache.com",
)  # fmt: skip
APNS = ("3gnet", "3gnet", "3gnet", "3gnet", "3gnet.mnc001.mcc460.gprs", "3gwap")
PORTS = (80, 80, 80, 80, 443, 443, 5223, 53, 8080)
FIRST_RAT_SHARE = 0.86
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True)
class Generator:
    """Makes subscribers and usage rows from a seed."""

    seed: int

    def subscribers(self, count: int) -> list[str]:
        """Return the first `count` subscribers, as 16 hex digits each."""
        return [self._digest(f"subscriber:{number}") for number in range(count)]

    def days(
        self, subscribers: Sequence[str], first: date, last: date, *, per_day: int
    ) -> Iterator[list[str]]:
        """Yield the ten columns of each row from `first` to `last`, in order of time."""
        weights = list(accumulate(self._weight(subscriber) for subscriber in subscribers))
        for offset in range((last - first).days + 1):
            yield from self._day(subscribers, weights, first + timedelta(days=offset), per_day)

    def _day(
        self, subscribers: Sequence[str], weights: list[float], day: date, per_day: int
    ) -> Iterator[list[str]]:
        random = Random(f"{self.seed}:{day.isoformat()}")  # noqa: S311 Made-up usage, no secret.
        users = random.choices(subscribers, cum_weights=weights, k=per_day)
        for start in self._starts(random, day, per_day):
            yield _row(random, users.pop(), start, day)

    def _starts(self, random: Random, day: date, count: int) -> list[datetime]:
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 Local text without a zone, as in the files.
        hours = random.choices(range(24), weights=HOUR_WEIGHTS, k=count)
        return sorted(
            midnight + timedelta(hours=hour, microseconds=random.randrange(3_600_000_000))
            for hour in hours
        )

    def _weight(self, subscriber: str) -> float:
        random = Random(f"{self.seed}:{subscriber}")  # noqa: S311 As above.
        return min(random.paretovariate(USER_ALPHA), USER_WEIGHT_MAX)

    def _digest(self, name: str) -> str:
        return hashlib.blake2b(f"{self.seed}:{name}".encode(), digest_size=8).hexdigest()


def _row(random: Random, subscriber: str, start: datetime, day: date) -> list[str]:
    total = _size(random)
    uplink = min(total, max(1, round(total * random.triangular(0.02, 1.0, 0.3))))
    end = start + timedelta(seconds=min(random.lognormvariate(0.4, 2.0), 3_600))
    return [
        subscriber,
        start.strftime(TIME_FORMAT),
        end.strftime(TIME_FORMAT),
        str(uplink),
        str(total - uplink),
        random.choice(APNS),
        "1" if random.random() < FIRST_RAT_SHARE else "2",
        str(random.choice(PORTS)),
        random.choice(HOSTS),
        day.strftime("%Y%m%d"),
    ]


def _size(random: Random) -> int:
    if random.random() < TAIL_SHARE:
        size = TAIL_FROM_BYTES * random.paretovariate(TAIL_ALPHA)
    else:
        size = random.lognormvariate(math.log(MEDIAN_BYTES), SIGMA)
    return max(1, min(round(size), RECORD_BYTES_MAX))
