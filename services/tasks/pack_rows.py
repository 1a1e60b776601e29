"""The rows of packs in a turn: what is left of orders and pools, and which codes there are.

What is taken counts at once for the jobs that follow in the turn; what comes back (an issue that
was refused) counts from the next turn on. All is written with the events that it follows from.
"""

from collections import Counter
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from services.tasks.domain.catalogue import Pack
from services.tasks.domain.code import Code
from services.tasks.domain.issue import Issue
from services.tasks.domain.order import Order
from services.tasks.domain.pool import Pool
from shared.calendar import Calendar
from shared.contracts.tasks import PackIssueRefused
from shared.pgarrays import uuids

SELECT_PACKS = """
SELECT DISTINCT ON (name) name, number, id FROM packs WHERE name = ANY(%s)
ORDER BY name, number DESC
"""
SELECT_USED = "SELECT id, used FROM pack_orders WHERE id = ANY(%s::uuid[])"
SELECT_DRAWN = "SELECT id, drawn_bytes FROM pools WHERE id = ANY(%s::uuid[])"
SELECT_DRAWS = """
SELECT pool_id, subscriber, bytes FROM pool_draws
WHERE pool_id = ANY(%s::uuid[]) AND month = %s AND subscriber = ANY(%s::text[])
"""
SELECT_CODES = """
SELECT hash, id, order_id, state, expires_at, subscriber, issue_id FROM codes
WHERE hash = ANY(%s::bytea[])
"""
INSERT_PACKS = (
    "INSERT INTO packs SELECT * FROM unnest(%s::text[], %s::integer[], %s::uuid[], %s::bigint[])"
)
UPSERT_ORDERS = """
INSERT INTO pack_orders (id, partner, pack, state, count, used, pool_id, ordered_at, changed_at)
SELECT id, partner, pack, state, count, 0, pool, ordered_at, changed_at
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::uuid[], %s::bigint[],
    %s::bigint[]) AS new (id, partner, pack, state, count, pool, ordered_at, changed_at)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at
"""
UPDATE_USED = """
UPDATE pack_orders AS o SET used = used + change
FROM unnest(%s::uuid[], %s::bigint[]) AS new (id, change) WHERE o.id = new.id
"""
UPSERT_POOLS = """
INSERT INTO pools (
    id, partner, parent_id, order_id, title, grows_with, total_bytes, drawn_bytes, opened_at
)
SELECT id, partner, parent, order_id, title, list, total, 0, at
FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bigint[],
    %s::bigint[]) AS new (id, partner, parent, order_id, title, list, total, at)
ON CONFLICT (id) DO UPDATE SET total_bytes = excluded.total_bytes
"""
UPDATE_DRAWN = """
UPDATE pools AS p SET drawn_bytes = drawn_bytes + change
FROM unnest(%s::uuid[], %s::bigint[]) AS new (id, change) WHERE p.id = new.id
"""
ADD_TO_DRAWS = """
INSERT INTO pool_draws AS d (pool_id, month, subscriber, bytes)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (pool_id, month, subscriber) DO UPDATE SET bytes = d.bytes + excluded.bytes
"""
INSERT_CODES = """
INSERT INTO codes (id, hash, order_id, batch, state, expires_at)
SELECT id, hash, order_id, batch, 'made', at
FROM unnest(%s::uuid[], %s::bytea[], %s::uuid[], %s::text[], %s::bigint[])
    AS new (id, hash, order_id, batch, at)
"""
UPDATE_CODES = """
UPDATE codes AS c SET state = new.state, subscriber = new.subscriber, issue_id = new.issue
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS new (id, state, subscriber, issue)
WHERE c.id = new.id
"""
UPSERT_ISSUES = """
INSERT INTO issues (
    id, partner, subscriber, bytes, source, grant_name, cycle, state, code, issued_at, changed_at
)
SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::bigint[], %s::bigint[]
)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, code = excluded.code, changed_at = excluded.changed_at
"""
Row = tuple[Any, ...]


class PackNeeds:
    """What the jobs of a turn want to read of packs."""

    def __init__(self) -> None:
        self.packs: set[str] = set()
        self.orders: set[UUID] = set()
        self.pools: set[UUID] = set()
        # Whose draws of this month count.
        self.drawers: set[str] = set()
        self.codes: set[bytes] = set()


