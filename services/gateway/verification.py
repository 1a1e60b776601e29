"""Folds the logs in memory up to the views' positions and compares every row."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from psycopg import Connection, IsolationLevel
from psycopg.rows import tuple_row

from services.gateway import store
from services.gateway.integration import decode_event
from services.gateway.pages import LogTooShortError, read_logs
from services.gateway.projections import Delta, Key, Rows, TrialDelta
from services.gateway.store import Sequences, Store, Waiting
from services.gateway.views import View
from shared.bus.readers import Readers
from shared.bus.types import LogReader
from shared.contracts.envelope import Batch, Envelope, log_of
from shared.errors import NotFoundError

Step = dict[str, Any]
Difference = dict[str, Any]


class Check(msgspec.Struct):
    """A view under check: where it is, what it put aside, and the fold up to there."""

    view: View
    delta: Delta
    positions: Sequences
    waits: Waiting
    difference: Difference | None = None
    rows: int = 0

    def take(self, batch: Batch) -> None:
        """Fold what this view has of a batch."""
        until = self.positions.get(batch.source, 0)
        events = [event for event in batch.events if int(event.sequence) <= until]
        free, _ = store.split_waiting(events, self.waits)
        for envelope in free:
            self._fold(envelope)

    def _fold(self, envelope: Envelope) -> None:
        try:
            self.delta.add(log_of(envelope.source), decode_event(envelope))
        except Exception as error:  # noqa: BLE001 An event that can't be read is what is looked for.
            self.differs(envelope.id, "event", "readable", repr(error))

    def differs(self, key: Any, field: str, expected: Any, found: Any) -> None:
        """Note a difference; the first one counts."""
        if self.difference is None:
            where = list(key) if isinstance(key, tuple) else key
            self.difference = {
                "view": self.view.name, "key": where, "field": field, "expected": expected,
                "found": found,
            }  # fmt: skip


def verify(store_: Store, views: list[View], readers: Mapping[str, LogReader]) -> Iterator[Step]:
    """Yield progress `{done, of}`; the last item is `{"result": …}`.

    `readers` are of the services whose logs the views follow. All views are read in one snapshot,
    so that writers may go on meanwhile. Raises BusyError while a view is being rebuilt,
    UnavailableError.
    """
    with store_.alone() as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            # The snapshot is ours alone and long; nobody waits for it.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            for view in views:
                view.lock_for_reading(cursor)
            checks = [_begin(cursor, view, readers[view.service]) for view in views]
            events = yield from _fold_logs(checks, Readers(*readers.values()))
            for check in checks:
                yield {"view": check.view.name, "done": events, "of": events}
                _compare(check, conn)
    yield {"result": _result(checks, events)}


def _begin(cursor: Any, view: View, reader: LogReader) -> Check:
    known = reader.sources()
    reached = store.positions(cursor, view.name)
    at = {source: sequence for source, sequence in reached.items() if source in known}
    return Check(view, view.new_check(), at, store.waiting(cursor, view.name))


def _fold_logs(checks: list[Check], reader: LogReader) -> Generator[Step, None, int]:
    until: Sequences = {}
    for check in checks:
        for source, at in check.positions.items():
            until[source] = max(at, until.get(source, 0))
    done, of = 0, sum(until.values())
    try:
        for batch in read_logs(reader, {}, until):
            for check in checks:
                check.take(batch)
            done += len(batch.events)
            yield {"done": done, "of": max(done, of)}
    except (LogTooShortError, NotFoundError) as error:
        facts = error.extra
        for check in checks:
            check.differs(facts.get("source"), "position", facts.get("head"), facts.get("position"))
    return done


def _compare(check: Check, conn: Connection[Any]) -> None:
    if check.difference is not None:
        return
    try:
        expected = check.delta.rows()
    except ValueError as error:
        check.differs(None, "event", "consistent", str(error))
        return
    for table in check.view.tables:
        _compare_table(check, table, expected, check.view.rows(conn, table))
    if broken := check.view.broken_invariant(check.delta):
        check.differs(*broken)


def _compare_table(
    check: Check, table: str, expected: Rows, found: Iterable[tuple[Key, tuple[Any, ...]]]
) -> None:
    missing = dict(expected[table])
    fields = check.view.tables[table][1]
    for key, row in found:
        check.rows += 1
        wanted = missing.pop(key, None)
        if wanted is None:
            check.differs((table, *key), "row", None, "there")
        elif wanted != row:
            for field, want, have in zip(fields, wanted, row, strict=True):
                if want != have:
                    check.differs((table, *key), field, want, plain(have))
    for key in missing:
        check.differs((table, *key), "row", "there", None)


def plain(value: Any) -> Any:
    """Return a number of the database as JSON has it."""
    return int(value) if type(value).__name__ == "Decimal" else value


def _result(checks: list[Check], events: int) -> dict[str, Any]:
    differences = [check.difference for check in checks if check.difference is not None]
    result: dict[str, Any] = {
        "ok": not differences,
        "events": events,
        "accounts": 0,
        "first_difference": differences[0] if differences else None,
        "views": {
            check.view.name: {
                "ok": check.difference is None, "rows": check.rows, "positions": check.positions,
                "first_difference": check.difference, "accounts_waiting": len(check.waits),
            }
            for check in checks
        },
    }  # fmt: skip
    for check in checks:
        if isinstance(check.delta, TrialDelta):
            sums = check.delta.sums.values()
            result["accounts"] = sum(each.accounts for each in sums)
            result["in_transit"] = sum(check.delta.transit.values())
    return result
