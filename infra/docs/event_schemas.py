"""docs/events/<type>.json: the JSON Schema of each public event, with every field's meaning."""

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from infra.docs import gifting_texts, sponsoring_texts, tasks_texts
from infra.docs.event_texts import MEANINGS
from shared.contracts import gifting, tasks
from shared.contracts.ledger import (
    EVENTS,
    Event,
    Leg,
    LotTerms,
    Slice,
    Source,
    Thresholds,
    UsageLine,
)
from shared.contracts.offers import Hours, RewardTerms

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ALL_EVENTS: tuple[type[Event], ...] = (*EVENTS, *gifting.EVENTS, *tasks.EVENTS)
PARTS: tuple[type[msgspec.Struct], ...] = (
    LotTerms, Slice, UsageLine, Leg, Source, Thresholds, Hours, RewardTerms, *tasks_texts.PARTS,
)  # fmt: skip


def meaning(kind: type, field: str) -> str:
    """Return what a field means. Raises KeyError for one without a meaning."""
    known = gifting_texts.MEANINGS | sponsoring_texts.MEANINGS | MEANINGS
    if kind.__module__ == tasks.__name__:
        known |= tasks_texts.MEANINGS
    return known.get(f"{kind.__name__}.{field}") or known[field]


def file_name(event: type[Event]) -> str:
    """Return the schema's place in docs/."""
    return f"events/{event.TYPE}.json"


def pages() -> dict[str, Callable[[], str]]:
    """Return the function that writes each event's schema, by file name."""
    return {file_name(event): partial(page, event) for event in ALL_EVENTS}


def page(event: type[Event]) -> str:
    """Return the schema of an event's `data` as text."""
    return json.dumps(schema(event), indent=2, ensure_ascii=False) + "\n"


def schema(event: type[Event]) -> dict[str, Any]:
    """Return the schema of an event's `data`."""
    made = msgspec.json.schema(event)
    definitions = made["$defs"]
    for kind in (event, *PARTS):
        if kind.__name__ in definitions:
            _explain(definitions[kind.__name__], kind)
    own = definitions.pop(event.__name__)
    parts = {"$defs": definitions} if definitions else {}
    return {"$schema": DIALECT, "$id": f"urn:databank:event:{event.TYPE}", **own, **parts}


def _explain(definition: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    definition["description"] = inspect.cleandoc(kind.__doc__ or "")
    for field, about in definition["properties"].items():
        about["description"] = meaning(kind, field)
