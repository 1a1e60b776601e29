"""What the ledger's events mean for sagas: an inbox, lane `sagas` of every ledger partition."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.bus import parking
from shared.bus.parking import Parked
from shared.bus.positions import UPSERT_POSITION, InboxPosition, Reached
from shared.contracts.envelope import Batch, Envelope
from shared.contracts.ledger import EVENT_BY_TYPE, DataClawedBack, Event, decode_data
from shared.db import AWAY
from shared.errors import UnavailableError
from shared.sagas.store import SagaStore
from shared.sagas.turn import SagaNeeds, SagaTurn
from shared.sagas.writer import Job, Writer, wait_for

BY_THE_LEDGER = "ledger"
ID_DIGITS = 32
ERROR_LENGTH_MAX = 2_000


_decoders = {name: msgspec.json.Decoder(kind) for name, kind in EVENT_BY_TYPE.items()}


class TakeIn(Job[None]):
    """Let sagas take in what the ledger says of them, and move the inbox's position.

    What is about a saga that waits behind a parked event is parked too, except in a `retry`.
    """

    def __init__(
        self, events: list[Envelope], position: InboxPosition, *, retry: bool = False
    ) -> None:
        super().__init__()
        self._events = [(saga, event) for event in events if (saga := saga_of(event)) is not None]
        self._position = position
        self._retry = retry

    def need(self, needs: SagaNeeds) -> None:
        """Say what has to be read."""
        needs.about({saga for saga, _ in self._events})
        if not self._retry:
            needs.consumers.add(self._position.consumer)

    def decide(self, turn: SagaTurn) -> None:
        """Take in what is about something of this service; others have sagas too."""
        for saga, envelope in self._events:
            hear = turn.listener(saga)
            if hear is None:
                continue
            if saga.hex in turn.parked and not self._retry:
                turn.park(self._position.consumer, envelope, saga.hex, parking.BEHIND, 0)
                continue
            event = event_in(envelope)
            hear(event, turn.meta(BY_THE_LEDGER, causation_id=envelope.id))
        turn.reach(self._position)


class TakeInAgain(TakeIn):
    """Take in what was put aside, and forget that it was, in one turn.

    A turn that comes later finds nothing parked that is no longer: nothing is ever parked behind
    an event that has been taken in.
    """

    def __init__(self, parked: Parked, lane: str) -> None:
        position = InboxPosition(parked.consumer, parked.source, lane, 0)
        super().__init__([parked.event], position, retry=True)
        self._parked = parked

    def decide(self, turn: SagaTurn) -> None:
        """Take it in."""
        super().decide(turn)
        turn.unpark(self._parked)


def event_in(envelope: Envelope) -> Event:
    """Return the ledger's event. Raises KeyError, msgspec.DecodeError, msgspec.ValidationError."""
    if isinstance(envelope.data, msgspec.Raw):
        return _decoders[envelope.type].decode(envelope.data)
    return decode_data(envelope.type, envelope.data)


def saga_of(event: Envelope) -> UUID | None:
    """Return the saga that an event may be about: its correlation id, or what a clawback undoes."""
    text = _undone(event) or event.correlationid or ""
    if len(text) != ID_DIGITS:
        return None
    try:
        return UUID(hex=text)
    except ValueError:
        return None


def _undone(event: Envelope) -> str:
    """Return whose transfer a clawback undoes: an operator's has a correlation id of its own."""
    if event.type != DataClawedBack.TYPE:
        return ""
    try:
        told = event_in(event)
    except msgspec.DecodeError:  # Whoever takes it in says so.
        return ""
    return told.undone_correlation_id if isinstance(told, DataClawedBack) else ""


def waits_as(event: Envelope) -> str:
    """Return in whose name an event waits behind a parked one: its saga's."""
    saga = saga_of(event)
    return event.subject if saga is None else saga.hex


class LedgerConsumer:
    """A service's inbox. Threads may share it; effect and position are one transaction.

    `writer` gives the service's writer, which is started at first use. `hears` are the types of
    events that its sagas hear; others cost nothing more than their place (None: all).
    """

    lane = "sagas"

    def __init__(
        self, store: SagaStore[Any], writer: Callable[[], Writer],
        hears: frozenset[str] | None = None,
    ) -> None:  # fmt: skip
        self.name = store.name
        self._store = store
        self._writer = writer
        self._hears = hears
        self._reached = Reached(self.name, self.lane, store.connection)

    def position(self, source: str) -> int:
        """Return the durable position, 0 at the beginning."""
        return self._reached.at(source)

    def apply(self, batch: Batch) -> None:
        """Take in a batch, and move the position, in one transaction."""
        self.begin(batch)()

    def begin(self, batch: Batch) -> Callable[[], None]:
        """Begin to take in a batch: several that are under way share a turn."""
        at = self.position(batch.source)
        position = self._reached.leave(batch)
        fresh = [
            each
            for each in batch.events
            if int(each.sequence) > at and (self._hears is None or each.type in self._hears)
        ]
        taken = self._writer().submit(TakeIn(fresh, position))

        def end() -> None:
            wait_for(taken)
            self._reached.reach(batch.source, max(at, batch.sequence))

        return end

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Put an event aside that can't be taken in, and step over it."""
        event = batch.events[0]
        position = self._reached.leave(batch)
        with self._store.connection() as conn, conn.transaction():
            cursor = conn.cursor()
            parking.park(
                cursor, self.name, event, error[:ERROR_LENGTH_MAX], attempts,
                at=self._store.clock.now(), account=waits_as(event),
            )  # fmt: skip
            cursor.execute(UPSERT_POSITION, position)

    def parked(
        self, account: str | None = None, after: Sequence[Any] | None = None,
        limit: int = parking.LIST_MAX,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return up to `limit` of what was put aside behind a place, in order."""
        place = None if after is None else (after[0], after[1], after[2])
        with self._store.connection() as conn:
            found = parking.list_parked(
                conn.cursor(), [self.name], account=account, after=place, limit=limit
            )
        return [
            {
                "consumer": each.consumer, "source": each.source, "sequence": each.sequence,
                "account": each.account, "type": each.event.type, "error": each.error,
                "attempts": each.attempts, "parked_at": each.parked_at,
            }
            for each in found
        ]  # fmt: skip

    def retry_parked(self) -> dict[str, int]:
        """Take in what was put aside, each saga's in order, up to its first failure.

        What is put aside meanwhile is taken in, too.
        """
        done, stuck = 0, set[str]()
        while parked := self._next_parked(stuck):
            if self._retry(parked):
                done += 1
            else:
                stuck.add(parked.account)
        with self._store.connection() as conn:
            left = parking.count_parked(conn.cursor(), self.name)
        return {"applied": done, "still_parked": left}

    def _next_parked(self, stuck: set[str]) -> Parked | None:
        with self._store.connection() as conn:
            return parking.first_parked(conn.cursor(), self.name, stuck)

    def _retry(self, parked: Parked) -> bool:
        try:
            self._writer().run(TakeInAgain(parked, self.lane))
        except (UnavailableError, *AWAY):
            raise
        except Exception as error:  # noqa: BLE001 It stays parked, with its newest error.
            with self._store.connection() as conn:
                parking.failed_again(conn.cursor(), parked, str(error)[:ERROR_LENGTH_MAX])
            return False
        return True
