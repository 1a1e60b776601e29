"""docs/events.md: each public event with its fields, producer, readers and an example."""

import json
import re
from typing import Any

import msgspec

from infra.docs import gifting_texts, sponsoring_texts, tasks_texts
from infra.docs.event_schemas import ALL_EVENTS, PARTS, file_name, meaning
from infra.docs.event_texts import EXAMPLES, READ_BY, WRITTEN_BY
from infra.docs.markdown import code, table
from shared.contracts import gifting, tasks
from shared.contracts.envelope import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Envelope
from shared.contracts.ledger import EVENTS, Event

HEAD = f"""\
# Events

<!-- Made from code by `python -m infra.docs --write`. Do not edit. -->

Every change in the ledger, of a gift, and of partners, campaigns and claims is one of these events.
What is stored is what travels: the stored state of an event is the `data` below, as JSON. The code
is `ledger.py`, `gifting.py` and `tasks.py` in `shared/contracts`.

Amounts are whole **bytes**. Instants (`*_at`) are whole **milliseconds** since 1970-01-01Z, in bank
time. Months are `YYYY-MM` in the bank's time zone. A field that has its default is left out of the
JSON. Events only grow: a new field gets a default, a new meaning gets a new event. Each has a JSON
Schema in `docs/events/`; take fields that it does not know for new ones and go on.

## The envelope

Events travel as [CloudEvents 1.0](https://cloudevents.io) in JSON. Between services they travel in
batches (`application/cloudevents-batch+json`): consecutive events of one lane of one log, at most
{BATCH_EVENTS_MAX} events and about {BATCH_BYTES_MAX >> 20} MiB.

{{envelope}}
A log is offered as two **lanes**, each with its own chain of `previous`:

* `all`: every event. The gateway's views read it.
* `sagas`: what other partitions and services wait for. Of the ledger: {{sagas}}; its own
  partitions, gifting and tasks read them. Of gifting: {{gifting}}. Of tasks: {{tasks}}. The
  ledger's partitions read both.

`sequence` and `previous` are decimal text: sequences have holes, so only `previous` tells whether
something is missing. A consumer that sees a gap pulls `GET /log/{{{{partition}}}}` until it is
level.
"""
ENVELOPE_MEANINGS = {
    "specversion": "always `1.0`",
    "id": "`<source>/<sequence>`",
    "source": "`/<bank id>/<epoch>/<log>`, such as `/k2b1xq7d/1/ledger_02`",
    "type": "one of the types below",
    "subject": "the account",
    "time": "`recorded_at` as RFC 3339, UTC",
    "partitionkey": "the account",
    "sequence": "the event's place in its log",
    "previous": "sequence of the event before it in this lane; `0` for the first",
    "correlationid": "id of the request that began it",
    "causationid": "id of the event that caused it",
    "datacontenttype": "always `application/json`",
    "data": "the event, see below",
}
_EXAMPLES = [
    *EXAMPLES, *sponsoring_texts.EXAMPLES, *gifting_texts.EXAMPLES, *tasks_texts.EXAMPLES,
]  # fmt: skip
_TEXTS = (sponsoring_texts, gifting_texts, tasks_texts)
_WRITTEN_BY = WRITTEN_BY | {key: each for one in _TEXTS for key, each in one.WRITTEN_BY.items()}
_READ_BY = READ_BY | {key: each for one in _TEXTS for key, each in one.READ_BY.items()}
OF = {"the ledger": EVENTS, "gifting": gifting.EVENTS, "tasks": tasks.EVENTS}
COLUMNS = ["field", "type", "if left out", "meaning"]


def page() -> str:
    """Return the page."""
    envelope = table(["field", "meaning"], [[code(k), v] for k, v in ENVELOPE_MEANINGS.items()])
    sagas = {
        name: ", ".join(code(short_name(event)) for event in kinds if event.SAGAS)
        for name, kinds in OF.items()
    }
    head = HEAD.format(
        envelope=envelope, sagas=sagas["the ledger"], gifting=sagas["gifting"],
        tasks=sagas["tasks"],
    )  # fmt: skip
    parts = [head, _overview(), _common()]
    parts += [_event(kind) for kind in ALL_EVENTS]
    parts += ["## Parts of events\n", *(_part(kind) for kind in PARTS)]
    return "\n".join(parts)


def short_name(event: type[Event]) -> str:
    """Return `data_spent` for `bank.ledger.data_spent.v1`."""
    return event.TYPE.split(".")[2]


def missing_envelope_fields() -> set[str]:
    """Return the envelope's fields that the page does not explain."""
    return set(Envelope.__struct_fields__) ^ set(ENVELOPE_MEANINGS)


def _overview() -> str:
    lists = [f"### Of {name}\n\n{_list_of(kinds)}" for name, kinds in OF.items()]
    return "\n".join(["## The events\n", *lists])


def _list_of(kinds: tuple[type[Event], ...]) -> str:
    rows = [
        [f"[`{short_name(kind)}`](#{short_name(kind)})", _first_line(kind), _lanes(kind)]
        for kind in kinds
    ]
    return table(["event", "what happened", "lanes"], rows)


def _lanes(kind: type[Event]) -> str:
    return "`all`, `sagas`" if kind.SAGAS else "`all`"


def _common() -> str:
    rows = [_field_row(Event, each) for each in msgspec.structs.fields(Event)]
    return "### In every event\n\n" + table(COLUMNS, rows)


def _event(kind: type[Event]) -> str:
    common = set(Event.__struct_fields__)
    own = [each for each in msgspec.structs.fields(kind) if each.name not in common]
    example = next(event for event in _EXAMPLES if type(event) is kind)
    body = json.dumps(msgspec.to_builtins(example), indent=2)
    return (
        f"## {short_name(kind)}\n\n{_text(kind)}\n\n"
        f"* Type: `{kind.TYPE}` ([JSON Schema]({file_name(kind)}))\n"
        f"* Written by: {_WRITTEN_BY[kind]}\n"
        f"* Read by: {_READ_BY[kind]}\n\n"
        + table(COLUMNS, [_field_row(kind, each) for each in own])
        + f"\n```json\n{body}\n```\n"
    )


def _part(kind: type[msgspec.Struct]) -> str:
    rows = [_field_row(kind, each) for each in msgspec.structs.fields(kind)]
    return f"### {kind.__name__}\n\n{_text(kind)}\n\n" + table(COLUMNS, rows)


def _field_row(kind: type, field: msgspec.structs.FieldInfo) -> list[str]:
    return [code(field.name), _type(field.type), _default(field), meaning(kind, field.name)]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return "empty list"
    if field.default is msgspec.NODEFAULT:
        return "always there"
    if field.default is None:
        return "null"
    return code(json.dumps(field.default)) if field.default != "" else "empty"


def _type(kind: Any) -> str:
    name = getattr(kind, "__name__", "") if "[" not in str(kind) else ""
    if isinstance(kind, type) and name:
        return name
    return re.sub(r"shared\.contracts\.\w+\.|typing\.", "", str(kind))


def _text(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
