"""What the gateway answers and does: reads of the views, rebuilds, checks, parked events."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from services.gateway import audiences, queries, store
from services.gateway.audiences import Search
from services.gateway.catalogue import VIEWS
from services.gateway.consumers import ViewConsumer
from services.gateway.freshness import Freshness
from services.gateway.gifts import gift_document
from services.gateway.projections import SUM_TERMS
from services.gateway.rebuild import Rebuild, Step
from services.gateway.spending import Spending
from services.gateway.store import Store
from services.gateway.verification import verify
from shared.bus import parking
from shared.bus.types import LogReader
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.contracts.audiences import AudienceRule
from shared.contracts.offers import Hours
from shared.errors import InvalidError, NotFoundError, RefusedError, UnavailableError
from shared.paging import cursor_of, parts_of

ALL = "all"
# Facts of a history's entries that are instants.
INSTANTS = ("deadline", "expires_at", "until")
OWNER = ("kind", "status", "plan", "next_plan", "next_plan_from", "partner", "active_from")

Answer = dict[str, Any]


class Gateway:
    """The gateway of one bank; `readers` are of the services' logs. Threads may share it."""

    def __init__(
        self, store_: Store, readers: Mapping[str, LogReader], clock: BankClock,
        calendar: Calendar, *, bank_id: str, epoch: int,
    ) -> None:  # fmt: skip
        self.store = store_
        self.clock = clock
        self.calendar = calendar
        self.readers = readers
        self.fresh = Freshness(store_, calendar, bank_id=bank_id, epoch=epoch)
        self.spending = Spending(store_, readers, clock, calendar, self.fresh)
        self.consumers = [ViewConsumer(make(calendar), store_, clock) for make in VIEWS.values()]

    def balance(self, account: str, at_least: str | None = None) -> Answer:
        """Return what an account has now, its lots, and what campaigns paid for it this month.

        Raises NotFoundError account_not_found.
        """
        found, now, answer = self._balance(account, at_least)
        sums = found["sums"]
        lots = [self._lot(lot, now) for lot in found["lots"] or []]
        return {
            "subscriber": account, **answer,
            "available_bytes": sums["available"], "held_bytes": sums["held"],
            "lapsed_bytes": sums["lapsed"], "upcoming_bytes": sums["upcoming"],
            "outside_hours_bytes": sums["outside_hours"],
            "lots": lots, "lots_total": sums["lots"],
            "sponsored": self._sponsored(account, now),
        }  # fmt: skip

    def _sponsored(self, account: str, now: int) -> list[Answer]:
        """Return what campaigns paid for an account in the present bank month, and which."""
        with self.store.cursor() as cursor:
            return queries.sponsored(cursor, account, self.calendar.month_of(now))

    def balance_at(self, account: str, at: int, at_least: str | None = None) -> Answer:
        """Return what the bank had recorded of an account by a past bank time.

        Raises NotFoundError account_not_found, InvalidError for a future instant,
        UnavailableError while the views are not level.
        """
        wanted, now = self.fresh.wait("history", at_least), self.clock.now()
        if at > now:
            raise InvalidError(
                "`at` lies after bank time; the forecast tells what is to come",
                now=self.calendar.text(now),
            )
        self.fresh.wait("balances", at_least)
        with self.store.cursor() as cursor:
            positions, is_open, sums, lots = queries.balance_at(
                cursor, account, at, self.calendar.minute_of(at)
            )
        answer = {**self.fresh.meta(positions or {}, wanted, now), "at": self.calendar.text(at)}
        if not is_open:
            raise _no_account(account, stale=answer["stale"], at=answer["at"])
        if sums["unknown"]:
            raise UnavailableError("a view is behind another one, try again")
        return {
            "subscriber": account, **answer,
            "available_bytes": sums["available"], "held_bytes": sums["held"],
            "lapsed_bytes": sums["lapsed"], "upcoming_bytes": sums["upcoming"],
            "outside_hours_bytes": sums["outside_hours"],
            "lots": [self._lot(lot, at) for lot in lots or []], "lots_total": sums["lots"],
        }  # fmt: skip

    def history(
        self, account: str, filters: Answer, limit: int, at_least: str | None = None
    ) -> Answer:
        """Return entries of an account's history, oldest first. Raises NotFoundError."""
        wanted, now = self.fresh.wait("history", at_least), self.clock.now()
        with self.store.cursor() as cursor:
            row = queries.history(cursor, account, filters, limit + 1)
            reached = row[0] if row else store.positions(cursor, "history")
        answer = self.fresh.meta(reached or {}, wanted, now)
        if row is None:
            raise _no_account(account, stale=answer["stale"])
        rows = row[1] or []
        entries = [self._entry(account, each) for each in rows[:limit]]
        more = len(rows) > limit
        return {
            "subscriber": account, **answer, "entries": entries,
            "next_after": entries[-1]["entry"] if more else None,
        }  # fmt: skip

    def _entry(self, account: str, row: Answer) -> Answer:
        facts = row["facts"]
        instants = {name: self.calendar.text(facts[name]) for name in INSTANTS if name in facts}
        return {
            "entry": row["entry"], "event_id": f"{account}:{row['entry']}",
            "at": self.calendar.text(row["at"]), "kind": row["kind"], "bytes_in": row["bytes_in"],
            "bytes_out": row["bytes_out"], "balance_bytes": row["balance"],
            "lots": [
                {"lot_id": lot, "bytes": change, **({"held_bytes": held} if held else {})}
                for lot, change, held in row["lots"]
            ],
            **facts, **instants, "actor": row["actor"], "reason": row["reason"],
        }  # fmt: skip

    def lots(self, account: str, filters: Answer, at_least: str | None = None) -> Answer:
        """Return a page of an account's lots with all their terms, the soonest expiry first.

        Raises NotFoundError.
        """
        wanted, now = self.fresh.wait("balances", at_least), self.clock.now()
        end, start, lot = filters["after"].split(".", 2) if filters["after"] else [None] * 3
        limit = filters["limit"]
        values = {
            "kind": filters["kind"], "state": filters["state"], "within": filters["expiring"],
            "end": end, "start": start, "lot": lot, "now": now, "limit": limit + 1,
            "minute": self.calendar.minute_of(now),
        }  # fmt: skip
        with self.store.cursor() as cursor:
            row = queries.lots(cursor, account, values)
            reached = row[1] if row else store.positions(cursor, "balances")
        answer = self.fresh.meta(reached or {}, wanted, now)
        if row is None:
            raise _no_account(account, stale=answer["stale"])
        owned, _, total, found = row
        owner = {key: owned[key] for key in OWNER}
        page = (found or [])[:limit]
        more = len(found or []) > limit
        return {
            "subscriber": account, **owner, **answer,
            "lots": [self._lot(one, now) | self._terms(one) for one in page], "lots_total": total,
            "next_after": _lot_cursor(page[-1]) if more else None,
        }  # fmt: skip

    def trial_balance(self, at_least: str | None = None) -> Answer:
        """Return the terms of the whole bank, and by kind of account."""
        wanted, now = self.fresh.wait("trial_balance", at_least), self.clock.now()
        with self.store.cursor() as cursor:
            positions, sums, remaining, in_transit, transfers = queries.trial_balance(cursor, now)
        kinds: dict[str, dict[str, int]] = {}
        for row in (sums or []) + (remaining or []):
            kinds.setdefault(row.pop("account_kind"), {}).update(row)
        names = (*SUM_TERMS, "available", "held", "lapsed")
        kinds = {kind: {n: row.get(n, 0) for n in names} for kind, row in sorted(kinds.items())}
        totals = {name: sum(row[name] for row in kinds.values()) for name in names}
        came = totals["earned"] + totals["received"] + totals["returned"]
        left = totals["available"] + totals["held"] + totals["lapsed"]
        went = sum(totals[name] for name in ("spent", "transferred", "expired", "adjusted"))
        return {
            **totals, "in_transit": int(in_transit), "transfers_in_transit": transfers,
            "balanced": came == left + went, "kinds": kinds,
            **self.fresh.meta(positions or {}, wanted, now),
        }  # fmt: skip

    def gifts(self, account: str, filters: Answer, at_least: str | None = None) -> Answer:
        """Return a page of what an account gave and got, the newest first.

        Raises NotFoundError account_not_found where no view knows the account.
        """
        wanted, now = self.fresh.wait("gifts", at_least), self.clock.now()
        at, last = parts_of(filters["after"], (int, str))
        with self.store.cursor() as cursor:
            values = filters | {"at": at, "last": last, "limit": filters["limit"] + 1}
            reached, known, found = queries.gifts(cursor, account, values)
        answer = self.fresh.meta(reached or {}, wanted, now)
        rows = found or []
        if not rows and not known:
            raise _no_account(account, stale=answer["stale"])
        page, more = rows[: filters["limit"]], len(rows) > filters["limit"]
        place = [page[-1]["requested_at"], page[-1]["gift_id"]] if more else []
        return {
            "subscriber": account, **answer,
            "gifts": [gift_document(row, account, self.calendar) for row in page],
            "next_after": cursor_of(*place) if more else None,
        }  # fmt: skip

    def audience_search(self, rule: AudienceRule) -> Search:
        """Return a rule as it is asked now."""
        return Search(rule, self.clock.now(), self.calendar)

    def audience_count(self, rule: AudienceRule) -> Answer:
        """Return how many subscribers a rule finds now."""
        found, reached = audiences.count(self.store, self.audience_search(rule))
        return {"count": found, **self.fresh.meta(reached, {}, self.clock.now())}

    def positions(self) -> Answer:
        """Return how far each view is, as position tokens."""
        with self.store.cursor() as cursor:
            return {view: self.fresh.token(store.positions(cursor, view)) for view in VIEWS}

    def rebuild(self, name: str) -> Iterator[Step]:
        """Yield progress, then `{"result": {view: report}}`. Raises NotFoundError, BusyError."""
        if name not in (*VIEWS, ALL):
            raise NotFoundError(f"there is no view {name}", allowed=[*VIEWS, ALL])
        names = list(VIEWS) if name == ALL else [name]
        for each in names:
            with self.store.maintenance(each):  # A conflict is told before anything is done.
                pass
        return self._rebuild(names)

    def _rebuild(self, names: list[str]) -> Iterator[Step]:
        result: dict[str, Any] = {}
        for name in names:
            for step in self.make_rebuild(name).run():
                if "report" in step:
                    result[name] = step["report"]
                else:
                    yield step
        yield {"result": result}

    def make_rebuild(self, name: str) -> Rebuild:
        """Return a rebuild of a view, not begun."""
        reader = self.readers[VIEWS[name].service]
        return Rebuild(VIEWS[name], self.store, reader, self.clock, self.calendar)

    def verify(self) -> Iterator[Step]:
        """Yield progress, then the result of comparing every view with a fold of the logs."""
        stack = ExitStack()
        with stack:
            for name in VIEWS:
                stack.enter_context(self.store.maintenance(name, shared=True))
            held = stack.pop_all()
        return self._verify(held)

    def _verify(self, held: ExitStack) -> Iterator[Step]:
        with held:
            views = [consumer.view for consumer in self.consumers]
            yield from verify(self.store, views, self.readers)

    def parked(
        self, consumer: str | None = None, account: str | None = None, after: str | None = None,
        limit: int = parking.LIST_MAX,
    ) -> tuple[list[Answer], str | None]:  # fmt: skip
        """Return a page of what the views have put aside, in order, and where the next begins."""
        names = list(VIEWS) if consumer is None else [consumer]
        place = None if after is None else tuple(parts_of(after, (str, str, int)))
        with self.store.cursor() as cursor:
            rows = parking.list_parked(cursor, names, account=account, after=place, limit=limit + 1)
        shown = [
            {
                "consumer": row.consumer, "source": row.source, "sequence": row.sequence,
                "account": row.account, "type": row.event.type, "error": row.error,
                "attempts": row.attempts, "parked_at": self.calendar.text(row.parked_at),
            }
            for row in rows[:limit]
        ]  # fmt: skip
        if len(rows) <= limit:
            return shown, None
        last = rows[limit - 1]
        return shown, cursor_of(last.consumer, last.source, last.sequence)

    def retry_parked(self) -> Answer:
        """Apply parked events again, each account's in order."""
        return {consumer.name: consumer.retry_parked() for consumer in self.consumers}

    def ready(self) -> dict[str, str]:
        """Return the state of what the gateway needs. Raises UnavailableError."""
        with self.store.cursor() as cursor:
            store.positions(cursor, "balances")
        return {"database": "ok"}

    def _balance(self, account: str, at_least: str | None) -> tuple[Answer, int, Answer]:
        wanted, now = self.fresh.wait("balances", at_least), self.clock.now()
        with self.store.cursor() as cursor:
            row = queries.balance(cursor, account, now, self.calendar.minute_of(now))
            reached = row[1] if row else store.positions(cursor, "balances")
        answer = self.fresh.meta(reached or {}, wanted, now)
        if row is None:
            raise _no_account(account, stale=answer["stale"])
        return dict(zip(("owner", "positions", "sums", "lots"), row, strict=True)), now, answer

    def _lot(self, lot: Answer, now: int) -> Answer:
        return {
            "lot_id": lot["lot_id"], "kind": lot["kind"], "state": self._state(lot, now),
            "remaining_bytes": lot["remaining"], "held_bytes": lot["held"],
            "valid_from": self.calendar.text(lot["valid_from"]),
            "expires_at": self.calendar.text(lot["expires_at"]),
            "scope": lot["scope"], "hours": lot["hours"],
        }  # fmt: skip

    def _state(self, lot: Answer, now: int) -> str:
        if lot["expires_at"] <= now:
            return "lapsed"
        if lot["valid_from"] > now:
            return "upcoming"
        hours = None if lot["hours"] is None else Hours(**lot["hours"])
        if hours is not None and not hours.contains(self.calendar.minute_of(now)):
            return "outside_hours"
        return "available"

    def _terms(self, lot: Answer) -> Answer:
        kept = ("giftable", "carries", "source", "parent_lot")
        return {
            "granted_bytes": lot["granted"],
            "granted_at": self.calendar.text(lot["granted_at"]),
            **{key: lot[key] for key in kept},
        }


def _no_account(account: str, *, stale: bool, at: str | None = None) -> RefusedError:
    when = "is known here" if at is None else f"was open at {at}"
    return RefusedError(
        "account_not_found", f"no account {account} {when}", 404, account=account, stale=stale
    )


def _lot_cursor(lot: Answer) -> str:
    return f"{lot['expires_at']}.{lot['valid_from']}.{lot['lot_id']}"
