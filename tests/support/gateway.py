"""A gateway over the logs of a ledger in memory: real events, real views, a reader to play with."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psycopg

from services.gateway.application import Gateway
from services.gateway.catalogue import VIEWS
from services.gateway.store import Store
from services.gateway.views import View
from services.ledger.domain.commands import (
    Award,
    Buy,
    ClawBack,
    CloseMonth,
    Fee,
    Fund,
    OpenAccount,
    Transfer,
    Usage,
)
from services.ledger.domain.rules import RuleBook
from shared.bus.types import LogReader
from shared.calendar import add_months
from shared.contracts.envelope import (
    Batch,
    Decode,
    Envelope,
    decode_raw_batch,
    log_of,
    source_of,
    time_text,
)
from shared.contracts.gifting import RedPacketOffered, ShareClaimed
from shared.contracts.ledger import DataReceived, Event
from shared.errors import NotFoundError, UnavailableError
from shared.ids import log_name
from tests.support.gifting import GiftingLog
from tests.support.memory import CALENDAR, RULEBOOK, MemoryBank
from tests.support.tasks import TasksLog

BANK_ID = "bank"
EPOCH = 1
MIB = 1 << 20
DAY_MS = 86_400_000
PEOPLE = ("ann", "bob", "cat", "dan")
TABLES = [table for view in VIEWS.values() for table in view(CALENDAR).tables]


class BankReader:
    """A LogReader over a MemoryBank; sequences have holes as a database's have."""

    def __init__(self, bank: MemoryBank, *, page: int = 500, bank_id: str = BANK_ID) -> None:
        self.decode: Decode = decode_raw_batch
        self.bank = bank
        self.page = page
        self.away = False
        self.bank_id = bank_id
        self.spoiled: dict[str, Callable[[dict[str, Any]], None]] = {}
        self.before_read: Callable[[str, int], None] = lambda _source, _after: None

    def sources(self) -> list[str]:
        """Return the source of each partition's log."""
        return [self.source(number) for number in range(len(self.bank.partitions))]

    def source(self, partition: int) -> str:
        """Return the source of a partition's log."""
        return source_of(self.bank_id, EPOCH, log_name(partition))

    def events(self, source: str) -> list[Envelope]:
        """Return a log as envelopes."""
        made: list[Envelope] = []
        previous = 0
        for index, (_, _, topic, state) in enumerate(self.bank.partitions[_number(source)].log):
            sequence = index * 2 + 1
            data = msgspec.json.decode(state)
            id_ = f"{source}/{sequence}"
            if id_ in self.spoiled:
                self.spoiled[id_](data)
            made.append(
                Envelope(
                    id=id_, source=source, type=topic, subject=data["account"],
                    time=time_text(0), partitionkey=data["account"],
                    sequence=str(sequence), previous=str(previous), data=data,
                )
            )  # fmt: skip
            previous = sequence
        return made

    def all_events(self) -> list[Envelope]:
        """Return the events of all logs, log by log."""
        return [event for source in self.sources() for event in self.events(source)]

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read a page."""
        del wait_s
        self.before_read(source, after)
        if self.away:
            raise UnavailableError("the ledger is away")
        if source not in self.sources():
            raise NotFoundError(f"no {source}")
        found = [event for event in self.events(source) if int(event.sequence) > after]
        return (
            batch_of(source, found[: self.page]) if found else Batch(source, lane, after, after, [])
        )

    def head(self, source: str, lane: str) -> int:
        """Return the last sequence."""
        del lane
        if self.away:
            raise UnavailableError("the ledger is away")
        events = self.events(source)
        return int(events[-1].sequence) if events else 0

    def token(self) -> str:
        """Return the heads as a position token."""
        heads = {log_of(source): self.head(source, "all") for source in self.sources()}
        return f"{EPOCH}/" + ",".join(f"{log}:{at}" for log, at in sorted(heads.items()) if at)


def batch_of(source: str, events: list[Envelope]) -> Batch:
    """Return consecutive events as a batch."""
    return Batch(source, "all", int(events[0].previous), int(events[-1].sequence), events)


def _number(source: str) -> int:
    return int(source.rpartition("_")[2])


def opened_bank(partitions: int = 2, rulebook: RuleBook = RULEBOOK) -> MemoryBank:
    """Return a bank with four people, a partner and its campaign."""
    bank = MemoryBank(partitions, now="2015-08-10T12:00:00+08:00", rulebook=rulebook)
    people = [
        OpenAccount(key="o", account=one, plan="std-30mb", active_from="2015-08") for one in PEOPLE
    ]
    bank.do(
        *people,
        OpenAccount(key="o", account="partner:didi"),
        OpenAccount(key="o", account="campaign:ride", partner="partner:didi"),
    )
    return bank


def funded_bank(partitions: int = 2, rulebook: RuleBook = RULEBOOK) -> MemoryBank:
    """Return such a bank whose campaign has 100 MiB to award."""
    bank = opened_bank(partitions, rulebook)
    bank.do(Buy(key="b", account="partner:didi", bytes=100 * MIB))
    bank.do(Fund(key="f", account="partner:didi", campaign="campaign:ride", bytes=100 * MIB))
    bank.settle()
    return bank


def lived_bank(seed: int, steps: int = 25, rulebook: RuleBook = RULEBOOK) -> MemoryBank:
    """Return a bank after so many random commands, with transfers still under way or not."""
    dice = random.Random(seed)
    bank = funded_bank(dice.choice([1, 2, 3]), rulebook)
    for step in range(steps):
        who, amount, key = dice.choice(PEOPLE), dice.randint(1, 20 * MIB), f"k{step}"
        to = dice.choice([*PEOPLE, "nobody"])
        month = add_months(CALENDAR.month_of(bank.clock.at), -1)
        commands: list[Any] = [
            Usage(
                usage_id=key, account=who, bytes=amount,
                occurred_at=bank.clock.at - dice.randint(0, 40) * DAY_MS,
            ),
            Buy(key=key, account=who, bytes=amount),
            Transfer(key=key, account=who, to=to, bytes=amount, fee=Fee(bytes=1 + step)),
            Award(key=key, account="campaign:ride", subscriber=to, bytes=amount),
            CloseMonth(key=f"c{month}", account=who, month=month),
        ]  # fmt: skip
        if arrived := _arrived(bank):
            account, transfer_id = dice.choice(arrived)
            commands.append(
                ClawBack(key=key, account=account, transfer_id=transfer_id, reason="test")
            )
        bank.do(dice.choice(commands))
        if step % 4 == 0:
            bank.hear(*packet_events(key, who, to, bank.clock.at + 2 * DAY_MS))
        if dice.random() < 0.2:
            bank.clock.at += dice.randint(1, 20) * DAY_MS
        if dice.random() < 0.4:
            bank.settle()
    return bank


def packet_events(name: str, sender: str, to: str, deadline: int) -> list[Event]:
    """Return what makes a red packet of 1 MiB with a fee, one of whose two shares is claimed."""
    told: dict[str, Any] = {"account": sender, "recorded_at": 0, "actor": "gifting"}
    half: dict[str, Any] = {"bytes": MIB // 2, "fee_bytes": 5}
    return [
        RedPacketOffered(**told, packet_id=name, bytes=MIB, deadline=deadline, fee_bytes=10),
        ShareClaimed(**told, **half, claim_id=f"{name}:1", packet_id=name, hold_id="", receiver=to,
                     position=0),
    ]  # fmt: skip


def _arrived(bank: MemoryBank) -> list[tuple[str, str]]:
    """Return who has received which transfers."""
    events = [event for partition in bank.partitions for event in partition.events()]
    return [(each.account, each.transfer_id) for each in events if isinstance(each, DataReceived)]


def empty_views(url: str) -> None:
    """Remove every row of the gateway's schema."""
    tables = [*TABLES, *(f"{table}_shadow" for table in TABLES), "inbox_positions", "parked"]
    with psycopg.connect(url, autocommit=True, options="-c search_path=gateway") as conn:
        for table in tables:  # A few rows are faster to delete than to truncate.
            conn.execute(f"DELETE FROM {table}")


def make_gateway(
    url: str, reader: BankReader, gifts: GiftingLog | None = None, tasks: TasksLog | None = None
) -> Gateway:
    """Return a gateway that reads this bank's logs and clock."""
    readers: dict[str, LogReader] = {
        "ledger": reader, "gifting": gifts or GiftingLog(), "tasks": tasks or TasksLog(),
    }  # fmt: skip
    return Gateway(Store(url), readers, reader.bank.clock, CALENDAR, bank_id=BANK_ID, epoch=EPOCH)


def stored_rows(gateway: Gateway, view: View) -> dict[str, dict[Any, Any]]:
    """Return a view's rows as they are stored."""
    with gateway.store.alone() as conn, conn.transaction():
        return {table: dict(view.rows(conn, table)) for table in view.tables}


def last(steps: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Run a long job; return its result."""
    *_, end = steps
    result: dict[str, Any] = end["result"]
    return result
