"""A seeded life of a bank: who has which plan, who gives, holds, wins, complains, leaves, and when.

Pure: it only makes commands and usage lines; `infra.cli.simulate` sends them. The same seed, number
of people and first day make the same life. Amounts are bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from infra.cli.usage_file import HOST, usage_row
from infra.generator import Generator

MIB = 1 << 20
GIB = 1 << 30
DAY = timedelta(days=1)
PLANS = {
    "std-30mb": 40, "std-100mb": 25, "std-300mb": 15, "std-1gb": 8, "std-5gb": 2, "basic-10mb": 10,
}  # fmt: skip
PARTNERS = {
    "partner:rides": ("campaign:rides-welcome", "campaign:rides-weekend"),
    "partner:music": ("campaign:music-listen",),
}
CAMPAIGNS = [(partner, each) for partner, campaigns in PARTNERS.items() for each in campaigns]
# What campaigns pay of their own apps' traffic: one on credit, one out of its escrow. A cap keeps
# both within what they get, so that whose record is charged first makes no difference.
FREE_BYTES = 8 * MIB
OFFERS: list[dict[str, Any]] = [
    {
        "campaign": "campaign:music-free", "partner": "partner:music", "version": 1,
        "sponsor_id": "MUSIC", "asp_id": "music-app", "rating_group": "music",
        "hosts": ["weibo.cn", "baidu.com"], "starts_at": 0, "budget": "unlimited",
        "caps": {"per_subscriber_bytes": FREE_BYTES},
    },
    {
        "campaign": "campaign:rides-free", "partner": "partner:rides", "version": 1,
        "sponsor_id": "RIDES", "asp_id": "rides-app", "rating_group": "rides",
        "hosts": ["diditaxi.com.cn", "udache.com"], "starts_at": 0, "budget": "escrow",
        "caps": {"per_subscriber_bytes": FREE_BYTES},
    },
]  # fmt: skip
SPONSORS = [(each["partner"], each["campaign"]) for each in OFFERS]
# A red packet is claimed by so many; what is left then goes back at its deadline.
SHARES = 4
CLAIMS = 3
# A month has four periods; each ends with deeds. Shares of the people who do something in one.
PERIODS = 4
DEEDS = {
    "buy": 0.04, "transfer": 0.06, "hold": 0.04, "red_packet": 0.02, "award": 0.06,
    "adjust": 0.006, "reverse": 0.006, "suspend": 0.006, "change_plan": 0.01,
    "close_account": 0.002,
}  # fmt: skip
# What a refusal may say in a life in which people try what they can't do.
EXPECTED = frozenset({
    "insufficient_data", "account_suspended", "account_closed", "hold_not_found", "conflict",
    "usage_not_found",
})  # fmt: skip
# A row stands for the sessions of a day or two.
USAGE_SCALE = 64

Command = dict[str, Any]
Line = dict[str, Any]


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """Return how many days it has."""
        return (self.last - self.first).days + 1


@dataclass
class Life:
    """The people of a simulation, and what they are about to do."""

    seed: int
    count: int
    rows_per_day: int
    living: list[str] = field(init=False)
    suspended: list[str] = field(default_factory=list)
    holds: list[tuple[str, str]] = field(default_factory=list)
    packets: list[tuple[str, str, int]] = field(default_factory=list)
    usage: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the people."""
        self.generator = Generator(self.seed)
        self.living = self.generator.subscribers(self.count)

    def openings(self, month: str) -> list[Command]:
        """Return commands that open every account."""
        random = self._random(f"plans:{month}")
        plans = random.choices(list(PLANS), weights=list(PLANS.values()), k=self.count)
        commands = [self._do("open", each, "open_account") for each in PARTNERS]
        commands += [
            self._do("open", each, "open_account", partner=partner)
            for partner, each in [*CAMPAIGNS, *SPONSORS]
        ]
        commands += [
            self._do("open", name, "open_account", plan=plan, active_from=month)
            for name, plan in zip(self.living, plans, strict=True)
        ]
        return commands

    def purchases(self, month: str) -> list[Command]:
        """Return commands by which partners buy what their campaigns give away in a month."""
        budget = max(64 * MIB, self.count * 2 * MIB)
        free = self.count * FREE_BYTES
        paid = [each for each in OFFERS if each["budget"] == "escrow"]
        return [
            self._do(f"{month}:free", each["partner"], "buy", bytes=free) for each in paid
        ] + [
            self._do(
                f"{month}:fund:{each['campaign']}", each["partner"], "fund",
                campaign=each["campaign"], bytes=free,
            )
            for each in paid
        ] + [
            self._do(
                f"{month}:purchase", each, "buy", bytes=2 * budget * len(PARTNERS[each])
            )
            for each in PARTNERS
        ] + [
            self._do(f"{month}:fund:{each}", partner, "fund", campaign=each, bytes=budget)
            for partner, each in CAMPAIGNS
        ]  # fmt: skip

    def lines(self, period: Period, zone: ZoneInfo) -> Iterator[Line]:
        """Yield the period's usage; a few records are remembered, to be reversed."""
        rows = self.generator.days(
            self.living, period.first, period.last, per_day=self.rows_per_day
        )
        self.usage = []
        wanted = self._many("reverse") + 1
        every = max(1, period.days * self.rows_per_day // wanted)
        for number, columns in enumerate(rows):
            row = usage_row(columns, number, zone)
            if number % every == 0:
                self.usage.append((row.subscriber, row.usage_id))
            yield {
                "usage_id": row.usage_id, "account": row.subscriber,
                "bytes": row.bytes * USAGE_SCALE, "occurred_at": row.occurred_at,
                "host": row.columns[HOST] or None,
            }  # fmt: skip

    def deeds(self, period: Period, deadline: str) -> list[Command]:
        """Return what people do at a period's end; holds that nobody ends time out by `deadline`.

        Whoever was suspended before is active again; who closes an account does nothing more.
        """
        when = period.last.isoformat()
        random = self._random(when)
        commands = [self._do(f"{when}:resume", each, "resume") for each in self.suspended]
        commands += self._ends_of_holds(when, random)
        commands += self._claims(when, random)
        for kind in DEEDS:
            for number in range(self._many(kind)):
                commands += self._deed(f"{when}:{kind}:{number}", kind, random, deadline)
        self.suspended = [each["account"] for each in commands if each["type"] == "suspend"]
        gone = {each["account"] for each in commands if each["type"] == "close_account"}
        self.living = [each for each in self.living if each not in gone] if gone else self.living
        return commands

    def heard(self, command: Command, outcome: dict[str, Any]) -> None:
        """Remember what a later deed needs of an outcome: the ids of holds."""
        if command["type"] != "hold" or outcome["status"] != "done":
            return
        account, hold_id = command["account"], outcome["result"]["hold_id"]
        if command["purpose"] == "red_packet":
            self.packets.append((account, hold_id, command["bytes"] // SHARES))
        else:
            self.holds.append((account, hold_id))

    def _ends_of_holds(self, when: str, random: Random) -> list[Command]:
        commands = []
        for number, (account, hold_id) in enumerate(self.holds):
            chance = random.random()
            key = f"{when}:end:{number}"
            if chance < 0.5:  # noqa: PLR2004 Half of the offers are taken.
                to = self._other(random, account)
                commands.append(self._do(key, account, "post", hold_id=hold_id, to=to))
            elif chance < 0.75:  # noqa: PLR2004 A quarter is withdrawn, the rest times out.
                commands.append(self._do(key, account, "release", hold_id=hold_id))
        self.holds = []
        return commands

    def _claims(self, when: str, random: Random) -> list[Command]:
        commands = [
            self._do(
                f"{when}:claim:{number}:{claim}", account, "post", hold_id=hold_id, bytes=share,
                to=self._other(random, account),
            )
            for number, (account, hold_id, share) in enumerate(self.packets)
            for claim in range(CLAIMS)
        ]  # fmt: skip
        self.packets = []
        return commands

    def _deed(self, key: str, kind: str, random: Random, deadline: str) -> list[Command]:
        who = random.choice(self.living)
        amount = random.randrange(1, 8) * MIB
        fields: dict[str, Any] = {}
        match kind:
            case "buy":
                fields = {"bytes": amount * random.choice([1, 4, 16])}
            case "transfer":
                fields = {"to": self._other(random, who), "bytes": amount}
            case "hold" | "red_packet":
                purpose = "gift" if kind == "hold" else kind
                fields = {"bytes": amount, "deadline": deadline, "purpose": purpose}
                kind = "hold"
            case "award":
                fields = {"subscriber": who, "bytes": amount}
                who = random.choice(CAMPAIGNS)[1]
            case "adjust":
                way = random.choice(["give", "take"])
                fields = {"direction": way, "bytes": amount, "reason": "a complaint"}
            case "reverse":
                if not self.usage:
                    return []
                who, usage_id = self.usage.pop()
                fields = {"usage_id": usage_id, "reason": "counted wrongly"}
            case "change_plan":
                fields = {"plan": random.choice(list(PLANS))}
        return [self._do(key, who, kind, **fields)]

    def _other(self, random: Random, account: str) -> str:
        """Return somebody else; now and then a stranger, so that a gift comes back."""
        if random.random() < 0.02:  # noqa: PLR2004 A mistyped number.
            return f"stranger-{random.randrange(1_000_000)}"
        other = random.choice(self.living)
        return other if other != account else f"stranger-{random.randrange(1_000_000)}"

    def _many(self, kind: str) -> int:
        """Return how often a deed is done in a period: in a small bank once, too."""
        return max(1, round(DEEDS[kind] * len(self.living)))

    def _random(self, name: str) -> Random:
        return Random(f"{self.seed}:{self.count}:{name}")  # noqa: S311 A made-up life, no secret.

    def _do(self, key: str, account: str, kind: str, **fields: Any) -> Command:
        return {"key": f"sim:{self.seed}:{key}", "account": account, "type": kind, **fields}


def periods_of(month_first: date, month_last: date, start: date) -> list[Period]:
    """Return a month's periods from `start` on, about a week each."""
    step = -(-((month_last - month_first).days + 1) // PERIODS)
    periods = []
    for number in range(PERIODS):
        first = month_first + number * step * DAY
        last = min(first + (step - 1) * DAY, month_last)
        if last >= start:
            periods.append(Period(max(first, start), last))
    return periods
