"""The relay: publishes one log's lanes in order and remembers how far the broker has confirmed.

The position is stored after the confirm, so a crash in between publishes a page twice, never not
at all; consumers drop what they have. Only the holder of the log's lock publishes, and the lock's
own connection stores the position, so that a relay which lost its lock cannot store one either.
"""

import time
from threading import Event
from typing import Any, Protocol

from psycopg import Connection
from psycopg.rows import scalar_row

from shared.bus.backoff import Backoff
from shared.bus.doorbell import Bell
from shared.bus.types import Log, Page
from shared.contracts.envelope import BATCH_EVENTS_MAX, LANES, Head
from shared.db import away_is_unavailable, connect
from shared.errors import UnavailableError
from shared.logs import logger

# The relays' advisory locks; other locks of the database have spaces of their own.
RELAY_LOCK_SPACE = 0x72656C61
HEADS_EVERY_S = 1.0
POLL_S = 0.5
# Somebody waits for a saga's next step; views may see it a moment later.
IN_ORDER = ("sagas", "all")
assert set(IN_ORDER) == set(LANES)
LOCK_POLL_S = 1.0
# A busy log commits often, and each message costs every consumer a transaction: after a page that
# was not full the next one waits a moment, so that it carries several commits. What comes after a
# rest goes at once.
PACE_S = 0.1
# Behind a page of so many events there are many more: then twice as long.
BUSY_EVENTS = 10
BUSY_PACE_S = 0.2
# Nobody waits for a view as for a saga's next step; a page costs every view a transaction.
VIEWS_PACE_S = 0.25


class Publisher(Protocol):
    """Where a relay publishes to."""

    def publish(self, page: Page) -> None:
        """Publish a page; return once it is confirmed. Raises UnavailableError."""
        ...

    def publish_head(self, head: Head) -> None:
        """Publish how far a lane is. Raises UnavailableError."""
        ...

    def close(self) -> None:
        """Let go of the broker."""
        ...


class RelayState(Protocol):
    """A relay's lock and positions."""

    def hold(self) -> bool:
        """Take the lock, or look whether it is still held. Raises UnavailableError."""
        ...

    def get(self, lane: str) -> int:
        """Return the lane's position, 0 at the beginning. Raises UnavailableError."""
        ...

    def set(self, lane: str, sequence: int) -> None:
        """Store the lane's position. Raises UnavailableError."""
        ...

    def close(self) -> None:
        """Let the lock go."""
        ...


class SqlRelayState:
    """A RelayState in the log's own schema (table `relay_positions`), locked by a session."""

    def __init__(self, conninfo: str, schema: str) -> None:
        self._conninfo = conninfo
        self._schema = schema
        self._conn: Connection[Any] | None = None

    def hold(self) -> bool:
        """Take the lock, or look whether it is still held. Raises UnavailableError."""
        if self._conn is not None:
            self._one("SELECT 1")
            return True
        conn = connect(self._conninfo, schema=self._schema, row_factory=scalar_row)
        # A position that a crash loses is a page that is published twice.
        conn.execute("SET synchronous_commit = off")
        key = (RELAY_LOCK_SPACE, self._schema)
        with away_is_unavailable():
            had = conn.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", key).fetchone()
        if not had:
            conn.close()
            return False
        self._conn = conn
        return True

    def get(self, lane: str) -> int:
        """Return the lane's position, 0 at the beginning. Raises UnavailableError."""
        return int(self._one("SELECT sequence FROM relay_positions WHERE lane = %s", lane) or 0)

    def set(self, lane: str, sequence: int) -> None:
        """Store the lane's position. Raises UnavailableError."""
        self._one(
            "INSERT INTO relay_positions (lane, sequence) VALUES (%s, %s)"
            " ON CONFLICT (lane) DO UPDATE SET sequence = excluded.sequence RETURNING sequence",
            lane,
            sequence,
        )

    def close(self) -> None:
        """Let the lock go."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _one(self, statement: str, *values: object) -> Any:
        if self._conn is None:
            raise UnavailableError("the relay does not hold its lock")
        try:
            with away_is_unavailable():
                return self._conn.execute(statement, values).fetchone()
        except UnavailableError:
            self.close()
            raise


class Relay:
    """Publishes every lane of one log until the stop; when something is away it tries again."""

    def __init__(
        self,
        log: Log,
        state: RelayState,
        publisher: Publisher,
        stop: Event,
        *,
        bell: Bell | None = None,
    ) -> None:
        self._log = log
        self._state = state
        self._publisher = publisher
        self._stop = stop
        self._bell = bell
        self._positions: dict[str, int] = {}
        self._heads_at_s = 0.0
        self._views_at_s = 0.0

    def run(self) -> None:
        """Publish until the stop."""
        backoff = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                if self._state.hold():
                    self._serve(backoff)
                else:
                    self._stop.wait(LOCK_POLL_S)
            except UnavailableError as error:
                if backoff.is_news():
                    at = self._positions
                    logger().warning("relay_waits", log=self._log.name, at=at, error=error.detail)
                backoff.wait()
            except Exception as error:  # noqa: BLE001 The relay never ends by itself.
                if backoff.is_news():
                    logger().error("relay_failed", log=self._log.name, exc_info=error)
                backoff.wait()
        self._publisher.close()
        self._state.close()

    def _serve(self, backoff: Backoff) -> None:
        self._positions = {lane: self._start(lane) for lane in IN_ORDER}
        while not self._stop.is_set():
            rings = self._bell.rings if self._bell else 0
            waits = time.monotonic() < self._views_at_s
            moved = [self._publish_page(lane) for lane in IN_ORDER if not (waits and lane == "all")]
            if not waits and 0 < moved[-1] < BATCH_EVENTS_MAX:
                self._views_at_s = time.monotonic() + VIEWS_PACE_S
            if time.monotonic() >= self._heads_at_s:
                self._state.hold()
                self._publish_heads()
            backoff.reset()
            if not any(moved) and not waits:
                self._wait(rings)
            elif max(moved) < BATCH_EVENTS_MAX:
                self._stop.wait(PACE_S if max(moved) < BUSY_EVENTS else BUSY_PACE_S)

    def _start(self, lane: str) -> int:
        """Return where to go on; a log that a restore made shorter is published from its head."""
        position, head = self._state.get(lane), self._log.head(lane)
        if position > head:
            logger().warning("relay_rewound", log=self._log.name, lane=lane, at=position, head=head)
            self._state.set(lane, head)
        return min(position, head)

    def _publish_page(self, lane: str) -> int:
        """Publish the lane's next events; return how many there were."""
        page = self._log.page(lane, self._positions[lane], BATCH_EVENTS_MAX)
        if page.count == 0:
            return 0
        self._publisher.publish(page)
        self._state.set(lane, page.sequence)
        self._positions[lane] = page.sequence
        return page.count

    def _publish_heads(self) -> None:
        """Tell how far each lane has been published, so that a lost tail is noticed."""
        for lane, sequence in self._positions.items():
            self._publisher.publish_head(Head(self._log.source, lane, sequence))
        self._heads_at_s = time.monotonic() + HEADS_EVERY_S

    def _wait(self, rings: int) -> None:
        if self._bell:
            self._bell.wait(POLL_S, since=rings)
        else:
            self._stop.wait(POLL_S)
