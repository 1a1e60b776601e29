"""What the gateway answers: balances, lots, partner spend, the trial balance; rebuilt and verified."""

import time
from collections.abc import Iterator
from typing import Any

from psycopg import Cursor
from psycopg.rows import dict_row

from services.gateway.consumers import Store, ViewConsumer, positions_of
from services.gateway.projections import SUMS
from services.gateway.rebuilding import Step, rebuild, verify
from shared.bus import parking
from shared.bus.types import LogReader
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.contracts.envelope import log_of, source_of
from shared.errors import NotFoundError, RefusedError
from shared.positions import Positions, format_token, parse_token

AT_LEAST_WAIT_S = 2.0
LOOK_EVERY_S = 0.02

TRIAL = (
    f"SELECT kind, sum(accounts) AS accounts, {', '.join(f'sum({n}) AS {n}' for n in SUMS)},"
    " sum(remaining) AS remaining, sum(held) AS held FROM trial_balance GROUP BY kind ORDER BY kind"
)
LAPSED = """
SELECT b.kind, sum(l.remaining - l.held) AS bytes
FROM lots l JOIN balances b USING (account)
WHERE l.remaining > 0 AND l.expires_at <= %s GROUP BY b.kind
"""
SPEND = """
SELECT s.partner, s.campaign, s.day, s.kind, s.bytes, s.count,
    (SELECT count(*) FROM partner_spend_subscribers p
     WHERE (p.partner, p.campaign, p.day, p.kind) = (s.partner, s.campaign, s.day, s.kind)) AS subscribers
FROM partner_spend s
WHERE (%(partner)s::text IS NULL OR s.partner = %(partner)s)
AND (%(campaign)s::text IS NULL OR s.campaign = %(campaign)s)
AND (%(kind)s::text IS NULL OR s.kind = %(kind)s)
AND (%(day_from)s::text IS NULL OR s.day >= %(day_from)s)
AND (%(day_to)s::text IS NULL OR s.day <= %(day_to)s)
ORDER BY s.partner, s.campaign, s.day, s.kind
"""


