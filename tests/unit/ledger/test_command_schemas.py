"""Every command tells what it is for, and what each of its fields means."""

import pytest

from services.ledger.command_schemas import MEANINGS, command_schemas

SCHEMAS = {each["type"]: each for each in command_schemas()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_every_command_has_a_meaning(name: str) -> None:
    fields = SCHEMAS[name]["schema"]["properties"]
    assert {field for field, schema in fields.items() if not schema.get("description")} == set()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_a_field_has_a_meaning_too(name: str) -> None:
    for part in SCHEMAS[name]["schema"].get("$defs", {}).values():
        assert part["description"]
        for field, schema in part["properties"].items():
            assert schema.get("description"), field


def test_no_meaning_is_of_a_field_that_is_not_there() -> None:
    there = {field for each in SCHEMAS.values() for field in each["schema"]["properties"]}
    there |= {
        f"{name}.{field}"
        for name, each in SCHEMAS.items()
        for field in each["schema"]["properties"]
    }
    there |= {
        f"{part}.{field}"
        for each in SCHEMAS.values()
        for part, schema in each["schema"].get("$defs", {}).items()
        for field in schema["properties"]
    }
    there |= {part for each in SCHEMAS.values() for part in each["schema"].get("$defs", {})}
    assert set(MEANINGS) <= there


def test_a_meaning_says_more_than_how_it_is_written() -> None:
    meanings = {
        name: each["schema"]["properties"]["expires_at"]["description"]
        for name, each in SCHEMAS.items()
        if "expires_at" in each["schema"]["properties"]
    }
    assert set(meanings) == {"buy", "adjust"}
    assert all("until when" in text and "ISO 8601" in text for text in meanings.values())
