"""A log's storage: eventsourcing's recorder, with an insert that takes four arrays.

The library's own `save()` sends rows as composites, one array of records, which PostgreSQL parses
at about 13,000 rows/s; four binary arrays reach several times that. The table, its EXCLUSIVE lock
(commit order = id order) and its NOTIFY are the library's.
"""

from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier, Literal

from shared.db import make_pool
from shared.errors import InvalidError
from shared.pgarrays import bytea, int8s, texts, uuids

LOCK_TIMEOUT_S = 5

INSERT_ARRAYS = """
WITH inserted AS (
    INSERT INTO {table} (originator_id, originator_version, topic, state)
    SELECT * FROM unnest(%b::uuid[], %b::int8[], %b::text[], %b::bytea[])
    RETURNING notification_id
)
SELECT max(notification_id), pg_notify({channel}, '') FROM inserted
"""

# Stream (16 bytes), version, topic, state.
EventRow = tuple[bytes, int, str, bytes]


class LogRecorder(PostgresApplicationRecorder):
    """Stores the events of one log in the table `stored_events` of its schema."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "") -> None:
        del events_table_name  # One table name in every schema, so that migrations are alike.
        # Its connections look at the schema from the start, and are asked nothing when they are
        # lent. The library's own pool has not connected yet.
        arguments = datastore.pool.kwargs
        assert isinstance(arguments, dict)
        datastore.pool = make_pool(  # type: ignore[assignment]
            schema=datastore.schema, **arguments
        )
        super().__init__(datastore, events_table_name="stored_events")
        table = SQL("{}").format(Identifier(datastore.schema, self.events_table_name))
        # As text, because composing a statement takes longer than sending it.
        self._lock = SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(table).as_string()
        self._insert = (
            SQL(INSERT_ARRAYS).format(table=table, channel=Literal(self.channel_name)).as_string()
        )

    def append(self, cursor: Cursor[Any], rows: list[EventRow]) -> None:
        """Lock the table, insert rows and wake the readers; the cursor then holds the last id.

        The caller's transaction has a lock_timeout.
        """
        cursor.execute(self._lock)
        cursor.execute(self._insert, event_columns(rows))


def event_columns(rows: list[EventRow]) -> tuple[Any, ...]:
    """Return events as the four arrays that they are inserted from."""
    ids, versions, topics, states = zip(*rows, strict=True) if rows else ((), (), (), ())
    return uuids(ids), int8s(versions), texts(topics), bytea(states)


def make_application(name: str, conninfo: str) -> Application[UUID]:
    """Return the eventsourcing application of one log, on the schema of its name."""
    parts = conninfo_to_dict(conninfo)
    if not parts.get("dbname"):
        raise InvalidError(f"the database URL of {name} must name a database")
    kind = type(name, (Application,), {"name": name})
    return kind(  # type: ignore[no-any-return]
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "APPLICATION_RECORDER_TOPIC": f"{__name__}:LogRecorder",
            "POSTGRES_DBNAME": str(parts["dbname"]),
            "POSTGRES_HOST": str(parts.get("host", "")),
            "POSTGRES_PORT": str(parts.get("port", 5432)),
            "POSTGRES_USER": str(parts.get("user", "")),
            "POSTGRES_PASSWORD": str(parts.get("password", "")),
            "POSTGRES_SCHEMA": name,
            "POSTGRES_LOCK_TIMEOUT": str(LOCK_TIMEOUT_S),
            "POSTGRES_ENABLE_DB_FUNCTIONS": "no",
            "CREATE_TABLE": "no",
        }
    )
