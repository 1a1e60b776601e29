"""A ledger without a database: the real batches over dictionaries, and a bus that misbehaves.

It stores exactly what a partition stores (encoded events, keys, encoded states, positions), so that
whatever is lost on the way to storage is lost here too.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from services.ledger import gifting
from services.ledger.batch import Batch, Loaded
from services.ledger.codec import decode_account, decode_event
from services.ledger.domain.account import STATE_FORMAT, Account
from services.ledger.domain.commands import (
    AnyCommand,
    Arrive,
    CloseMonth,
    PutBack,
    TakeBack,
    TakeFee,
    Touch,
    Usage,
)
from services.ledger.domain.context import Context, Meta
from services.ledger.domain.evolving import evolve
from services.ledger.domain.offers import OfferBook
from services.ledger.domain.rules import CarryOver, RuleBook
from services.ledger.items import Item, KeyRow, accounts_of
from services.ledger.outcomes import Outcome, UsageOutcome, repeat_command, repeat_usage
from services.ledger.quota_sagas import quota_command
from services.ledger.rules import BUILT_IN, load_rules
from services.ledger.sponsors import Sponsors
from services.ledger.undoing import resolved
from shared.calendar import Calendar
from shared.clock import FixedClock
from shared.contracts.ledger import (
    FEES_ACCOUNT,
    WITHOUT_ACCOUNT,
    ArrivalRefused,
    DataExpired,
    DataReceived,
    DataSpent,
    DataTransferred,
    Event,
)
from shared.contracts.offers import Offer
from shared.ids import partition_of, stream_id

CALENDAR = Calendar("Asia/Shanghai")
RULEBOOK = load_rules(BUILT_IN, CALENDAR)
PLAN = "std-30mb"
OPERATOR = Meta(actor="operator", correlation_id="request")


def carrying(terms: CarryOver) -> RuleBook:
    """Return the built-in rules with another carry-over of the usual plan."""
    rules = RULEBOOK.latest()
    plans = {**rules.plans, PLAN: replace(rules.plans[PLAN], carry_over=terms)}
    return RuleBook([(0, replace(rules, plans=plans))])


# Of what a month leaves, each lets another part go over.
LIMITS = [
    CarryOver(),
    CarryOver(mode="auto_extend", excluded_kinds=["pack"]),
    CarryOver(mode="auto_extend", share_percent=50),
    CarryOver(mode="auto_extend", cap_bytes=20 << 20, months=3),
    CarryOver(mode="convert_to_voucher", share_percent=67, cap_bytes=12 << 20),
]


class CrashError(Exception):
    """The process died here."""


class MemoryPartition:
    """One partition's storage."""

    def __init__(self, number: int, clock: FixedClock, rulebook: RuleBook) -> None:
        self.rulebook = rulebook
        self.number = number
        self.clock = clock
        self.log: list[tuple[bytes, int, str, bytes]] = []
        self.keys: dict[bytes, KeyRow] = {}
        self.states: dict[bytes, tuple[int, bytes]] = {}
        # When the clock has something to do for an account, 0: never.
        self.due: dict[str, int] = {}
        self.positions: dict[int, int] = {}
        self.last_recorded_at = 0
        self.book = OfferBook([])
        self.members: frozenset[tuple[str, str]] = frozenset()
        # Accounts with events that only a newer version of the code knows.
        self.unreadable: set[bytes] = set()

    def execute(
        self, items: list[Item], source: int | None = None, at: int = 0, crash: str = ""
    ) -> None:
        """Run a batch as a transaction; `crash` is "before" or "after" the commit."""
        batch, now = self._decide(items)
        if crash == "before":
            raise CrashError
        known = {(row[0], row[1]) for row in self.log}
        assert not known & {(row[0], row[1]) for row in batch.rows}
        self.log += batch.rows
        self.keys.update((key.key, key) for key in batch.keys)
        for stream, name, version, due, state in zip(*batch.states(), strict=True):
            self.states[stream] = (version, state)
            if due >= 0:
                self.due[name] = due
        if batch.rows:
            self.last_recorded_at = now
        if source is not None:
            self.positions[source] = max(at, self.positions.get(source, 0))
        if crash == "after":
            raise CrashError
        self._answer_repeats(items)

    def do_due(self) -> None:
        """Do what is due by the clock, as the ledger's job does."""
        due = [name for name, at in self.due.items() if 0 < at <= self.clock.now()]
        if due:
            self.execute([Item(Touch(key="due", account=name), "ledger", OPERATOR) for name in due])

    def rehearse(self, items: list[Item]) -> None:
        """Decide a batch and store nothing."""
        self._decide(items)
        self._answer_repeats(items)

    def _decide(self, items: list[Item]) -> tuple[Batch, int]:
        loaded: Loaded = dict.fromkeys(self.unreadable)
        quotas = self.book.quotas_of((item.what for item in items), self.number)
        for stream in map(stream_id, (*accounts_of(items), *quotas)):
            if stream in self.states and stream not in loaded:
                version, state = self.states[stream]
                account = decode_account(STATE_FORMAT, state)
                assert account is not None
                loaded[stream] = (account, version)
        now = max(self.clock.now(), self.last_recorded_at)
        context = Context(now, CALENDAR, self.rulebook, self.book.offers)
        sponsors = Sponsors(self.book, self.members, self.number) if self.book.offers else None
        batch = Batch(context, loaded, self.keys, sponsors)
        batch.run(items)
        return batch, now

    def _answer_repeats(self, items: list[Item]) -> None:
        for item in items:
            if item.repeats is not None:
                item.outcome = self._again(item, item.repeats)

    def _again(self, item: Item, row: KeyRow) -> Outcome | UsageOutcome:
        made = self._made_by(row)
        if isinstance(item.what, Usage):
            assert isinstance(made[0], DataSpent)
            return repeat_usage(item.what, made[0])
        return repeat_command(item.what, made, row.version, CALENDAR)

    def events_by_key(self, key: bytes) -> list[Event]:
        """Return the events that a key made, none if it is not bound."""
        row = self.keys.get(key)
        return [] if row is None else self._made_by(row)

    def _made_by(self, row: KeyRow) -> list[Event]:
        return [
            decode_event(topic, state)
            for stream, version, topic, state in self.log
            if stream == row.stream and row.version <= version < row.version + row.events
        ]

    def account(self, account_id: str) -> Account | None:
        """Return an account's stored state."""
        if stream_id(account_id) not in self.states:
            return None
        return decode_account(STATE_FORMAT, self.states[stream_id(account_id)][1])

    def events(self) -> list[Event]:
        """Return the log, decoded."""
        return [decode_event(topic, state) for _, _, topic, state in self.log]

    def departed(self, transfer_id: str) -> DataTransferred:
        """Return a transfer's departure."""
        return next(
            moved
            for moved in self.events()
            if isinstance(moved, DataTransferred) and moved.transfer_id == transfer_id
        )

    def refolded(self) -> dict[bytes, Account]:
        """Return every account as its events leave it."""
        accounts: dict[bytes, Account] = {}
        for stream, _, topic, state in self.log:
            event = decode_event(topic, state)
            if not isinstance(event, WITHOUT_ACCOUNT):
                accounts[stream] = evolve(accounts.get(stream), event)
        return accounts