class PackRows:
    """What one turn knows of packs, and what it changes."""

    def __init__(self, conn: Connection[Any], now: int, calendar: Calendar) -> None:
        self._conn = conn
        self._now = now
        self._calendar = calendar
        self.month = calendar.month_of(now)
        # By name: the newest version's number and stream.
        self.newest: dict[str, tuple[int, UUID]] = {}
        self.codes: dict[bytes, Code] = {}
        self.used: Counter[UUID] = Counter()
        self.drawn: Counter[UUID] = Counter()
        self.draws: Counter[tuple[UUID, str]] = Counter()
        self._used: Counter[UUID] = Counter()
        self._drawn: Counter[UUID] = Counter()
        self._draws: Counter[tuple[UUID, str, str]] = Counter()
        self._packs: list[Row] = []
        self._orders: list[Row] = []
        self._pools: list[Row] = []
        self._new_codes: list[Row] = []
        self._codes: dict[UUID, Row] = {}
        self._issues: list[Row] = []

    # Reading.

    def find(self, needs: PackNeeds) -> set[UUID]:
        """Read what leads to streams, and return these: versions of packs, orders of codes."""
        if needs.packs:
            for name, number, stream in self._rows(SELECT_PACKS, list(needs.packs)):
                self.newest[name] = (number, stream)
        for hash_, id_, order, state, expires_at, subscriber, issue in (
            self._rows(SELECT_CODES, list(needs.codes)) if needs.codes else ()
        ):
            self.codes[bytes(hash_)] = Code(
                code_id=id_.hex, order_id=order.hex, state=state, expires_at=expires_at,
                subscriber=subscriber, issue_id=issue,
            )  # fmt: skip
        orders = {UUID(hex=code.order_id) for code in self.codes.values()}
        packs = {stream for _, stream in self.newest.values()}
        return packs | orders | needs.orders | needs.pools

    def read(self, needs: PackNeeds) -> None:
        """Read what is left."""
        if needs.orders:
            self.used.update(dict(self._rows(SELECT_USED, _ids(needs.orders))))
        if needs.pools:
            self.drawn.update(dict(self._rows(SELECT_DRAWN, _ids(needs.pools))))
        if needs.drawers:
            found = self._rows(SELECT_DRAWS, _ids(needs.pools), self.month, list(needs.drawers))
            self.draws.update({(pool, who): drawn for pool, who, drawn in found})

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._conn.cursor(row_factory=tuple_row).execute(statement, values).fetchall()

    # Changing, as jobs decide.

    def take_packs(self, order: UUID, count: int) -> None:
        """Let packs of an order be gone, or with a count below zero come back."""
        self.used[order] += count
        self._used[order] += count

    def take_drawn(self, pool: UUID, subscriber: str, amount: int) -> None:
        """Let bytes of a pool be drawn by a member in this month."""
        self.drawn[pool] += amount
        self.draws[pool, subscriber] += amount
        self._drawn[pool] += amount
        self._draws[pool, self.month, subscriber] += amount

    def add_code(self, code: UUID, hash_: bytes, order: UUID, batch: str, expires_at: int) -> None:
        """Take in a new code."""
        self._new_codes.append((code, hash_, order, batch, expires_at))

    def set_code(self, code: UUID, state: str, subscriber: str = "", issue_id: str = "") -> None:
        """Change what a code is."""
        self._codes[code] = (state, subscriber, issue_id)

    # Taking in what things have become.

    def take(self, thing: Any, facts: list[Any]) -> bool:
        """Take in a pack, order, pool or issue; False for anything else."""
        match thing:
            case Pack():
                self._packs.append((thing.name, thing.number, thing.id, thing.published_at))
                self.newest[thing.name] = (thing.number, thing.id)
            case Order():
                self._orders.append(
                    (
                        thing.id, thing.partner, thing.pack, thing.state, thing.count,
                        UUID(hex=thing.pool_id) if thing.pool_id else None, thing.ordered_at,
                        self._now,
                    )
                )  # fmt: skip
            case Pool():
                self._pools.append(
                    (
                        thing.id, thing.partner,
                        UUID(hex=thing.parent_id) if thing.parent_id else None,
                        UUID(hex=thing.order_id), thing.title, thing.grows_with,
                        thing.total_bytes, thing.opened_at,
                    )
                )  # fmt: skip
            case Issue():
                self._take_issue(thing, facts)
            case _:
                return False
        return True

    def _take_issue(self, issue: Issue, facts: list[Any]) -> None:
        parcel = issue.parcel
        source = parcel.campaign or parcel.pool_id or parcel.order_id
        self._issues.append(
            (
                issue.id, parcel.partner, parcel.subscriber, parcel.bytes, source, parcel.grant,
                parcel.cycle, issue.state, issue.code, issue.issued_at, self._now,
            )
        )  # fmt: skip
        if parcel.code_id is not None:
            self._take_code(issue, UUID(hex=parcel.code_id))
        if any(isinstance(fact, PackIssueRefused) for fact in facts):
            self._give_back(issue)

    def _take_code(self, issue: Issue, code: UUID) -> None:
        if issue.state == "refused":
            self.set_code(code, "made")
        else:
            state = "locked" if issue.state == "issued" else "bound"
            self.set_code(code, state, issue.parcel.subscriber, issue.parcel.issue_id)

    def _give_back(self, issue: Issue) -> None:
        parcel = issue.parcel
        if parcel.pool_id is not None:
            pool, month = UUID(hex=parcel.pool_id), self._calendar.month_of(issue.issued_at)
            self._drawn[pool] -= parcel.bytes
            self._draws[pool, month, parcel.subscriber] -= parcel.bytes
        elif parcel.code_id is None and parcel.order_id:
            self._used[UUID(hex=parcel.order_id)] -= 1

    # Writing.

    def write(self) -> None:
        """Write the rows; what counts against a total after the total itself."""
        used = [row for row in self._used.items() if row[1]]
        drawn = [row for row in self._drawn.items() if row[1]]
        draws = [(*key, amount) for key, amount in self._draws.items() if amount]
        codes = [(code, *row) for code, row in self._codes.items()]
        for statement, rows in (
            (INSERT_PACKS, self._packs), (UPSERT_ORDERS, self._orders), (UPDATE_USED, used),
            (UPSERT_POOLS, self._pools), (UPDATE_DRAWN, drawn), (ADD_TO_DRAWS, draws),
            (INSERT_CODES, self._new_codes), (UPDATE_CODES, codes), (UPSERT_ISSUES, self._issues),
        ):  # fmt: skip
            if rows:
                self._conn.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def _ids(streams: set[UUID]) -> Any:
    return uuids([stream.bytes for stream in streams])