class Gateway:
    """The read side of one bank."""

    def __init__(  # noqa: PLR0913 The parts, by name.
        self, *, bank_id: str, epoch: int, store: Store, reader: LogReader,
        consumers: list[ViewConsumer], calendar: Calendar, clock: BankClock,
    ) -> None:  # fmt: skip
        self.bank_id = bank_id
        self.epoch = epoch
        self.calendar = calendar
        self.clock = clock
        self.consumers = {consumer.name: consumer for consumer in consumers}
        self._store = store
        self._reader = reader

    # Reading

    def balance(self, account: str, at_least: str | None) -> Step:
        """Return an account's balance and its lots with something left."""
        full = self.lots(account, at_least)
        keys = ("lot_id", "kind", "remaining_bytes", "held_bytes", "valid_from", "expires_at")
        lots = full.pop("lots")
        return {**full, "lots": [{key: lot[key] for key in keys} for lot in lots]}

    def lots(self, account: str, at_least: str | None) -> Step:
        """Return an account's balance and its lots with all their terms.

        Raises RefusedError account_not_found.
        """
        stale = self._wait("balances", at_least)
        now = self.clock.now()
        with self._store.snapshot() as cursor:
            position = self._token(cursor, "balances")
            rows = cursor.connection.cursor(row_factory=dict_row)
            found = rows.execute("SELECT * FROM balances WHERE account = %s", (account,)).fetchone()
            lots = rows.execute(
                "SELECT * FROM lots WHERE account = %s AND remaining > 0"
                " ORDER BY expires_at, valid_from, lot_id",
                (account,),
            ).fetchall()  # fmt: skip
        if found is None:
            raise RefusedError("account_not_found", f"there is no account {account}", 404)
        return {
            "subscriber": account, "kind": found["kind"], "plan": found["plan"],
            "as_of": self.calendar.text(now), **_amounts(lots, now),
            **{f"{name}_bytes": found[name] for name in SUMS},
            "lots": [self._lot(lot, now) for lot in lots], "stale": stale, "position": position,
        }  # fmt: skip

    def _lot(self, lot: Step, now: int) -> Step:
        state = "lapsed" if lot["expires_at"] <= now else "available"
        return {
            "lot_id": lot["lot_id"], "kind": lot["kind"],
            "state": "upcoming" if lot["valid_from"] > now else state,
            "granted_bytes": lot["granted"], "remaining_bytes": lot["remaining"],
            "held_bytes": lot["held"],
            "valid_from": self.calendar.text(lot["valid_from"]),
            "expires_at": self.calendar.text(lot["expires_at"]),
            "scope": lot["scope"], "giftable": lot["giftable"], "carries": lot["carries"],
            "source": lot["source"], "parent_lot": lot["parent_lot"],
        }  # fmt: skip

    def partner_spend(self, filters: Step, at_least: str | None) -> Step:
        """Return what partners paid for; `filters` has partner, campaign, kind, day_from, day_to."""
        stale = self._wait("partner_spend", at_least)
        with self._store.snapshot() as cursor:
            position = self._token(cursor, "partner_spend")
            rows = cursor.connection.cursor(row_factory=dict_row).execute(SPEND, filters).fetchall()
        return {
            "rows": rows, "total_bytes": sum(row["bytes"] for row in rows),
            "as_of": self.calendar.text(self.clock.now()), "stale": stale, "position": position,
        }  # fmt: skip

    def trial_balance(self, at_least: str | None) -> Step:
        """Return the whole bank's sums, of all kinds of account and of each."""
        stale = self._wait("trial_balance", at_least) | self._wait("balances", at_least)
        now = self.clock.now()
        with self._store.snapshot() as cursor:
            position = self._token(cursor, "trial_balance")
            rows = cursor.connection.cursor(row_factory=dict_row)
            kinds = rows.execute(TRIAL).fetchall()
            lapsed = {row["kind"]: row["bytes"] for row in rows.execute(LAPSED, (now,))}
            transit = rows.execute(
                "SELECT sum(bytes) AS bytes FROM transfers_in_transit"
            ).fetchone()
        by_kind = {row["kind"]: _trial_row(row, lapsed.get(row["kind"], 0)) for row in kinds}
        names = ("accounts", *SUMS, "available", "held", "lapsed")
        total = {name: sum(row[name] for row in by_kind.values()) for name in names}
        in_transit = int((transit or {}).get("bytes") or 0)
        return {
            **total, "in_transit": in_transit, "by_kind": by_kind,
            "as_of": self.calendar.text(now), "stale": stale, "position": position,
        }  # fmt: skip

    def positions(self) -> dict[str, Positions]:
        """Return each view's positions by log."""
        with self._store.cursor() as cursor:
            return {name: self._positions(cursor, name) for name in self.consumers}

    def _positions(self, cursor: Cursor[Any], view: str) -> Positions:
        prefix = source_of(self.bank_id, self.epoch, "")
        found = positions_of(cursor, view)
        return {log_of(source): at for source, at in found.items() if source.startswith(prefix)}

    def _token(self, cursor: Cursor[Any], view: str) -> str:
        return format_token(self.epoch, self._positions(cursor, view))

    def _wait(self, view: str, at_least: str | None) -> bool:
        """Wait up to 2 s until a view is as far as asked; return whether it is still behind."""
        if at_least is None:
            return False
        asked = parse_token(at_least, self.epoch)
        deadline = time.monotonic() + AT_LEAST_WAIT_S
        while True:
            with self._store.cursor() as cursor:
                at = self._positions(cursor, view)
            if all(at.get(log, 0) >= sequence for log, sequence in asked.items()):
                return False
            if time.monotonic() >= deadline:
                return True
            time.sleep(LOOK_EVERY_S)

    # Operating

    def views(self, name: str) -> list[ViewConsumer]:
        """Return a view by name, or all. Raises NotFoundError that lists the names."""
        if name == "all":
            return list(self.consumers.values())
        if name not in self.consumers:
            raise NotFoundError(f"there is no view {name}", allowed=[*self.consumers, "all"])
        return [self.consumers[name]]

    def rebuild(self, views: list[ViewConsumer]) -> Iterator[Step]:
        """Rebuild views one after the other; yields progress, then the result."""
        results = {}
        for consumer in views:
            for step in rebuild(consumer.view, self._store, self._reader):
                if "result" in step:
                    results[consumer.name] = step["result"]
                else:
                    yield step
        yield {"result": {"views": results}}

    def verify(self) -> Iterator[Step]:
        """Compare each view with the logs at its positions; yields progress, then the result."""
        reports = []
        for consumer in self.consumers.values():
            for step in verify(consumer.view, self._store, self._reader):
                if "result" in step:
                    reports.append(step["result"])
                else:
                    yield step
        with self._store.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM balances")
            accounts = (cursor.fetchone() or (0,))[0]
        difference = next((r["first_difference"] for r in reports if r["first_difference"]), None)
        yield {
            "result": {
                "ok": difference is None, "events": max(r["events"] for r in reports),
                "accounts": accounts, "first_difference": difference,
                "views": {report["view"]: report for report in reports},
            }
        }  # fmt: skip

    def parked(self) -> list[Step]:
        """Return the events that views have put aside."""
        with self._store.cursor() as cursor:
            waiting = parking.list_parked(cursor)
        return [
            {
                "consumer": one.consumer, "source": one.source, "sequence": one.sequence,
                "account": one.account, "type": one.event.type, "error": one.error,
                "attempts": one.attempts, "parked_at": self.calendar.text(one.parked_at),
            }
            for one in waiting
        ]  # fmt: skip

    def retry_parked(self) -> Step:
        """Write parked events again."""
        return {name: consumer.retry_parked() for name, consumer in self.consumers.items()}

    def ready(self) -> dict[str, str]:
        """Return the state of the parts that the gateway needs."""
        try:
            self.positions()
        except Exception as error:  # noqa: BLE001 Readiness tells, it does not fail.
            return {"database": str(error)}
        return {"database": "ok"}


def _amounts(lots: list[Step], now: int) -> Step:
    free = [(lot, lot["remaining"] - lot["held"]) for lot in lots]
    return {
        "available_bytes": sum(part for lot, part in free if lot["expires_at"] > now),
        "held_bytes": sum(lot["held"] for lot in lots),
        "lapsed_bytes": sum(part for lot, part in free if lot["expires_at"] <= now),
        "upcoming_bytes": sum(part for lot, part in free if lot["valid_from"] > now),
    }


def _trial_row(row: Step, lapsed: int) -> dict[str, int]:
    numbers = {name: int(value) for name, value in row.items() if name != "kind"}
    remaining = numbers.pop("remaining")
    available = remaining - numbers["held"] - int(lapsed)
    return {**numbers, "available": available, "lapsed": int(lapsed)}
