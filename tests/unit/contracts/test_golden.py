"""Golden files: what was once stored of each event's version is read and written for ever.

A file has one entry per line, `"name": <the event as it is stored, byte by byte>`.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.docs.event_schemas import ALL_EVENTS, PARTS, schema
from services.ledger.codec import decode_event as decode_ledger_event
from services.ledger.codec import encode
from shared.contracts import gifting, ledger, tasks
from tests.unit.contracts.values import VALUES

FOLDER = Path(__file__).parent / "golden"
# By type, by the entry's name: the stored bytes.
STORED: dict[str, dict[str, msgspec.Raw]] = {
    path.stem: msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    for path in sorted(FOLDER.glob("*.json"))
}
ENTRIES = [(topic, name) for topic, entries in STORED.items() for name in entries]

each_entry = pytest.mark.parametrize(("topic", "name"), ENTRIES)
each_kind = pytest.mark.parametrize("kind", ALL_EVENTS, ids=lambda kind: kind.__name__)


# The services whose stored state is the contract's JSON, as it is.
PLAIN = (gifting, tasks)
EVENT_BY_TYPE: dict[str, type[ledger.Event]] = (
    ledger.EVENT_BY_TYPE | gifting.EVENT_BY_TYPE | tasks.EVENT_BY_TYPE
)


def decode_event(topic: str, state: bytes) -> ledger.Event:
    """Read a stored event as its service does."""
    for contract in PLAIN:
        if topic in contract.EVENT_BY_TYPE:
            found: ledger.Event = msgspec.json.Decoder(contract.EVENT_BY_TYPE[topic]).decode(state)
            return found
    return decode_ledger_event(topic, state)


def decode_data(topic: str, data: Any) -> ledger.Event:
    """Read an envelope's data as its consumers do."""
    for contract in PLAIN:
        if topic in contract.EVENT_BY_TYPE:
            found: ledger.Event = contract.decode_data(topic, data)
            return found
    return ledger.decode_data(topic, data)


def full(topic: str) -> dict[str, Any]:
    return msgspec.json.decode(bytes(STORED[topic]["full"]), type=dict[str, Any])


def test_every_event_has_a_golden_file_and_no_file_is_of_an_event_that_is_gone():
    assert set(STORED) == set(EVENT_BY_TYPE)
    assert {topic: set(entries) for topic, entries in STORED.items()} == {
        topic: set(values) for topic, values in VALUES.items()
    }


@each_entry
def test_a_stored_event_decodes_to_the_same_value(topic, name):
    stored = bytes(STORED[topic][name])
    assert decode_event(topic, stored) == VALUES[topic][name]
    assert decode_data(topic, json.loads(stored)) == VALUES[topic][name]


@each_entry
def test_an_event_encodes_to_the_same_bytes_as_are_stored(topic, name):
    stored = bytes(STORED[topic][name])
    assert encode(VALUES[topic][name]) == stored
    assert encode(decode_event(topic, stored)) == stored


@each_kind
def test_the_golden_entries_of_an_event_show_every_field_and_also_the_least(kind):
    shown = {field for entry in STORED[kind.TYPE].values() for field in json.loads(bytes(entry))}
    assert shown == set(kind.__struct_fields__)
    needed = {each.name for each in msgspec.structs.fields(kind) if each.required}
    assert set(json.loads(bytes(STORED[kind.TYPE]["minimal"]))) == needed


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_the_golden_entries_show_every_field_of_the_parts_of_events(part):
    entries = [bytes(entry) for file in STORED.values() for entry in file.values()]
    shown = {field for entry in entries for each in objects(json.loads(entry)) for field in each}
    assert set(part.__struct_fields__) <= shown


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a JSON value, itself included."""
    if isinstance(value, list):
        return [each for item in value for each in objects(item)]
    if isinstance(value, dict):
        return [value, *(each for item in value.values() for each in objects(item))]
    return []


@each_kind
def test_an_event_stored_before_a_field_with_a_default_was_added_still_decodes(kind):
    for field in msgspec.structs.fields(kind):
        if field.required:
            continue
        earlier = full(kind.TYPE)
        earlier.pop(field.name, None)
        default = field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory()
        assert getattr(decode_event(kind.TYPE, encode(earlier)), field.name) == default


@each_entry
def test_a_new_field_is_only_harmless_with_a_default(topic, name):
    stored, kind = bytes(STORED[topic][name]), EVENT_BY_TYPE[topic]
    options: dict[str, Any] = {"bases": (kind,), "kw_only": True, "omit_defaults": True}
    grown = msgspec.defstruct(kind.__name__, [("new", str, "")], frozen=True, **options)
    assert encode(msgspec.json.decode(stored, type=grown)) == stored
    spoilt = msgspec.defstruct(kind.__name__, [("new", str)], frozen=True, **options)
    with pytest.raises(msgspec.ValidationError, match="missing required field `new`"):
        msgspec.json.decode(stored, type=spoilt)


@each_kind
def test_an_event_of_a_newer_version_with_one_more_field_is_still_read(kind):
    newer = full(kind.TYPE) | {"new": "?"}
    assert decode_event(kind.TYPE, encode(newer)) == VALUES[kind.TYPE]["full"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_of_an_event_of_a_newer_version_with_one_more_field_is_still_read(part):
    whole = [
        msgspec.convert(each, part)
        for values in VALUES.values()
        for event in values.values()
        for each in objects(msgspec.to_builtins(event))
        if each and set(each) <= set(part.__struct_fields__) and needs(part) <= set(each)
    ]
    assert whole
    for value in whole:
        assert msgspec.convert(msgspec.to_builtins(value) | {"new": "?"}, part) == value


def needs(part: type[msgspec.Struct]) -> set[str]:
    """Return the fields that are always there."""
    return {field.name for field in msgspec.structs.fields(part) if field.required}


@each_entry
def test_a_stored_event_has_only_fields_of_its_schema_and_all_that_it_requires(topic, name):
    made, stored = schema(EVENT_BY_TYPE[topic]), json.loads(bytes(STORED[topic][name]))
    assert set(made["required"]) <= set(stored) <= set(made["properties"])
