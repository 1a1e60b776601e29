"""Partners' signed calls: who signed, may it call now, and what it tells."""

from typing import Any, Protocol

import msgspec

from services.tasks.completions import (
    Asked,
    BatchItem,
    Completion,
    Completions,
    body_hash,
)
from services.tasks.domain.signature import Key, Signed, signer
from services.tasks.domain.tasks.completion import Token
from services.tasks.tokens import Tokens
from shared.calendar import Calendar
from shared.errors import InvalidError, RefusedError
from shared.mistakes import converted, decoded


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """What a call is checked by: the partner's state, contract and keys."""

    partner: str
    state: str
    starts_at: int | None
    ends_at: int | None
    keys: list[Key]


class Keyring(Protocol):
    """Who knows the partners."""

    def partner(self, name: str) -> Partner | None:
        """Return a partner with its keys, None where there is none."""
        ...


def check_call(found: Partner | None, call: Signed, wall_ms: int, now: int, late_ms: int) -> Key:
    """Return the key that signed a call of a partner that may call at bank time `now`.

    It may for `late_ms` after its contract's end: what happened before is told, asked for and taken
    back. Refusals, in order: those of `signer`, partner_suspended, contract_not_in_force.
    """
    key = signer(call, found.keys if found else (), wall_ms)
    assert found is not None
    if found.state != "active":
        raise RefusedError("partner_suspended", f"partner {found.partner} is {found.state}", 403)
    begun = found.starts_at is not None and found.starts_at <= now
    if not begun or (found.ends_at is not None and found.ends_at + late_ms <= now):
        detail = "no contract is in force, nor has one just ended"
        raise RefusedError("contract_not_in_force", detail, 403)
    return key


def read_completions(call: Signed) -> tuple[list[tuple[str, Completion]], bool]:
    """Return what a call tells, each with its request id, and whether it is a batch.

    Raises InvalidError that names the place.
    """
    told = decoded(dict[str, Any], call.body)
    if "completions" in told:
        batch = converted(Completions, told)
        return [(item.request_id, item) for item in _distinct(batch.completions)], True
    return [(call.request_id, converted(Completion, told))], False


def _distinct(items: list[BatchItem]) -> list[BatchItem]:
    seen: set[str] = set()
    for item in items:
        if item.request_id in seen:
            raise InvalidError(f"request id {item.request_id} comes twice in one batch")
        seen.add(item.request_id)
    return items


def resolve(told: list[tuple[str, Completion]], tokens: Tokens, calendar: Calendar) -> list[Asked]:
    """Find the entrances by which subscribers came. Raises InvalidError for a malformed time."""
    times = [_time(completion, calendar) for _, completion in told]
    by_text = tokens.find({each.token for _, each in told if each.token is not None})
    entrances = tokens.entrances(
        (each.campaign, each.subscriber, at)
        for (_, each), at in zip(told, times, strict=True)
        if each.token is None and each.subscriber is not None
    )
    return [
        _asked(request_id, each, at, by_text, entrances)
        for (request_id, each), at in zip(told, times, strict=True)
    ]


def _time(completion: Completion, calendar: Calendar) -> int:
    try:
        return calendar.parse(completion.happened_at)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"`happened_at` is no ISO 8601 time: {error}") from error


def _asked(
    request_id: str, told: Completion, at: int, by_text: dict[str, Token],
    entrances: dict[tuple[str, str, int], Token],
) -> Asked:  # fmt: skip
    entrance = None
    if told.token is not None:
        entrance = by_text.get(told.token)
        if entrance is not None and entrance.use != "entrance":
            entrance = None
    elif told.subscriber is not None:
        entrance = entrances.get((told.campaign, told.subscriber, at))
    subscriber = told.subscriber if entrance is None else entrance.subscriber
    return Asked(
        request_id=request_id, body=body_hash(told), completion=told, happened_at=at,
        subscriber=subscriber, entrance=entrance,
    )  # fmt: skip
