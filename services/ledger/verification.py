"""Refolds a partition's whole log and compares it with the stored account states, byte for byte."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import Connection, IsolationLevel
from psycopg.rows import tuple_row

from services.ledger.codec import decode_event, decode_rules, encode
from services.ledger.domain.account import STATE_FORMAT, Account
from services.ledger.domain.evolving import evolve
from services.ledger.partition import Partition
from services.ledger.publishing import Version, versions_in
from shared.contracts.ledger import RULES_STREAM, WITHOUT_ACCOUNT, RulesPublished

FETCH_ROWS = 2_000


def verify_partition(partition: Partition) -> Iterator[dict[str, Any]]:
    """Yield progress `{done, of}`; the last item is the report of this partition.

    The report: `log`, `events`, `accounts`, `position`, `first_difference` (None when all is well).
    Log and states are read in one snapshot, so writers may go on meanwhile.
    """
    with partition.connection() as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            with conn.transaction():
                yield from _verify(partition, conn)
        finally:
            conn.isolation_level = None


def _verify(partition: Partition, conn: Connection[Any]) -> Iterator[dict[str, Any]]:
    # The snapshot is ours alone and long; a stopped reader holds nobody up.
    conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    total = _one(conn, "SELECT count(*) FROM stored_events")
    accounts: dict[bytes, tuple[Account, int]] = {}
    published: list[Version] = []
    difference: dict[str, Any] | None = None
    done = position = 0
    for row in _log_rows(conn):
        position = row[0]
        difference = difference or _fold(partition, accounts, published, row)
        done += 1
        if done % 10_000 == 0:
            yield {"done": done, "of": total}
    difference = difference or _compare(partition, conn, accounts)
    difference = difference or _compare_rules(partition, conn, published)
    yield {
        "log": partition.name, "events": done, "accounts": len(accounts), "position": position,
        "first_difference": difference,
    }  # fmt: skip


def _log_rows(conn: Connection[Any]) -> Iterator[tuple[int, UUID, int, str, bytes]]:
    with conn.cursor(name="verify", row_factory=tuple_row) as cursor:
        cursor.itersize = FETCH_ROWS
        cursor.execute(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM stored_events ORDER BY notification_id"
        )
        yield from cursor


def _fold(
    partition: Partition,
    accounts: dict[bytes, tuple[Account, int]],
    published: list[Version],
    row: tuple[int, UUID, int, str, bytes],
) -> dict[str, Any] | None:
    sequence, stream_uuid, version, topic, state = row
    stream = stream_uuid.bytes
    try:
        event = decode_event(topic, bytes(state))
        if isinstance(event, RulesPublished):
            rules = encode(event.rules)
            published.append(Version(event.version, event.effective_from, rules))
        if isinstance(event, WITHOUT_ACCOUNT):
            return None
        account, before = accounts.get(stream, (None, 0))
        if version != before + 1:
            return _difference(partition, event.account, "version", before + 1, version, sequence)
        account = evolve(account, event)
    except Exception as error:  # noqa: BLE001 An unreadable event is the very thing looked for.
        return _difference(partition, str(stream_uuid), "event", "readable", repr(error), sequence)
    accounts[stream] = (account, version)
    if not account.balances():
        return _difference(
            partition, account.account, "invariant", "equal sums", "unequal", sequence
        )
    return None


def _compare(
    partition: Partition, conn: Connection[Any], accounts: dict[bytes, tuple[Account, int]]
) -> dict[str, Any] | None:
    found = 0
    with conn.cursor(name="states", row_factory=tuple_row) as cursor:
        cursor.itersize = FETCH_ROWS
        cursor.execute(
            "SELECT id, account, version, format, state FROM account_state ORDER BY account"
        )
        for stream_uuid, name, version, state_format, state in cursor:
            found += 1
            stream = stream_uuid.bytes
            if stream not in accounts:
                return _difference(partition, name, "account", "no events", "a state")
            account, folded = accounts[stream]
            if folded != version:
                return _difference(partition, name, "version", folded, version)
            if state_format == STATE_FORMAT and encode(account) != bytes(state):
                return _difference(
                    partition,
                    name,
                    "state",
                    encode(account).decode(),
                    bytes(state).decode(errors="replace"),
                )
    if found != len(accounts):
        return _difference(partition, "-", "accounts", len(accounts), found)
    return None


def _compare_rules(
    partition: Partition, conn: Connection[Any], published: list[Version]
) -> dict[str, Any] | None:
    expected, found = (
        [(each.version, each.effective_from, decode_rules(each.rules)) for each in versions]
        for versions in (published, versions_in(conn))
    )
    if expected == found:
        return None
    told, kept = ([each[:2] for each in versions] for versions in (expected, found))
    return _difference(partition, RULES_STREAM, "rules", told, kept)


def _difference(
    partition: Partition,
    account: str,
    field: str,
    expected: object,
    found: object,
    sequence: int | None = None,
) -> dict[str, Any]:
    return {
        "where": f"{partition.name}.account_state", "account": account, "field": field,
        "expected": expected, "found": found, "sequence": sequence,
    }  # fmt: skip


def _one(conn: Connection[Any], statement: str) -> int:
    row = conn.cursor(row_factory=tuple_row).execute(statement).fetchone()
    return int(row[0]) if row else 0
