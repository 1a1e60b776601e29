"""The use cases of rules: show them, put a new version, bring it to every partition."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from psycopg.rows import tuple_row

from services.ledger.application import Ledger
from services.ledger.codec import encode
from services.ledger.domain.context import Meta
from services.ledger.domain.rules import CRITERIA, LISTS, Plan, RuleBook, Rules, repeated
from services.ledger.partition import Partition
from services.ledger.publishing import Version, add_versions, content, last_version, versions_in
from shared.contracts.ledger import LOT_KINDS, RulesPublished
from shared.errors import InvalidError, RefusedError
from shared.mistakes import explained

# So long every process has time to see a version before it is in force.
LEAD_MS = 60_000
FETCH_ROWS = 2_000
SOME_PLAN = "$.plans[...]"


class PlanFacts(msgspec.Struct):
    """The few fields of an account's state that tell its plans."""

    plan: str | None = None
    plan_changes: list[tuple[str, str]] = []
    status: str = "active"


_decode_plans = msgspec.json.Decoder(PlanFacts).decode


def read_rules(document: dict[str, Any]) -> Rules:
    """Return the rules that a document says; the bank gives the number and keeps the time.

    Raises InvalidError that names the place.
    """
    try:
        rules = msgspec.convert(
            {"effective_from": "", **document, "version": 1}, Rules, strict=True
        )
    except msgspec.ValidationError as error:
        text, place = explained(error, Rules)
        where = _named(document, place)
        raise InvalidError(f"{text}, at {where}", pointer=where) from error
    for what, where in _mistakes(rules):
        raise InvalidError(f"{what}, at {where}", pointer=where)
    return rules


def _mistakes(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with rules and where, as far as no type says it.

    It is asked of what is put, compared or tried: rules that are stored are read as they are.
    """
    if not rules.plans:
        yield "rules need at least one plan", "$.plans"
    order = rules.order_of_use
    if not order.by:
        yield f"it needs at least one of {', '.join(CRITERIA)}", "$.order_of_use.by"
    lists: dict[str, Sequence[object]] = {
        "$.order_of_use.by": order.by,
        "$.order_of_use.kinds": order.kinds,
        **{f"$.thresholds.{name}": getattr(rules.thresholds, name) for name in LISTS},
    }
    for where, given in lists.items():
        twice = repeated(given)
        if twice is not None:
            yield f"{twice} stands there more than once", where
    kinds = {"$.order_of_use.kinds": order.kinds} | {
        f"$.plans.{name}.carry_over.excluded_kinds": plan.carry_over.excluded_kinds
        for name, plan in rules.plans.items()
    }
    for where, given in kinds.items():
        for index, kind in enumerate(given):
            if kind not in LOT_KINDS:
                yield f"{kind!r} is none of {', '.join(LOT_KINDS)}", f"{where}[{index}]"


def _named(document: dict[str, Any], place: str) -> str:
    """Return a mistake's place with the plan's name, which the reader of JSON leaves out."""
    if place.startswith(SOME_PLAN):
        for name, plan in document["plans"].items():
            try:
                msgspec.convert(plan, Plan, strict=True)
            except msgspec.ValidationError:
                return f"$.plans.{name}{place.removeprefix(SOME_PLAN)}"
    return place


def rules_now(partition: Partition) -> RuleBook:
    """Return a partition's rulebook as it is stored now."""
    with partition.connection() as conn:
        return partition.rules.refresh(conn)


def put_rules(
    ledger: Ledger, rules: Rules, effective_from: str | None, meta: Meta
) -> tuple[Version, bool]:
    """Store a new version in every partition; the same content again adds nothing.

    Returns the version, and whether it is a new one.

    Raises RefusedError rules_too_early, plan_in_use; BusyError, UnavailableError (then a repeat
    finishes it).
    """
    refuse_removed_plans(ledger, rules)
    first = ledger.partitions[0]
    with first.turn() as (conn, now):
        version, is_new = _decide(first, rules, effective_from, now)
        if is_new:
            add_versions(conn, first.recorder, [version], _event_of(now, first, meta))
    spread_rules(ledger, meta)
    return version, is_new


def spread_rules(ledger: Ledger, meta: Meta) -> int:
    """Give every partition the versions that partition 0 has; returns how many were missing."""
    with ledger.partitions[0].connection() as conn:
        versions = versions_in(conn)
    missing = 0
    for partition in ledger.partitions[1:]:
        with partition.connection() as conn:
            level = not versions or last_version(conn) == versions[-1].version
        if level:
            continue
        with partition.turn() as (conn, now):
            event_of = _event_of(now, partition, meta)
            missing += add_versions(conn, partition.recorder, versions, event_of)
    return missing


def _decide(
    partition: Partition, rules: Rules, effective_from: str | None, now: int
) -> tuple[Version, bool]:
    """Return the version that a put comes to, and whether it is a new one."""
    calendar, book = partition.calendar, partition.rulebook
    text = effective_from or rules.effective_from
    try:
        start = calendar.parse(text) if text else now + LEAD_MS
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"effective_from is no ISO 8601 time: {error}") from error
    last_start, last = book.versions[-1]
    if content(last) == content(rules) and (not text or start == last_start or start <= now):
        return Version(last.version, last_start, encode(last)), False
    if start < now + LEAD_MS:
        earliest = calendar.text(now + LEAD_MS)
        raise RefusedError(
            "rules_too_early",
            f"rules come into force at {earliest} at the earliest, not at {calendar.text(start)}",
            earliest=earliest,
        )
    number = last.version + 1
    new = msgspec.structs.replace(rules, version=number, effective_from=calendar.text(start))
    return Version(number, start, encode(new)), True


def _event_of(now: int, partition: Partition, meta: Meta) -> Any:
    in_force = partition.rulebook.at(now).version

    def make(version: Version) -> RulesPublished:
        return RulesPublished(
            account="rules:book", recorded_at=now, actor=meta.actor,
            correlation_id=meta.correlation_id, rule_version=in_force, version=version.version,
            effective_from=version.effective_from, rules=msgspec.json.decode(version.rules),
        )  # fmt: skip

    return make


def refuse_removed_plans(ledger: Ledger, rules: Rules) -> None:
    """Refuse rules that lack a plan that somebody is on. Raises RefusedError plan_in_use."""
    known = {name for _, each in rules_now(ledger.partitions[0]).versions for name in each.plans}
    removed = known - set(rules.plans)
    if not removed:
        return
    on: Counter[str] = Counter()
    for partition in ledger.partitions:
        on.update(plans_in_use(partition))
    used = {name: on[name] for name in sorted(removed) if on[name]}
    if used:
        listed = ", ".join(f"{name} ({count:,})" for name, count in used.items())
        raise RefusedError(
            "plan_in_use",
            f"accounts are on plans that these rules do not have: {listed}",
            plans=used,
        )


def plans_in_use(partition: Partition) -> Counter[str]:
    """Return how many accounts that are not closed are on each plan, or go to it."""
    plans: Counter[str] = Counter()
    with (
        partition.connection() as conn,
        conn.transaction(),
        conn.cursor(name="plans", row_factory=tuple_row) as cursor,
    ):
        cursor.itersize = FETCH_ROWS
        cursor.execute("SELECT state FROM account_state")
        for (state,) in cursor:
            facts = _decode_plans(bytes(state))
            if facts.plan is not None and facts.status != "closed":
                plans.update({facts.plan, *(plan for _, plan in facts.plan_changes)})
    return plans