class MemoryBank:
    """All partitions, and the sagas between them over whatever delivery a test makes up."""

    def __init__(
        self,
        partitions: int = 2,
        now: str = "2015-08-10T12:00:00",
        rulebook: RuleBook = RULEBOOK,
    ) -> None:
        self.clock = FixedClock(CALENDAR.parse(now))
        self.partitions = [
            MemoryPartition(number, self.clock, rulebook) for number in range(partitions)
        ]

    def sponsor(self, *offers: Offer, members: Iterable[tuple[str, str]] = ()) -> None:
        """Let every partition know these offers, and no others."""
        for partition in self.partitions:
            partition.book = OfferBook(offers)
            partition.members = frozenset(members)

    def at(self, text: str) -> None:
        """Set bank time."""
        self.clock.at = CALENDAR.parse(text)

    def of(self, account_id: str) -> MemoryPartition:
        """Return the partition of an account."""
        return self.partitions[partition_of(account_id, len(self.partitions))]

    def do(self, *commands: AnyCommand | Usage, crash: str = "") -> list[Any]:
        """Execute commands, one batch per partition."""
        return self._each(commands, lambda partition, share: partition.execute(share, crash=crash))

    def rehearse(self, *commands: AnyCommand | Usage) -> list[Any]:
        """Return the outcomes that `do` would have, and store nothing."""
        return self._each(commands, MemoryPartition.rehearse)

    def _each(
        self,
        commands: Sequence[AnyCommand | Usage],
        run: Callable[[MemoryPartition, list[Item]], None],
    ) -> list[Any]:
        items = [
            Item(resolved(command, self.of(command.account).events_by_key), "operator", OPERATOR)
            for command in commands
        ]
        for partition in self.partitions:
            share = [item for item in items if self.of(item.what.account) is partition]
            if share:
                run(partition, share)
        return [item.outcome for item in items if item.outcome is not None]

    def account(self, account_id: str) -> Account:
        """Return an account's state; it must exist."""
        account = self.of(account_id).account(account_id)
        assert account is not None
        return account

    def deliver(self, target: int, source: int, index: int, crash: str = "") -> None:
        """Hand one event of a partition's log (`index` from 0) to another, gap rule included."""
        partition = self.partitions[target]
        if index + 1 <= partition.positions.get(source, 0):
            return
        start = partition.positions.get(source, 0)
        items = []
        for at in range(start, index + 1):
            event = decode_event(*self.partitions[source].log[at][2:])
            item = self.item_of(target, event, f"/bank/1/{source}/{at}")
            if item is not None:
                items.append(item)
        partition.execute(items, source, index + 1, crash)

    def item_of(self, target: int, event: Event, event_id: str = "") -> Item | None:
        """Return what an event asks of a partition (as services.ledger.integration does)."""
        me = self.partitions[target]
        by = Meta(actor="ledger", correlation_id=event.correlation_id)
        if isinstance(event, DataTransferred) and self.of(event.to) is me:
            key = f"arrive:{event.transfer_id}"
            if event.undoes is None:
                return Item(Arrive(key=key, account=event.to, transfer=event), "ledger", by)
            undone = me.departed(event.undoes)
            put_back = PutBack(key=key, account=event.to, transfer=event, departed=undone)
            return Item(put_back, "ledger", by)
        if isinstance(event, ArrivalRefused) and self.of(event.account) is me:
            departed = me.departed(event.transfer_id)
            key = f"take-back:{event.transfer_id}"
            return Item(
                TakeBack(key=key, account=event.account, transfer=departed, code=event.code),
                "ledger",
                by,
            )
        quota = quota_command(event, event_id, lambda name: self.of(name) is me)
        if quota is not None:
            return Item(quota, "ledger", by)
        if isinstance(event, DataReceived) and event.fee_legs and self.of(FEES_ACCOUNT) is me:
            fee = TakeFee(key=f"fee:{event.transfer_id}", account=FEES_ACCOUNT, arrived=event)
            return Item(fee, "ledger", by)
        return None

    def hear(self, *events: Event, crash: str = "") -> list[Any]:
        """Do what events of gifting ask, as one batch per partition; return the outcomes."""
        items = [
            gifting.item_of(event, f"/bank/1/gifting_00/{n}") for n, event in enumerate(events)
        ]
        asked = [item for item in items if item is not None]
        for partition in self.partitions:
            share: list[Item] = [i for i in asked if self.of(i.what.account) is partition]
            if share:
                partition.execute(share, crash=crash)
        return [item.outcome for item in asked]

    def told(self, kind: type[Event], correlation_id: str = "") -> list[Any]:
        """Return the events of a kind in all logs, of one saga if it is named."""
        return [
            event
            for partition in self.partitions
            for event in partition.events()
            if isinstance(event, kind) and correlation_id in ("", event.correlation_id)
        ]

    def do_due(self) -> None:
        """Do what is due by the clock."""
        for partition in self.partitions:
            partition.do_due()

    def settle(self) -> None:
        """Deliver everything until nothing is on its way."""
        moved = True
        while moved:
            moved = False
            for source, origin in enumerate(self.partitions):
                for target, partition in enumerate(self.partitions):
                    if partition.positions.get(source, 0) < len(origin.log):
                        self.deliver(target, source, len(origin.log) - 1)
                        moved = True

    def in_transit(self) -> int:
        """Return the bytes that departed and neither arrived nor came back."""
        accounts = [account for p in self.partitions for account in p.refolded().values()]
        return sum(a.transferred - a.received - a.returned for a in accounts)


def expired_by_close(bank: MemoryBank, account: str) -> dict[str, int]:
    """Return what expires of each lot when an account's month is closed at its end; on a copy."""
    month = CALENDAR.month_of(bank.clock.at)
    ahead = copy.deepcopy(bank)
    ahead.clock.at = CALENDAR.month_end(month)
    ahead.do(CloseMonth(key="real", account=account, month=month))
    return {
        part.lot_id: part.bytes
        for event in ahead.told(DataExpired)
        if (event.account, event.recorded_at) == (account, ahead.clock.at)
        for part in event.slices
    }
