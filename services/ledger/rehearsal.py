"""The dry run of rules: the last closed month of every account under them. It touches nothing."""

from collections.abc import Iterator
from heapq import nlargest
from typing import Any

from psycopg.rows import tuple_row

from services.ledger.application import Ledger, count_accounts, scan_accounts
from services.ledger.codec import decode_event
from services.ledger.domain.account import Account
from services.ledger.domain.replay import Closing, Replay, on_other_terms
from services.ledger.domain.rules import Rules
from services.ledger.partition import Partition
from services.ledger.rulebooks import refuse_removed_plans, rules_now
from shared.calendar import Calendar
from shared.contracts.ledger import OFFERS_STREAM, Event, OfferPublished
from shared.errors import RefusedError
from shared.ids import stream_id
from shared.pgarrays import uuids

TOP = 10
SHARE = 200
SELECT_EVENTS = """
SELECT uuid_send(originator_id), topic, state FROM stored_events
WHERE originator_id = ANY(%b::uuid[]) ORDER BY originator_id, originator_version
"""

Change = tuple[str, Closing, Closing]


class Sums:
    """What the accounts' closes come to, and whom the rules change most.

    Apart from how much is carried over, whose carried bytes are on other terms (kind or end).
    """

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.accounts = 0
        self.changed = 0
        self.before, self.after = Closing(), Closing()
        self.top: list[Change] = []
        self.other_terms = 0
        self.other_terms_bytes = 0
        self.other_terms_top: list[Change] = []

    def add(self, change: Change) -> None:
        """Add an account."""
        _, before, after = change
        self.accounts += 1
        for total, one in ((self.before, before), (self.after, after)):
            total.carried += one.carried
            total.expired += one.expired
        self.changed += _is_changed(change)
        if _weight(change):
            self.top = nlargest(TOP, [*self.top, change], key=_weight)
        if moved := on_other_terms(before, after):
            self.other_terms += 1
            self.other_terms_bytes += moved
            self.other_terms_top = nlargest(
                TOP, [*self.other_terms_top, change], key=lambda each: on_other_terms(*each[1:])
            )

    def report(self, month: str) -> dict[str, Any]:
        """Return the dry run's result."""
        return {
            "month": month, "accounts": self.accounts, "changed_accounts": self.changed,
            **_columns(self.before, self.after), "most_changed": [*map(self.row, self.top)],
            "other_terms_accounts": self.other_terms, "other_terms_bytes": self.other_terms_bytes,
            "most_on_other_terms": [*map(self.row, self.other_terms_top)],
        }  # fmt: skip

    def row(self, change: Change) -> dict[str, Any]:
        """Return how an account is changed."""
        name, before, after = change
        return {
            "account": name, **_columns(before, after),
            "other_terms_bytes": on_other_terms(before, after),
            "carried_before": self._terms(before), "carried_after": self._terms(after),
        }  # fmt: skip

    def _terms(self, closing: Closing) -> list[dict[str, Any]]:
        return [
            {"kind": kind, "expires_at": self._calendar.text(expires_at), "bytes": part}
            for (kind, expires_at), part in closing.terms.items()
        ]


def rehearse(ledger: Ledger, rules: Rules, *, every: bool = False) -> Iterator[dict[str, Any]]:
    """Yield `{done, of}` and at last `{result}`: whom the rules would have changed, by how much.

    The result names those that are changed most, and those of whose bytes most would have been
    carried over on other terms. With `every` all that are changed come before it,
    as `{rows}` of at most 200. Raises RefusedError plan_in_use, no_month_closed.
    """
    refuse_removed_plans(ledger, rules)
    of = sum(count_accounts(partition) for partition in ledger.partitions)
    month = max((_last_closed(partition) for partition in ledger.partitions), default="")
    if not month:
        raise RefusedError("no_month_closed", "no month is closed yet: there is none to replay")
    sums, done = Sums(ledger.partitions[0].calendar), 0
    for partition in ledger.partitions:
        book, blocking = rules_now(partition), _blocking(partition)
        replay = Replay(month, rules, book, partition.calendar, blocking)
        for names, states in scan_accounts(partition):
            for changes in _replay_all(partition, replay, states):
                for change in changes:
                    sums.add(change)
                rows = [sums.row(change) for change in changes if _is_changed(change)]
                if every and rows:
                    yield {"rows": rows}
            done += names
            yield {"done": done, "of": of}
    yield {"result": sums.report(month)}


def _last_closed(partition: Partition) -> str:
    """Return the last month that any account has closed, empty if none."""
    last = ""
    for _, states in scan_accounts(partition):
        last = max((last, *(state.closed_through or "" for state in states)))
    return last


def _blocking(partition: Partition) -> frozenset[tuple[str, int]]:
    """Return the versions of offers that block what they do not pay, as (campaign, version)."""
    published = _events_of(partition, [OFFERS_STREAM])[stream_id(OFFERS_STREAM)]
    return frozenset(
        (event.campaign, event.version) for event in published
        if isinstance(event, OfferPublished) and event.offer.get("at_cap") == "block"
    )  # fmt: skip


def _replay_all(
    partition: Partition, replay: Replay, states: list[Account]
) -> Iterator[list[Change]]:
    """Yield what the accounts' closes did and would have done, share by share."""
    closed = [each.account for each in states if (each.closed_through or "") >= replay.month]
    for start in range(0, len(closed), SHARE):
        share = closed[start : start + SHARE]
        events = _events_of(partition, share)
        replayed = [(name, replay.of(events[stream_id(name)])) for name in share]
        yield [(name, *found) for name, found in replayed if found is not None]


def _events_of(partition: Partition, names: list[str]) -> dict[bytes, list[Event]]:
    streams = [stream_id(name) for name in names]
    events: dict[bytes, list[Event]] = {stream: [] for stream in streams}
    with partition.connection() as conn:
        cursor = conn.cursor(row_factory=tuple_row)
        cursor.execute(SELECT_EVENTS, (uuids(streams),), binary=True)
        for stream, topic, state in cursor:
            events[stream].append(decode_event(topic, bytes(state)))
    return events


def _columns(before: Closing, after: Closing) -> dict[str, int]:
    return {
        "carried_before_bytes": before.carried, "carried_after_bytes": after.carried,
        "expired_before_bytes": before.expired, "expired_after_bytes": after.expired,
    }  # fmt: skip


def _is_changed(change: Change) -> bool:
    _, before, after = change
    return before != after


def _weight(change: Change) -> int:
    _, before, after = change
    return abs(after.carried - before.carried) + abs(after.expired - before.expired)
