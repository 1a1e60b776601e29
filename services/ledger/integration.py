"""What events of other partitions and of gifting ask of this one: arrivals, returns, gifts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import msgspec
from psycopg import Connection

from services.ledger import gifting, tasks
from services.ledger.application import Ledger, wait_for
from services.ledger.domain.commands import Arrive, PutBack, TakeBack, TakeFee
from services.ledger.domain.context import Meta
from services.ledger.items import Item
from services.ledger.partition import Partition
from services.ledger.quota_sagas import quota_command
from shared.bus import parking
from shared.bus.parking import Parked
from shared.bus.positions import UPSERT_POSITION, InboxPosition, Reached
from shared.contracts.envelope import Batch, Envelope
from shared.contracts.gifting import EVENT_BY_TYPE as EVENT_OF_GIFTING
from shared.contracts.ledger import (
    EVENT_BY_TYPE,
    FEES_ACCOUNT,
    ArrivalRefused,
    DataReceived,
    DataTransferred,
    Event,
)
from shared.contracts.tasks import EVENT_BY_TYPE as EVENT_OF_TASKS
from shared.errors import NotFoundError
from shared.ids import partition_of

STORE_EVERY_S = 1.0
ERROR_LENGTH_MAX = 2_000
# Whoever parks events of a partition, or takes them away, waits for its turn.
PARKED_LOCK_SPACE = 0x7061726B
BEHIND = "waits behind an earlier parked event of this account"


class PartitionConsumer:
    """One partition's inbox: it follows lane `sagas` of gifting and of every partition."""

    lane = "sagas"

    def __init__(self, ledger: Ledger, partition: Partition) -> None:
        self.name = partition.name
        self._ledger = ledger
        self._partition = partition
        self._reached = Reached(self.name, self.lane, partition.connection)
        self._stored_at: dict[str, float] = {}

    def position(self, source: str) -> int:
        """Return the position, 0 at the beginning; what came of all before it is durable."""
        return self._reached.at(source)

    def apply(self, batch: Batch) -> None:
        """Execute what the events ask, and move the position, in one transaction."""
        self.begin(batch)()

    def begin(self, batch: Batch) -> Callable[[], None]:
        """Begin to do what the events ask: batches that are under way share a transaction."""
        at = self.position(batch.source)
        position = self._reached.leave(batch)
        fresh = [envelope for envelope in batch.events if int(envelope.sequence) > at]
        asked = [(envelope, item) for envelope in fresh if (item := self.item_of(envelope))]
        items = self._not_waiting(asked) if asked else []
        done = self._ledger.begin(self._partition, items, position) if items else None
        if done is None and batch.sequence > at:
            self._store_rarely(position)

        def end() -> None:
            if done is not None:
                wait_for(done)
            self._reached.reach(batch.source, max(at, batch.sequence))

        return end

    def _store_rarely(self, position: InboxPosition) -> None:
        """Store the position of what nothing came of, at most once a second.

        Most events are other partitions' business: they may be seen again, so that their position
        need not be stored each time, which would be a commit for each page.
        """
        if self._stored_at.get(position.source, 0.0) < monotonic() - STORE_EVERY_S:
            with self._partition.connection() as conn:
                conn.execute(UPSERT_POSITION, position)
            self._stored_at[position.source] = monotonic()

    def _not_waiting(self, asked: list[tuple[Envelope, Item]]) -> list[Item]:
        """Park what is asked of accounts that wait, behind what they wait for; return the rest."""
        with self._partition.connection() as conn:
            waiting = self._waiting(conn)
        if waiting.isdisjoint(item.what.account for _, item in asked):
            return [item for _, item in asked]
        # A retry may be about to empty the account's line: nobody must join it after that.
        with self._parked_turn() as conn:
            waiting = self._waiting(conn)
            for envelope, item in asked:
                if item.what.account in waiting:
                    self._insert_parked(conn, envelope, item.what.account, BEHIND, 0)
        return [item for _, item in asked if item.what.account not in waiting]

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Put an event aside that can't be handled, and step over it."""
        envelope = batch.events[0]
        position = self._reached.leave(batch)
        with self._parked_turn() as conn:
            self._insert_parked(conn, envelope, self._target(envelope), error, attempts)
            conn.execute(UPSERT_POSITION, position)

    def retry_parked(self) -> dict[str, int]:
        """Handle parked events again, in order; an account stops at its first failure.

        What the inbox parks meanwhile is handled too. An event that both handle counts once, by
        its key.
        """
        done, stuck = 0, set[str]()
        while parked := self._next_parked(stuck):
            try:
                item = self.item_of(parked.event)
                if item is not None:
                    position = InboxPosition(self.name, parked.source, self.lane, 0)
                    self._ledger.apply(self._partition, [item], position)
            except Exception as error:  # noqa: BLE001 It stays parked, with its newest error.
                stuck.add(parked.account)
                with self._partition.connection() as conn:
                    text = str(error)[:ERROR_LENGTH_MAX]
                    parking.failed_again(conn.cursor(), parked, text)
                continue
            done += 1
            self._unpark(parked)
        left = sum(row["consumer"] == self.name for row in self._partition.parked())
        return {"applied": done, "still_parked": left}

    def _next_parked(self, stuck: set[str]) -> Parked | None:
        with self._partition.connection() as conn:
            return parking.first_parked(conn.cursor(), self.name, stuck)

    def _unpark(self, parked: Parked) -> None:
        with self._parked_turn() as conn:
            parking.unpark(conn.cursor(), [parked])

    @contextmanager
    def _parked_turn(self) -> Iterator[Connection[Any]]:
        """Lend a transaction in which nobody else parks, or takes away what is parked."""
        with self._partition.connection() as conn, conn.transaction():
            turn = (PARKED_LOCK_SPACE, self._partition.number)
            conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", turn)
            yield conn

    def item_of(self, envelope: Envelope) -> Item | None:
        """Return the command that an event asks of this partition, None if it asks nothing.

        Raises NotFoundError when the departure of a transfer that was refused, or is clawed back,
        is not in this partition's log, KeyError, msgspec.ValidationError.
        """
        if envelope.type in EVENT_OF_GIFTING:
            asked = msgspec.convert(envelope.data, EVENT_OF_GIFTING[envelope.type])
            return gifting.item_of(asked, envelope.id) if self._is_mine(asked.account) else None
        if envelope.type in EVENT_OF_TASKS:
            asked = msgspec.convert(envelope.data, EVENT_OF_TASKS[envelope.type])
            if not self._is_mine(asked.account):
                return None
            return tasks.item_of(asked, envelope.id, self._ledger.resolved)
        event = msgspec.convert(envelope.data, EVENT_BY_TYPE[envelope.type])
        return self._answer(event, envelope.id)

    def _answer(self, event: Event, event_id: str) -> Item | None:
        """Return what an event of a partition asks of this one."""
        meta = Meta(actor="ledger", correlation_id=event.correlation_id, causation_id=event_id)
        if isinstance(event, DataTransferred) and event.undoes and self._is_mine(event.to):
            departed = self._departed(event.undoes)
            key = f"arrive:{event.transfer_id}"
            put_back = PutBack(key=key, account=event.to, transfer=event, departed=departed)
            return Item(put_back, "ledger", meta)
        if isinstance(event, DataTransferred) and self._is_mine(event.to):
            command = Arrive(key=f"arrive:{event.transfer_id}", account=event.to, transfer=event)
            return Item(command, "ledger", meta)
        if isinstance(event, ArrivalRefused) and self._is_mine(event.account):
            departed = self._departed(event.transfer_id)
            back = TakeBack(
                key=f"take-back:{event.transfer_id}",
                account=event.account,
                transfer=departed,
                code=event.code,
            )
            return Item(back, "ledger", meta)
        if (quota := quota_command(event, event_id, self._is_mine)) is not None:
            return Item(quota, "ledger", meta)
        if isinstance(event, DataReceived) and event.fee_legs and self._is_mine(FEES_ACCOUNT):
            fee = TakeFee(key=f"fee:{event.transfer_id}", account=FEES_ACCOUNT, arrived=event)
            return Item(fee, "ledger", meta)
        return None

    def _departed(self, transfer_id: str) -> DataTransferred:
        for event in self._partition.events_by_key(bytes.fromhex(transfer_id)):
            if isinstance(event, DataTransferred):
                return event
        raise NotFoundError(f"no transfer {transfer_id} departed from {self.name}")

    def _is_mine(self, account: str) -> bool:
        return partition_of(account, len(self._ledger.partitions)) == self._partition.number

    def _target(self, envelope: Envelope) -> str:
        """Return the account that waits: a transfer's receiver, a fee's; else the giver."""
        if envelope.type == DataTransferred.TYPE and isinstance(envelope.data, dict):
            return str(envelope.data.get("to") or envelope.subject)
        if envelope.type == DataReceived.TYPE:
            return FEES_ACCOUNT
        return envelope.subject

    def _waiting(self, conn: Connection[Any]) -> set[str]:
        return parking.parked_accounts(conn.cursor(), self.name)

    def _insert_parked(
        self, conn: Connection[Any], envelope: Envelope, account: str, error: str, attempts: int
    ) -> None:
        parking.park(
            conn.cursor(), self.name, envelope, error[:ERROR_LENGTH_MAX], attempts,
            at=self._partition.clock.now(), account=account,
        )  # fmt: skip
