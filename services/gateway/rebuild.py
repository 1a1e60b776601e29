"""Builds a view anew from its service's logs beside the old one, and swaps it in.

Until the swap the view answers as before; a rebuild that dies leaves nothing but rows in shadow
tables, which the next start or rebuild removes.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from typing import Any

from services.gateway import store
from services.gateway.consumers import ViewConsumer, fold
from services.gateway.pages import heads, read_logs
from services.gateway.store import Sequences, Store
from services.gateway.views import View
from shared.bus import parking
from shared.bus.inbox import Inbox
from shared.bus.types import LogReader
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.contracts.envelope import Batch, Envelope
from shared.db import AWAY
from shared.errors import BusyError, NotFoundError, UnavailableError
from shared.logs import logger

FLUSH_ROWS = 20_000
# What is left to the last lap, while writers of the old view wait.
LAST_LAP_EVENTS = 2_000
LAPS_MAX = 50
SWAP_ATTEMPTS = 20
SWAP_PAUSE_S = 0.25
PROGRESS_S = 0.2

Step = dict[str, Any]


class Rebuild:
    """One rebuild of one view."""

    def __init__(
        self, make_view: type[View], store_: Store, reader: LogReader, clock: BankClock,
        calendar: Calendar,
    ) -> None:  # fmt: skip
        view = make_view(calendar, shadow=True)
        self.view = view
        self.name = view.name
        self.shadow = ViewConsumer(view, store_, clock, name=f"{view.name}:shadow")
        self._store = store_
        self._reader = reader
        self._reached: Sequences = {}
        self._events = 0
        self._lines = 0
        self._reset()

    def run(self) -> Iterator[Step]:
        """Yield progress `{view, done, of}`; the last item is the report of this view.

        Raises BusyError when the view is being rebuilt or checked, UnavailableError.
        """
        began = time.monotonic()
        with self._store.maintenance(self.name):
            try:
                self._begin()
                yield from self._catch_up()
                self._swap()
            finally:
                with suppress(UnavailableError):
                    self._clear()
        seconds = time.monotonic() - began
        yield {
            "report": {
                "events": self._events, "usage_lines": self._lines, "seconds": round(seconds, 3),
                "positions": self._reached,
            }
        }  # fmt: skip

    def clean_up(self) -> None:
        """Remove what a killed rebuild has left, unless one is under way."""
        try:
            with self._store.maintenance(self.name):
                self._clear()
        except BusyError:
            logger().info("rebuild_under_way", view=self.name)

    def _begin(self) -> None:
        with self._store.cursor() as cursor:
            self.view.clear(cursor)
            store.clear_bookkeeping(cursor, self.shadow.name)
            store.copy_parked(cursor, self.name, self.shadow.name)
            self._waits = store.waiting(cursor, self.shadow.name)

    def _clear(self) -> None:
        with self._store.cursor() as cursor:
            self.view.clear(cursor)
            store.clear_bookkeeping(cursor, self.shadow.name)

    def _catch_up(self) -> Iterator[Step]:
        """Come near the heads, lap by lap."""
        for _ in range(LAPS_MAX):
            until = heads(self._reader)
            yield from self._lap(until)
            if self._behind(heads(self._reader)) <= LAST_LAP_EVENTS:
                return
        logger().warning("rebuild_lags", view=self.name, behind=self._behind(heads(self._reader)))

    def _behind(self, until: Sequences) -> int:
        return sum(max(0, end - self._reached.get(source, 0)) for source, end in until.items())

    def _swap(self) -> None:
        for pauses_left in reversed(range(SWAP_ATTEMPTS)):
            try:
                self._finish()
            except BusyError:
                if not pauses_left:
                    raise
                time.sleep(SWAP_PAUSE_S)
            else:
                return

    def _finish(self) -> None:
        """Do the last lap and the swap while the old view's writers wait. Raises BusyError."""
        with self._store.cursor() as cursor:
            store.lock(cursor, self.name)
            live = store.positions(cursor, self.name)
            known = self._reader.sources()
            until = {source: at for source, at in live.items() if source in known}
            for _ in self._lap(until):
                pass
            store.swap(cursor, self.name, self.shadow.name, self.view.tables)

    def _lap(self, until: Sequences) -> Iterator[Step]:
        """Fold the logs up to `until` and write; where an event is poison, write step by step."""
        of, shown = sum(until.values()), 0.0
        try:
            for batch in read_logs(self._reader, self._reached, until):
                self._take(batch)
                if self._delta.size() >= FLUSH_ROWS:
                    self._flush()
                if time.monotonic() - shown >= PROGRESS_S:
                    shown = time.monotonic()
                    yield {"view": self.name, "done": sum(self._folded.values()), "of": of}
            self._flush()
        except (UnavailableError, NotFoundError, *AWAY):
            raise
        except Exception as error:  # noqa: BLE001 Whatever it is, the slow way finds the event.
            logger().warning("rebuild_meets_poison", view=self.name, exc_info=error)
            self._step_by_step(until)
        yield {"view": self.name, "done": of, "of": of}

    def _take(self, batch: Batch) -> None:
        free, behind = store.split_waiting(batch.events, self._waits)
        self._count_lines += fold(self._delta, free)
        self._parked += behind
        self._folded[batch.source] = batch.sequence
        self._count += len(batch.events)

    def _flush(self) -> None:
        if self._folded == self._reached:
            return
        with self._store.cursor() as cursor:
            self.view.write(cursor, self._delta)
            self.shadow.park_all(cursor, self._parked, parking.BEHIND, 0)
            store.set_positions(cursor, self.shadow.name, self._folded)
        self._reached = self._folded
        self._events += self._count
        self._lines += self._count_lines
        self._reset()

    def _reset(self) -> None:
        self._delta = self.view.new_delta()
        self._parked: list[Envelope] = []
        self._folded = dict(self._reached)
        self._count = self._count_lines = 0

    def _step_by_step(self, until: Sequences) -> None:
        """Let an inbox do it, which finds the event that fails and puts it aside."""
        inbox = Inbox([self.shadow], self._reader, stop=Event())
        for source in until:
            inbox.catch_up(source)
        self._events += inbox.counts.applied + inbox.counts.parked
        with self._store.cursor() as cursor:
            self._reached = store.positions(cursor, self.shadow.name)
            self._waits = store.waiting(cursor, self.shadow.name)
        self._reset()
