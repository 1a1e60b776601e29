"""A body that is refused is told what would be allowed, in words."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from services.ledger.domain.commands import PUBLIC
from services.ledger.offers_api import MembersBody
from services.ledger.schemas import CommandsBody, UsageBody
from shared.errors import InvalidError
from shared.mistakes import SHAPE, decoded

GIVE = {
    "type": "adjust", "key": "k", "account": "ann", "direction": "give", "bytes": 1, "reason": "r",
}  # fmt: skip
WATCH = {"type": "set_thresholds", "key": "k", "account": "ann"}


def refusal(kind: type, document: Any) -> InvalidError:
    with pytest.raises(InvalidError) as refused:
        decoded(kind, json.dumps(document).encode())
    return refused.value


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        (GIVE | {"direction": "up"}, "'up' is none of give, take, at $.commands[0].direction"),
        (
            GIVE | {"account": "ann!"},
            "Expected 1 to 64 letters, digits, _ or - for a subscriber such as a50e2f674b137b04",
        ),
        (
            {"type": "close_month", "key": "k", "account": "ann", "month": "2015-8"},
            "Expected a month such as 2015-08, at $.commands[0].month",
        ),
        (GIVE | {"key": "a\n"}, "Expected one line without control characters, at"),
        (
            WATCH | {"thresholds": {"expiring_days": [7, 3, 3]}},
            "expiring_days has 3 more than once, at $.commands[0].thresholds",
        ),
        (
            WATCH | {"thresholds": {"plan_used_percent": [80, 80]}},
            "plan_used_percent has 80 more than once, at $.commands[0].thresholds",
        ),
    ],
)
def test_what_a_command_says_wrong_is_told_with_what_would_be_right(
    command: dict[str, Any], detail: str
) -> None:
    refused = refusal(CommandsBody, {"commands": [command]})
    assert refused.detail.startswith(detail)
    assert refused.detail.endswith(str(refused.extra["pointer"]))


def test_who_asks_for_what_is_no_command_is_told_every_command() -> None:
    refused = refusal(CommandsBody, {"commands": [{"type": "fly"}]})
    names = ", ".join(str(command.__struct_config__.tag) for command in PUBLIC)
    assert refused.detail == f"'fly' is none of {names}, at $.commands[0].type"


def parts(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """Yield a type and all that it is made of."""
    yield kind
    inner: list[Any] = list(getattr(kind, "types", ()))
    inner += [
        getattr(kind, name) for name in ("type", "item_type", "value_type") if hasattr(kind, name)
    ]
    inner += [each.type for each in getattr(kind, "fields", ())]
    for each in inner:
        yield from parts(each)


@pytest.mark.parametrize("kind", [CommandsBody, UsageBody, MembersBody])
def test_every_pattern_is_said_in_words(kind: type) -> None:
    described = [
        each for each in parts(msgspec.inspect.type_info(kind))
        if isinstance(each, msgspec.inspect.Metadata)
    ]  # fmt: skip
    patterns = [each for each in described if getattr(each.type, "pattern", None)]
    assert patterns
    assert [each for each in patterns if SHAPE not in (each.extra or {})] == []
