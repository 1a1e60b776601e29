"""Are the rows what the log says? Every stream is folded anew and compared with its rows."""

from collections.abc import Callable, Iterator
from typing import Any

from psycopg.rows import dict_row

from shared.sagas.aggregate import rebuild
from shared.sagas.listing import FIRST
from shared.sagas.store import SagaStore

BATCH = 500
PAGE = "SELECT * FROM {table} WHERE id > %s ORDER BY id LIMIT %s"
Row = dict[str, Any]
# What a row must say, by the thing that its stream is folded to; None where it is no row of it.
Expected = Callable[[Any, Row], Row | None]


class Verification:
    """How a service's rows follow from its log; their key is `id`.

    `without_row` selects one stream that lacks its row. `stream` is the column of a row's stream
    where that is not its id; `shown` turns a stored value into what is compared.
    """

    def __init__(
        self, store: SagaStore[Any], tables: dict[str, Expected], without_row: str, *,
        stream: str = "id", shown: dict[str, Callable[[Any], Any]] | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._tables = tables
        self._without_row_query = without_row
        self._stream_column = stream
        self._shown = shown or {}

    def run(self) -> Iterator[Row]:
        """Yield progress, then the result with the first difference, if there is one.

        Each batch of rows and their events are read in one snapshot. Raises UnavailableError.
        """
        counts = dict.fromkeys(self._tables, 0)
        difference = self._without_row()
        for table in self._tables:
            after = FIRST
            while rows := self._page(table, after):
                found = (each for _, each in rows if each is not None)
                difference = difference or next(found, None)
                counts[table] += len(rows)
                after = rows[-1][0]
                yield {"done": sum(counts.values()), "of": None}
        yield {"result": {"ok": difference is None, **counts, "first_difference": difference}}

    def _page(self, table: str, after: Any) -> list[tuple[Any, Row | None]]:
        """Return the next rows' ids, each with its difference from the log, if there is one."""
        with self._store.snapshot() as conn:
            cursor = conn.cursor(row_factory=dict_row)
            rows = cursor.execute(PAGE.format(table=table), (after, BATCH)).fetchall()
            streams = [self._stream(row) for row in rows]
            events = self._store.events_in(conn, streams) if rows else {}
        return [
            (row["id"], self._difference(table, row, events.get(self._stream(row), [])))
            for row in rows
        ]

    def _stream(self, row: Row) -> Any:
        return row.get(self._stream_column, row["id"])

    def _difference(self, table: str, row: Row, events: list[Any]) -> Row | None:
        name = f"{table}:{row['id'].hex}"
        expected = self._tables[table](rebuild(events), row) if events else None
        if expected is None:
            return {"what": name, "expected": None, "found": "a row without events"}
        for column, value in expected.items():
            stored = self._shown.get(column, _same)(row[column])
            if stored != value:
                return {"what": f"{name}.{column}", "expected": value, "found": stored}
        return None

    def _without_row(self) -> Row | None:
        with self._store.snapshot() as conn:
            row = conn.cursor(row_factory=dict_row).execute(self._without_row_query).fetchone()
        if row is None:
            return None
        return {"what": row["originator_id"].hex, "expected": "a row", "found": None}


def _same(value: Any) -> Any:
    return value
