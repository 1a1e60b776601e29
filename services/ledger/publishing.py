"""Versions of the rules that are put while the bank runs: stored in every partition, and followed.

Partition 0 decides on a new version: its number, and whether it may come into force. The others
copy what partition 0 has and they lack; so a put that broke off is finished by repeating it, or by
the worker's next look.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.rows import tuple_row

from services.ledger.codec import decode_rules, encode
from services.ledger.domain.rules import RuleBook, Rules
from shared.contracts.ledger import RULES_STREAM, RulesPublished
from shared.ids import stream_id
from shared.recorder import LogRecorder

SELECT = "SELECT version, effective_from, rules FROM rules ORDER BY version"
LAST_VERSION = "SELECT coalesce(max(version), 0) FROM rules"
INSERT = "INSERT INTO rules (version, effective_from, rules) VALUES (%s, %s, %s)"


class Version(msgspec.Struct, frozen=True):
    """A stored version: in force from `effective_from` (milliseconds), rules as JSON."""

    version: int
    effective_from: int
    rules: bytes


class StoredRules:
    """The rulebook of a partition: what is built in, and what its table `rules` adds."""

    def __init__(self, built_in: RuleBook) -> None:
        self.book = built_in
        self._built_in = built_in
        self._read = 0

    def follow(self, conn: Connection[Any], last: int) -> None:
        """Read the table anew where its last version is another than the one read before."""
        if last == self._read:
            return
        stored = versions_in(conn)
        self.book = self._built_in.with_versions(
            [(each.effective_from, decode_rules(each.rules)) for each in stored]
        )
        self._read = last

    def refresh(self, conn: Connection[Any]) -> RuleBook:
        """Return the rulebook as it is stored now."""
        self.follow(conn, last_version(conn))
        return self.book


def versions_in(conn: Connection[Any]) -> list[Version]:
    """Return the versions in a partition's table, in order."""
    rows = conn.cursor(row_factory=tuple_row).execute(SELECT).fetchall()
    return [Version(number, start, bytes(rules)) for number, start, rules in rows]


def last_version(conn: Connection[Any]) -> int:
    """Return the number of the last version in a partition's table, 0 without any."""
    row = conn.cursor(row_factory=tuple_row).execute(LAST_VERSION).fetchone()
    return int(row[0]) if row else 0


def add_versions(
    conn: Connection[Any],
    recorder: LogRecorder,
    versions: list[Version],
    event_of: Callable[[Version], RulesPublished],
) -> int:
    """Add versions to a partition, inside the caller's turn: the table's rows and the events.

    Those that it has are left alone. Returns how many were new.
    """
    there = {each.version for each in versions_in(conn)}
    new = [each for each in versions if each.version not in there]
    if new:
        stream = stream_id(RULES_STREAM)
        rows = [
            (stream, len(there) + place, RulesPublished.TYPE, encode(event_of(each)))
            for place, each in enumerate(new, start=1)
        ]
        recorder.append(conn.cursor(row_factory=tuple_row), rows)
        conn.cursor().executemany(
            INSERT, [(each.version, each.effective_from, each.rules) for each in new]
        )
    return len(new)


def content(rules: Rules) -> bytes:
    """Return what a version says, without its number and its time."""
    return bytes(encode(msgspec.structs.replace(rules, version=1, effective_from="")))
