"""How each public command is used: its purpose, its JSON Schema, its fields and an example."""

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


_TIME = "ISO 8601, without a zone the bank's"
# What a field means, of all commands or of one, as far as its type does not tell it.
MEANINGS = {
    "type": "which command it is",
    "bytes": "how many bytes, whole",
    "reason": "why; kept in the event, with who asked",
    "open_account.plan": "a subscriber's plan, of the rules; others have none",
    "open_account.active_from": "a subscriber's first month, YYYY-MM; without it the present one",
    "open_account.partner": "whose campaign it is, partner:NAME; for campaigns only",
    "buy.expires_at": f"until when the pack can be used ({_TIME}); without, see above",
    "transfer.fee": "what the operator takes of it; none without",
    "hold.purpose": "what it is held for: gift or red_packet",
    "hold.deadline": f"until when the bytes stay held ({_TIME}), 31 days at most",
    "post.bytes": "how many of the held bytes; without it all that is left of the hold",
    "post.fee": "what the operator takes of it; none without",
    "change_plan.plan": "the plan from the next cycle on, of the rules",
    "adjust.direction": "to give bytes or to take them",
    "adjust.expires_at": f"until when given bytes can be used ({_TIME}); else the month's end",
    "reverse.usage_id": "the usage record that is undone",
    "set_thresholds.thresholds": "the account's own thresholds; without, the rules' ones",
    "Fee.bytes": "how many bytes the fee has",
    "Fee.payer": "who pays: the sender on top of the bytes, or the receiver out of them",
    "GivenThresholds": "where a balance is announced, once per crossing; each mark stands once",
    "GivenThresholds.plan_used_percent": "at so many percent of the month's plan used",
    "GivenThresholds.low_balance_bytes": "when no more than so many bytes can be used",
    "GivenThresholds.expiring_days": "so many days before bytes expire",
}


def command_schemas() -> list[dict[str, Any]]:
    """Return each public command's name, purpose, JSON Schema and an example.

    Each field of a schema has its meaning as `description`.
    """
    rows = []
    for command in PUBLIC:
        name = str(command.__struct_config__.tag)
        schema = msgspec.json.schema(command)
        definition = schema["$defs"].pop(command.__name__)
        _explain(name, definition)
        for part, fields in schema["$defs"].items():
            fields["description"] = MEANINGS.get(part, fields["description"])
            _explain(part, fields)
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


def _explain(of: str, schema: dict[str, Any]) -> None:
    """Write into each field of a schema what it means."""
    for name, field in schema["properties"].items():
        meaning = MEANINGS.get(f"{of}.{name}", field.get("description") or MEANINGS.get(name))
        field["description"] = meaning
