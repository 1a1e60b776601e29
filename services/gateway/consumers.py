"""Each view as a consumer of the ledger's logs: rows and position in one transaction."""

from time import monotonic
from typing import Any

from services.gateway import store
from services.gateway.integration import Spent, decode_event
from services.gateway.projections import Delta
from services.gateway.store import LANE, AnyCursor, Store
from services.gateway.views import View
from shared.bus import parking
from shared.bus.parking import Parked
from shared.clock import BankClock
from shared.contracts.envelope import Batch, Envelope, log_of
from shared.db import AWAY
from shared.errors import UnavailableError

ERROR_LENGTH_MAX = 2_000
KEPT_S = 1.0


class ViewConsumer:
    """Follows lane `all` of every log and keeps one view; threads may share it."""

    lane = LANE

    def __init__(
        self, view: View, store_: Store, clock: BankClock, name: str | None = None
    ) -> None:
        self.name = name or view.name
        self.view = view
        self._store = store_
        self._clock = clock
        # Positions by source, each with when it was had.
        self._positions: dict[str, tuple[int, float]] = {}

    def position(self, source: str) -> int:
        """Return the durable position, 0 at the beginning. Raises UnavailableError.

        It is kept in memory for a second, since it is looked at several times for each batch:
        where another process has moved it meanwhile, `apply` sees that under the view's lock.
        """
        at, had_s = self._positions.get(source, (0, 0.0))
        if monotonic() - had_s > KEPT_S:
            with self._store.cursor() as cursor:
                at = store.positions(cursor, self.name).get(source, 0)
            self._positions[source] = at, monotonic()
        return at

    def apply(self, batch: Batch) -> None:
        """Write what the events change, and the position.

        Raises UnavailableError when the database is away or the view was swapped for one that is
        behind this batch; anything else means that an event is poison.
        """
        self._positions.pop(batch.source, None)
        with self._store.cursor() as cursor:
            events = self._fresh(cursor, batch)
            free, behind = store.split_waiting(events, store.waiting(cursor, self.name))
            self.write_events(cursor, free)
            self.park_all(cursor, behind, parking.BEHIND, 0)
            if events:
                store.set_positions(cursor, self.name, {batch.source: batch.sequence})
        if events:
            self._positions[batch.source] = batch.sequence, monotonic()

    def park(self, batch: Batch, error: str, attempts: int) -> None:
        """Put an event aside and step over it."""
        self._positions.pop(batch.source, None)
        with self._store.cursor() as cursor:
            events = self._fresh(cursor, batch)
            self.park_all(cursor, events, error, attempts)
            if events:
                store.set_positions(cursor, self.name, {batch.source: batch.sequence})

    def write_events(self, cursor: AnyCursor, events: list[Envelope]) -> None:
        """Write what events change."""
        if events:
            delta = self.view.new_delta()
            fold(delta, events)
            self.view.write(cursor, delta)

    def park_all(
        self, cursor: AnyCursor, events: list[Envelope], error: str, attempts: int
    ) -> None:
        """Put events aside."""
        now = self._clock.now()
        for event in events:
            parking.park(cursor, self.name, event, error[:ERROR_LENGTH_MAX], attempts, at=now)

    def retry_parked(self) -> dict[str, int]:
        """Apply what was put aside, each account's in order, up to its first failure."""
        with self._store.cursor() as cursor:
            accounts = sorted(parking.parked_accounts(cursor, self.name))
        applied = left = 0
        for account in accounts:
            with self._store.cursor() as cursor:
                store.lock(cursor, self.name)
                events = parking.take_for_retry(cursor, self.name, account)
                done = self._retry(cursor, events)
            applied += done
            left += len(events) - done
        return {"applied": applied, "still_parked": left}

    def _retry(self, cursor: AnyCursor, events: list[Parked]) -> int:
        for number, parked in enumerate(events):
            try:
                with cursor.connection.transaction():
                    self.write_events(cursor, [parked.event])
            except (UnavailableError, *AWAY):
                raise
            except Exception as error:  # noqa: BLE001 It stays parked, with its newest error.
                text = f"{type(error).__name__}: {error}"[:ERROR_LENGTH_MAX]
                parking.failed_again(cursor, parked, text)
                return number
            parking.unpark(cursor, [parked])
        return len(events)

    def _fresh(self, cursor: AnyCursor, batch: Batch) -> list[Envelope]:
        """Return the events behind the position, which stays locked until the transaction ends."""
        store.lock(cursor, self.name)
        position = store.positions(cursor, self.name).get(batch.source, 0)
        if batch.previous > position:
            raise UnavailableError(
                f"{self.name} went back to {position} of {batch.source}; it will be pulled level"
            )
        return [event for event in batch.events if int(event.sequence) > position]


def fold(delta: Delta, events: list[Envelope]) -> int:
    """Add what events change and return how many usage lines were in them.

    Raises KeyError, msgspec.ValidationError for an event that is poison.
    """
    lines = 0
    for envelope in events:
        event = decode_event(envelope)
        delta.add(log_of(envelope.source), event)
        if isinstance(event, Spent):
            lines += len(event.lines)
    return lines


def shadow_name(view: Any) -> str:
    """Return the consumer's name of a rebuild under way."""
    return f"{view.name}:shadow"
