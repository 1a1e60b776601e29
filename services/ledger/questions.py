"""Answers from the log itself: which lots paid for a usage record, what is to come."""

from typing import Any

import msgspec
from psycopg.rows import tuple_row

from services.ledger.application import Ledger, scan_names
from services.ledger.codec import decode_event
from services.ledger.domain.context import Context
from services.ledger.domain.forecast import forecast
from services.ledger.partition import Partition
from shared.calendar import Calendar
from shared.contracts.ledger import DataSpent, Event, Sponsored, UsageReversed
from shared.errors import RefusedError
from shared.ids import digest
from shared.pgarrays import bytea16

# How many accounts are asked at once whether a usage id is theirs.
OWNER_BATCH = 5_000

SELECT_BOUND = """
SELECT k.key, k.version, e.topic, e.state FROM command_keys k
JOIN stored_events e ON e.originator_id = k.stream AND e.originator_version = k.version
WHERE k.key = ANY(%b::bytea[])
"""


class Bound(msgspec.Struct):
    """The first event that a key made, and its version in its account's stream."""

    version: int
    event: Event


def why(ledger: Ledger, usage_id: str, account: str | None, calendar: Calendar) -> dict[str, Any]:
    """Tell which lots paid for a usage record, under which rules, by which events.

    A usage id is unique per subscriber. Without the account every account is asked, which takes
    about a second per 100,000 of them. Raises RefusedError usage_not_found, usage_ambiguous.
    """
    if account is None:
        account = _owner(ledger, usage_id)
    explained = explain(ledger.partition_for(account), account, [usage_id], calendar)
    if usage_id not in explained:
        raise _unknown(usage_id)
    return explained[usage_id]


def explain(
    partition: Partition, account: str, usage_ids: list[str], calendar: Calendar
) -> dict[str, dict[str, Any]]:
    """Tell for each of an account's usage records which lots paid; unknown ones are missing."""
    keys = {
        each: (digest("usage", account, each), digest("reversal", account, each))
        for each in usage_ids
    }
    found = bound(partition, [key for pair in keys.values() for key in pair])
    return {
        usage_id: _explained(account, usage_id, found[charge], found.get(reversal), calendar)
        for usage_id, (charge, reversal) in keys.items()
        if charge in found
    }


def _explained(
    account: str, usage_id: str, spent: Bound, undone: Bound | None, calendar: Calendar
) -> dict[str, Any]:
    assert isinstance(spent.event, DataSpent)
    line = next(line for line in spent.event.lines if line.usage_id == usage_id)
    events = [spent] if undone is None else [spent, undone]
    sponsored_bytes = 0 if line.sponsored is None else line.sponsored.bytes
    return {
        "usage_id": usage_id,
        "account": account,
        "bytes": line.bytes,
        "spent_bytes": line.bytes - line.unfunded_bytes - sponsored_bytes,
        "sponsored_bytes": sponsored_bytes,
        "sponsored": _sponsor(line.sponsored),
        "unfunded_bytes": line.unfunded_bytes,
        "rating_group": line.rating_group,
        "occurred_at": calendar.text(line.occurred_at),
        "recorded_at": calendar.text(spent.event.recorded_at),
        "late": line.late,
        "rule_version": spent.event.rule_version,
        "event_ids": [f"{account}:{each.version}" for each in events],
        # A lot's kind is the first word of its id.
        "slices": [
            {"lot_id": part.lot_id, "kind": part.lot_id.partition(":")[0], "bytes": part.bytes}
            for part in line.slices
        ],
        "reversed": _reversal(undone, calendar),
    }


def _sponsor(sponsored: Sponsored | None) -> dict[str, Any] | None:
    """Return who paid for a part of a record, out of which quota, under which offer."""
    if sponsored is None:
        return None
    return {
        "campaign": sponsored.campaign, "quota": sponsored.quota, "bytes": sponsored.bytes,
        "offer_version": sponsored.offer_version,
    }  # fmt: skip


def ahead(ledger: Ledger, account: str, within_ms: int | None) -> dict[str, Any]:
    """Tell what is to come for an account. Raises RefusedError account_not_found."""
    partition = ledger.partition_for(account)
    state, _ = ledger.account(account)
    calendar = partition.calendar
    context = Context(partition.clock.now(), calendar, partition.rulebook)
    found = forecast(state, context, within_ms)
    for one in found["expiring"]:
        one["at"] = calendar.text(one["at"])
    found["next_cycle"]["starts_at"] = calendar.text(found["next_cycle"]["starts_at"])
    as_of = calendar.text(context.now)
    return {"subscriber": account, "as_of": as_of, "rule_version": context.rules.version, **found}


def _reversal(undone: Bound | None, calendar: Calendar) -> dict[str, Any] | None:
    if undone is None:
        return None
    event = undone.event
    assert isinstance(event, UsageReversed)
    return {
        "at": calendar.text(event.recorded_at), "actor": event.actor, "reason": event.reason,
        "restored_bytes": sum(leg.bytes for leg in event.legs),
    }  # fmt: skip


def bound(partition: Partition, keys: list[bytes]) -> dict[bytes, Bound]:
    """Return what keys are bound to; those that are free are missing."""
    with partition.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(
            SELECT_BOUND, (bytea16(keys),), binary=True
        )
        return {
            bytes(key): Bound(version, decode_event(topic, bytes(state)))
            for key, version, topic, state in rows
        }


def _owner(ledger: Ledger, usage_id: str) -> str:
    owners = [
        account
        for partition in ledger.partitions
        for names in scan_names(partition, OWNER_BATCH)
        for account in _having(partition, names, usage_id)
    ]
    if not owners:
        raise _unknown(usage_id)
    if len(owners) > 1:
        raise RefusedError(
            "usage_ambiguous",
            f"{len(owners)} subscribers have a usage record {usage_id}; name one of them",
            409,
            accounts=sorted(owners)[:100],
        )
    return owners[0]


def _having(partition: Partition, names: list[str], usage_id: str) -> list[str]:
    keys = {digest("usage", name, usage_id): name for name in names}
    with partition.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(
            "SELECT key FROM command_keys WHERE key = ANY(%b::bytea[])",
            (bytea16(list(keys)),), binary=True,
        ).fetchall()  # fmt: skip
    return [keys[bytes(row[0])] for row in rows]


def _unknown(usage_id: str) -> RefusedError:
    return RefusedError("usage_not_found", f"there is no usage record {usage_id}", 404)
