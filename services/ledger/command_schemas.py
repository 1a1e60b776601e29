"""How each public command is used: its purpose, its JSON Schema and an example."""

from typing import Any

import msgspec

from services.ledger.domain.commands import PUBLIC

EXAMPLES: dict[str, dict[str, Any]] = {
    "open_account": {
        "key": "open-1",
        "account": "a50e2f674b137b04",
        "plan": "std-30mb",
        "active_from": "2015-08",
    },
    "buy": {"key": "order-77", "account": "partner:didi", "bytes": 1073741824},
    "fund": {
        "key": "fund-1",
        "account": "partner:didi",
        "campaign": "campaign:didi-august",
        "bytes": 536870912,
    },
    "award": {
        "key": "ride-9",
        "account": "campaign:didi-august",
        "subscriber": "a50e2f674b137b04",
        "bytes": 10485760,
    },
    "transfer": {
        "key": "gift-3",
        "account": "a50e2f674b137b04",
        "to": "b61f30785c248c15",
        "bytes": 10485760,
    },
    "suspend": {"key": "s-1", "account": "a50e2f674b137b04", "reason": "lost phone"},
    "resume": {"key": "s-2", "account": "a50e2f674b137b04"},
    "close_account": {"key": "end-1", "account": "a50e2f674b137b04", "reason": "left"},
    "change_plan": {"key": "plan-1", "account": "a50e2f674b137b04", "plan": "std-1gb"},
    "adjust": {
        "key": "ticket-7",
        "account": "a50e2f674b137b04",
        "direction": "give",
        "bytes": 1048576,
        "reason": "outage of 3 September",
    },
    "reverse": {
        "key": "ticket-8",
        "account": "a50e2f674b137b04",
        "usage_id": "0a9c1ee04b33",
        "reason": "counted by a broken element",
    },
    "claw_back": {
        "key": "ticket-9",
        "account": "a50e2f674b137b04",
        "transfer_id": "0123456789abcdef0123456789abcdef",
        "reason": "the ride was cancelled",
    },
    "hold": {
        "key": "offer-3",
        "account": "a50e2f674b137b04",
        "bytes": 10485760,
        "deadline": "2015-09-04T12:00:00+08:00",
    },
    "post": {
        "key": "accept-3",
        "account": "a50e2f674b137b04",
        "hold_id": "0123456789abcdef0123456789abcdef",
        "to": "b61f30785c248c15",
    },
    "release": {
        "key": "decline-3",
        "account": "a50e2f674b137b04",
        "hold_id": "0123456789abcdef0123456789abcdef",
    },
    "set_thresholds": {
        "key": "watch-1",
        "account": "a50e2f674b137b04",
        "thresholds": {"plan_used_percent": [50, 90], "low_balance_bytes": 5242880},
    },
    "close_month": {"key": "close-2015-08", "account": "a50e2f674b137b04", "month": "2015-08"},
}


def command_schemas() -> list[dict[str, Any]]:
    """Return each public command's name, purpose, JSON Schema and an example."""
    rows = []
    for command in PUBLIC:
        name = str(command.__struct_config__.tag)
        schema = msgspec.json.schema(command)
        definition = schema["$defs"].pop(command.__name__)
        parts = {"$defs": schema["$defs"]} if schema["$defs"] else {}
        rows.append(
            {
                "type": name,
                "description": (command.__doc__ or "").strip(),
                "schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    **definition,
                    **parts,
                },
                "example": {"type": name, **EXAMPLES[name]},
            }
        )
    return rows
