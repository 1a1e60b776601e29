"""What other partitions' events ask of this one: arrivals, and returns of refused transfers."""

import msgspec
from psycopg.rows import tuple_row

from services.ledger.application import Ledger
from services.ledger.batch import Item
from services.ledger.domain.commands import Arrive, PutBack, TakeBack
from services.ledger.domain.context import Meta
from services.ledger.partition import UPSERT_POSITION, InboxPosition, Partition
from shared.contracts.envelope import Batch, Envelope
from shared.contracts.ledger import ArrivalRefused, DataTransferred, decode_data
from shared.errors import NotFoundError
from shared.ids import partition_of

INSERT_PARKED = """
INSERT INTO parked (consumer, source, sequence, account, event, error, attempts, parked_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
BEHIND = "waits behind an earlier parked event of this account"


class PartitionConsumer:
    """One partition's inbox: it follows lane `sagas` of every partition, its own included."""

    lane = "sagas"

    def __init__(self, ledger: Ledger, partition: Partition) -> None:
        self.name = partition.name
        self._ledger = ledger
        self._partition = partition
        self._positions: dict[str, int] = {}

    def position(self, source: str) -> int:
        """Return the durable position, 0 at the beginning.

        It is kept in memory: where another process has moved it since, what is applied again is
        known by its keys, and the stored position never goes back.
        """
        at = self._positions.get(source)
        if at is None:
            at = self._positions[source] = self._stored_position(source)
        return at

    def _stored_position(self, source: str) -> int:
        with self._partition.connection() as conn:
            row = conn.cursor(row_factory=tuple_row).execute(
                "SELECT sequence FROM inbox_positions"
                " WHERE consumer = %s AND source = %s AND lane = %s",
                (self.name, source, self.lane),
            ).fetchone()  # fmt: skip
        return int(row[0]) if row else 0

    def apply(self, batch: Batch) -> None:
        """Execute what the events ask, and move the position, in one transaction."""
        at = self.position(batch.source)
        self._positions.pop(batch.source, None)
        parked = self._parked_accounts()
        items = []
        for envelope in batch.events:
            if int(envelope.sequence) <= at:
                continue
            item = self.item_of(envelope)
            if item is not None and item.what.account in parked:
                self._insert_parked(envelope, item.what.account, BEHIND, 0)
            elif item is not None:
                items.append(item)
        position = InboxPosition(self.name, batch.source, self.lane, batch.sequence)
        if items:
            self._ledger.apply(self._partition, items, position)
        elif batch.sequence > at:
            with self._partition.connection() as conn:
                conn.execute(UPSERT_POSITION, position)
        self._positions[batch.source] = max(at, batch.sequence)

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Put an event aside that can't be handled, and step over it."""
        envelope = batch.events[0]
        self._positions.pop(batch.source, None)
        self._insert_parked(envelope, self._target(envelope), error, attempts)
        with self._partition.connection() as conn:
            conn.execute(
                UPSERT_POSITION, InboxPosition(self.name, batch.source, self.lane, batch.sequence)
            )

    def retry_parked(self) -> dict[str, int]:
        """Handle parked events again, in order; an account stops at its first failure."""
        with self._partition.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(
                "SELECT source, sequence, account, event FROM parked WHERE consumer = %s"
                " ORDER BY source, sequence",
                (self.name,),
            ).fetchall()  # fmt: skip
        done, stuck = 0, set()
        for source, sequence, account, event in rows:
            if account in stuck:
                continue
            try:
                item = self.item_of(msgspec.convert(event, Envelope))
                if item is not None:
                    position = InboxPosition(self.name, source, self.lane, 0)
                    self._ledger.apply(self._partition, [item], position)
            except Exception as error:  # noqa: BLE001 It stays parked, with its newest error.
                stuck.add(account)
                self._note(source, sequence, str(error))
                continue
            done += 1
            with self._partition.connection() as conn:
                conn.execute(
                    "DELETE FROM parked WHERE consumer = %s AND source = %s AND sequence = %s",
                    (self.name, source, sequence),
                )
        return {"applied": done, "still_parked": len(rows) - done}

    def item_of(self, envelope: Envelope) -> Item | None:
        """Return the command that an event asks of this partition, None if it asks nothing.

        Raises NotFoundError when the departure of a transfer that was refused, or is clawed back,
        is not in this partition's log.
        """
        event = decode_data(envelope.type, envelope.data)
        meta = Meta(actor="ledger", correlation_id=event.correlation_id, causation_id=envelope.id)
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
        return None

    def _departed(self, transfer_id: str) -> DataTransferred:
        for event in self._partition.events_by_key(bytes.fromhex(transfer_id)):
            if isinstance(event, DataTransferred):
                return event
        raise NotFoundError(f"no transfer {transfer_id} departed from {self.name}")

    def _is_mine(self, account: str) -> bool:
        return partition_of(account, len(self._ledger.partitions)) == self._partition.number

    def _target(self, envelope: Envelope) -> str:
        """Return the account that waits: a transfer's receiver; of a refusal, the giver."""
        if envelope.type == DataTransferred.TYPE and isinstance(envelope.data, dict):
            return str(envelope.data.get("to") or envelope.subject)
        return envelope.subject

    def _parked_accounts(self) -> set[str]:
        with self._partition.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(
                "SELECT DISTINCT account FROM parked WHERE consumer = %s", (self.name,)
            ).fetchall()  # fmt: skip
        return {row[0] for row in rows}

    def _insert_parked(self, envelope: Envelope, account: str, error: str, attempts: int) -> None:
        body = msgspec.json.encode(envelope).decode()
        row = (
            self.name, envelope.source, int(envelope.sequence), account, body, error[:2000],
            attempts,
            self._partition.clock.now(),
        )  # fmt: skip
        with self._partition.connection() as conn:
            conn.execute(INSERT_PARKED, row)

    def _note(self, source: str, sequence: int, error: str) -> None:
        with self._partition.connection() as conn:
            conn.execute(
                "UPDATE parked SET error = %s, attempts = attempts + 1"
                " WHERE consumer = %s AND source = %s AND sequence = %s",
                (error[:2000], self.name, source, sequence),
            )
