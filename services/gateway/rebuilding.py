"""Rebuilding a view from the logs into shadow tables, and verifying one against them."""

import time
from collections.abc import Iterator
from typing import Any

from psycopg import Cursor
from psycopg.sql import SQL, Identifier

from services.gateway.consumers import Store, lock_view, positions_of
from services.gateway.projections import Change, Rows
from services.gateway.views import View
from shared.bus import parking
from shared.bus.types import LogReader
from shared.contracts.envelope import Envelope
from shared.errors import DatabankError

SHADOW = "_shadow"
# About so many rows are merged in memory before they are written.
MERGED_ROWS_MAX = 100_000
PARKED_MAX = 1_000_000

Step = dict[str, Any]
Skipped = set[tuple[str, int]]


class UnreadableEventError(DatabankError):
    """An event can't be read into this view."""

    code = "event_unreadable"
    status = 409


class Folding:
    """Reads logs from where it is up to given positions, merging what they change."""

    def __init__(self, view: View, reader: LogReader, skipped: Skipped) -> None:
        self.view = view
        self.at: dict[str, int] = {}
        self.events = 0
        self.change: Change = view.change()
        self._reader = reader
        self._skipped = skipped

    def run(self, until: dict[str, int]) -> Iterator[Step]:
        """Merge every event up to `until`; yields progress after each page."""
        total = sum(until.values())
        for source, last in sorted(until.items()):
            while self.at.get(source, 0) < last:
                batch = self._reader.read(source, "all", self.at.get(source, 0))
                if not batch.events:
                    msg = f"the log {source} ends before {last}, where the view is"
                    raise UnreadableEventError(msg, source=source, position=last)
                for event in batch.events:
                    if int(event.sequence) <= last:
                        self._add(event)
                self.at[source] = min(batch.sequence, last)
                yield {"view": self.view.name, "done": sum(self.at.values()), "of": total}

    def _add(self, event: Envelope) -> None:
        if (event.source, int(event.sequence)) in self._skipped:
            return
        try:
            self.change.add(event)
        except Exception as error:
            msg = f"the view {self.view.name} can't read event {event.id}: {error!r}"
            raise UnreadableEventError(msg, event=event.id) from error
        self.events += 1


def rebuild(view: View, store: Store, reader: LogReader) -> Iterator[Step]:
    """Make a view anew and put it in the old one's place; live batches go on meanwhile.

    The last step has `result`. Killed in the middle it leaves the old view as it was.
    """
    began = time.monotonic()
    with store.cursor() as cursor:
        lock_view(cursor, view)
        until = positions_of(cursor, view.name)
        skipped = _parked(cursor, view)
        _make_shadow(cursor, view)
    folding = Folding(view, reader, skipped)
    for step in folding.run(until):
        yield step
        if folding.change.size() > MERGED_ROWS_MAX:
            with store.cursor() as cursor:
                _write_shadow(cursor, folding)
    with store.cursor() as cursor:
        lock_view(cursor, view)
        folding = _caught_up(cursor, folding, reader)
        _write_shadow(cursor, folding)
        _swap(cursor, view)
    seconds = round(time.monotonic() - began, 3)
    yield {"result": {"view": view.name, "events": folding.events, "seconds": seconds}}


def _caught_up(cursor: Cursor[Any], folding: Folding, reader: LogReader) -> Folding:
    # Live batches wait for the lock now, so this is where the view stays until the swap.
    last = Folding(folding.view, reader, _parked(cursor, folding.view))
    last.at, last.events, last.change = folding.at, folding.events, folding.change
    for _ in last.run(positions_of(cursor, folding.view.name)):
        pass
    return last


def _parked(cursor: Cursor[Any], view: View) -> Skipped:
    waiting = parking.list_parked(cursor, [view.name], limit=PARKED_MAX)
    return {(event.source, event.sequence) for event in waiting}


def _make_shadow(cursor: Cursor[Any], view: View) -> None:
    for table in view.tables:
        shadow = Identifier(table + SHADOW)
        cursor.execute(SQL("DROP TABLE IF EXISTS {}").format(shadow))
        cursor.execute(
            SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(shadow, Identifier(table))
        )


def _write_shadow(cursor: Cursor[Any], folding: Folding) -> None:
    folding.view.write(cursor, folding.change, SHADOW)
    folding.change = folding.view.change()


def _swap(cursor: Cursor[Any], view: View) -> None:
    for table in view.tables:
        cursor.execute(SQL("DROP TABLE {}").format(Identifier(table)))
        cursor.execute(
            SQL("ALTER TABLE {} RENAME TO {}").format(Identifier(table + SHADOW), Identifier(table))
        )
        cursor.execute(SQL("ANALYZE {}").format(Identifier(table)))


def verify(view: View, store: Store, reader: LogReader) -> Iterator[Step]:
    """Fold the logs up to the view's positions and compare row by row; the last step has `result`."""
    with store.snapshot() as cursor:
        until = positions_of(cursor, view.name)
        folding = Folding(view, reader, _parked(cursor, view))
        yield from folding.run(until)
        difference = _compare(view, cursor, folding.change.rows())
    yield {
        "result": {
            "view": view.name, "events": folding.events, "first_difference": difference,
            "positions": until,
        }
    }  # fmt: skip


def _compare(view: View, cursor: Cursor[Any], expected: Rows) -> Step | None:
    for part in view.stored(cursor):
        for key, found in part.items():
            wanted = expected.pop(key, None)
            if wanted != found:
                return _difference(view, key, wanted, found)
    for key, wanted in expected.items():
        return _difference(view, key, wanted, None)
    return None


def _difference(view: View, key: tuple[str, tuple[Any, ...]], expected: Any, found: Any) -> Step:
    table, row = key
    return {
        "where": f"gateway.{table}", "view": view.name, "key": list(row),
        "expected": expected, "found": found,
    }  # fmt: skip
