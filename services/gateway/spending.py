"""Answers about partners and campaigns: what was spent, what a day costs, where the bytes are."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.gateway import spend_queries, store
from services.gateway.campaigns import TERMS
from services.gateway.freshness import Freshness, has
from services.gateway.pages import heads
from services.gateway.partners import campaign_account, partner_account
from services.gateway.settlement import Price, price_of, priced, settlement_document
from services.gateway.settling import check_settlement
from services.gateway.store import Store
from shared.bus.types import LogReader
from shared.calendar import Calendar
from shared.clock import BankClock
from shared.errors import InvalidError, RefusedError, UnavailableError
from shared.ids import account_kind
from shared.paging import another_lists, cursor_of, page_of, parts_of

SPEND, PARTNERS = "partner_spend", "partners"
# What was decided in the last moments of a day is stored by then.
STORED_BY_MS = 15_000

Answer = dict[str, Any]


class Spending:
    """Answers about partners and campaigns. Threads may share it."""

    def __init__(
        self, store_: Store, readers: Mapping[str, LogReader], clock: BankClock,
        calendar: Calendar, fresh: Freshness,
    ) -> None:  # fmt: skip
        self._store = store_
        self._readers = readers
        self._clock = clock
        self._calendar = calendar
        self._fresh = fresh

    def spend(
        self, partner: str | None, filters: Answer, limit: int, at_least: str | None = None
    ) -> Answer:
        """Return a page of what campaigns delivered, of one partner or of all, at its price.

        `total_bytes` is of all rows that match. Raises RefusedError account_not_found.
        """
        wanted = self._fresh.wait(SPEND, at_least)
        name = None if partner is None else _partner(partner)
        if filters["campaign"] is not None:
            filters = filters | {"campaign": _campaign(filters["campaign"])}
            self._check_known(filters["campaign"], at_least)
        with self._store.cursor() as cursor:
            reached = store.positions(cursor, SPEND)
            answer = self._fresh.meta(reached, wanted, self._clock.now())
            if name is not None and not spend_queries.is_partner(cursor, name):
                raise _unknown(name, stale=answer["stale"])
            total, rows = spend_queries.spend(cursor, {**filters, "partner": name}, limit + 1)
            prices = spend_queries.prices(cursor, {row["partner"] for row in rows})
        shown = [row | self._price(row, prices) for row in rows[:limit]]
        more = len(rows) > limit
        after = cursor_of(*(shown[-1][key] for key in spend_queries.KEY)) if more else None
        return {"rows": shown, "total_bytes": total, "next_after": after, **answer}

    def _check_known(self, account: str, at_least: str | None) -> None:
        """Check that there is an account by which is filtered. Raises account_not_found."""
        wanted = self._fresh.wait("balances", at_least)
        with self._store.cursor() as cursor:
            if not spend_queries.is_account(cursor, account):
                reached = store.positions(cursor, "balances")
                raise _unknown(account, stale=not has(reached, wanted))

    def _price(self, row: Answer, prices: dict[str, list[Price]]) -> Answer:
        day_end = self._calendar.day_end(self._calendar.parse(row["day"]))
        return priced(row, price_of(prices.get(row["partner"], []), row["day"], day_end))

    def settlement(self, partner: str, day: str) -> Answer:
        """Return what a partner owes for a bank day that is over; whenever asked, the same.

        Raises RefusedError day_running, account_not_found, settlement_incomplete while events
        that it needs are parked; UnavailableError while the views are behind the logs.
        """
        name = _partner(partner)
        ends = self._calendar.day_end(self._starts(day))
        if self._clock.now() < ends + STORED_BY_MS:
            raise RefusedError(
                "day_running", f"{day} is not over; it can be settled from 15 s after its end on",
                409, day_ends_at=self._calendar.text(ends),
            )  # fmt: skip
        # The day is over: what the logs hold now is all that they will ever hold of it.
        wanted = {view: heads(self._readers[of]) for view, of in
                  ((SPEND, "ledger"), (PARTNERS, "tasks"))}  # fmt: skip
        for view, sequences in wanted.items():
            self._fresh.wait_until(view, sequences)
        with self._store.cursor() as cursor:
            found = spend_queries.settlement(cursor, name, day, [SPEND, PARTNERS])
        for view, sequences in wanted.items():
            if not has(found.positions.get(view, {}), sequences):
                raise UnavailableError(f"the view {view} is behind the logs of {day}; try again")
        if found.parked:
            raise RefusedError(
                "settlement_incomplete",
                f"{found.parked} events are parked that may belong to it; see `databank parked`",
                409, parked=found.parked,
            )  # fmt: skip
        if not found.known:
            raise _unknown(name, stale=False)
        price = price_of(found.prices, day, ends)
        return settlement_document(name, day, found.lines, price, found.sponsor_id, found.asp_ids)

    def _starts(self, day: str) -> int:
        try:
            starts = self._calendar.parse(day)
        except (ValueError, OverflowError):
            starts = None
        if starts is None or self._calendar.day_of(starts) != day:
            raise InvalidError(f"a day is written YYYY-MM-DD, not {day!r}")
        return starts

    def check(self, partner: str, day: str) -> Iterator[Answer]:
        """Yield progress, then whether a settlement is what the ledger's log says.

        Raises as `settlement`.
        """
        document = self.settlement(partner, day)
        return check_settlement(document, self._readers["ledger"], self._calendar)

    def campaign(self, name: str, at_least: str | None = None) -> Answer:
        """Return where a campaign's bytes came from and where they are, with its quotas.

        Raises RefusedError account_not_found.
        """
        wanted, now = self._fresh.wait("campaigns", at_least), self._clock.now()
        account = _campaign(name)
        with self._store.cursor() as cursor:
            reached, found = spend_queries.campaigns(cursor, now, campaign=account, limit=1)
            quotas = spend_queries.quotas(cursor, account)
        answer = self._fresh.meta(reached, wanted, now)
        if not found:
            raise _unknown(account, stale=answer["stale"])
        return {**_document(found[0]), "quotas": quotas, **answer}

    def campaigns(
        self, partner: str | None, after: str | None, limit: int, at_least: str | None = None
    ) -> Answer:
        """Return a page of campaigns, by name. Raises RefusedError account_not_found."""
        wanted, now = self._fresh.wait("campaigns", at_least), self._clock.now()
        behind = _behind(after, "campaign")
        of = self._known_partner(partner, at_least)
        with self._store.cursor() as cursor:
            reached, found = spend_queries.campaigns(
                cursor, now, partner=of, after=behind, limit=limit + 1
            )
        page, more = page_of(found, limit, lambda row: (row["campaign"],))
        return {
            "campaigns": [_document(row) for row in page], "next_after": more,
            **self._fresh.meta(reached, wanted, now),
        }  # fmt: skip

    def _known_partner(self, name: str | None, at_least: str | None) -> str | None:
        """Return the account of the partner by which is filtered. Raises account_not_found."""
        if name is None:
            return None
        account = _partner(name)
        self._check_known(account, at_least)
        return account

    def alarms(
        self, partner: str | None, after: str | None, limit: int, at_least: str | None = None
    ) -> Answer:
        """Return a page of the partners and campaigns that have little left, by account.

        Raises RefusedError account_not_found.
        """
        wanted, now = self._fresh.wait("campaigns", at_least), self._clock.now()
        behind = _behind(after, "campaign", "partner")
        of = self._known_partner(partner, at_least)
        with self._store.cursor() as cursor:
            reached, found = spend_queries.alarms(
                cursor, now, partner=of, after=behind, limit=limit + 1
            )
        page, more = page_of(found, limit, lambda row: (row["account"],))
        return {
            "alarms": [self._alarm(row) for row in page], "next_after": more,
            **self._fresh.meta(reached, wanted, now),
        }  # fmt: skip

    def _alarm(self, row: Answer) -> Answer:
        return {
            "account": row["account"], "partner": row["partner"], "percent": row["percent"],
            "told_at": self._calendar.text(row["told_at"]), "level_bytes": row["level_bytes"],
            "available_bytes": row["available"],
        }  # fmt: skip


def _behind(after: str | None, *kinds: str) -> str | None:
    """Return the account that a page's cursor names. Raises InvalidError for another list's."""
    account: str | None
    (account,) = parts_of(after, (str,))
    if account is not None and account_kind(account) not in kinds:
        raise another_lists()
    return account


def _partner(name: str) -> str:
    """Return the account of a partner that somebody names. Raises InvalidError."""
    account = partner_account(name)
    if account_kind(account) != "partner":
        raise InvalidError("a partner is named NAME or partner:NAME, of letters, digits and . _ -")
    return account


def _campaign(name: str) -> str:
    """Return the account of a campaign that somebody names. Raises InvalidError."""
    account = campaign_account(name)
    if account_kind(account) != "campaign":
        raise InvalidError(
            "a campaign is named NAME or campaign:NAME, of letters, digits and . _ -"
        )
    return account


def _document(row: Answer) -> Answer:
    """Return a campaign's terms in bytes, and whether what came is what is left and what went."""
    came = row["funded"] + row["charged_on_credit"]
    left = row["available"] + row["held"] + row["lapsed"]
    went = sum(row[term] for term in TERMS if term not in ("funded", "charged_on_credit"))
    names = (*TERMS, "available", "held", "lapsed")
    return {
        "campaign": row["campaign"], "partner": row["partner"],
        **{f"{name}_bytes": row[name] for name in names}, "balanced": came == left + went,
    }  # fmt: skip


def _unknown(account: str, *, stale: bool) -> RefusedError:
    return RefusedError(
        "account_not_found", f"no account {account} is known here", 404,
        account=account, stale=stale,
    )  # fmt: skip
