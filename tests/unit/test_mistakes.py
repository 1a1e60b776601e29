"""What is wrong with a document is said with what would be allowed."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, inspect

from services.tasks.completions import Completion, Completions
from shared.mistakes import SHAPE, explained

SERVICES = Path(__file__).parents[2] / "services"
Name = Annotated[str, Meta(pattern="^[a-z]+$", extra={SHAPE: "small letters, such as ann"})]
Wordless = Annotated[str, Meta(pattern="^[a-z]+$")]


class Walk(msgspec.Struct, tag_field="type", tag="walk"):
    """One alternative."""

    who: Name
    pace: Literal["slow", "fast"] = "slow"
    marks: dict[Literal["red", "blue"], list[Literal[1, 2]]] = {}
    friend: Name | None = None
    plain: Wordless = "a"


class Rest(msgspec.Struct, tag_field="type", tag="rest"):
    """Another one."""

    minutes: int


class Day(msgspec.Struct):
    """The document."""

    steps: Annotated[list[Walk | Rest], Meta(min_length=1)]


@pytest.mark.parametrize(
    ("step", "text", "place"),
    [
        ({"type": "fly"}, "'fly' is none of walk, rest", "$.steps[0].type"),
        ({"pace": "no"}, "'no' is none of fast, slow", "$.steps[0].pace"),
        ({"marks": {"green": []}}, "'green' is none of blue, red", "$.steps[0].marks"),
        ({"marks": {"red": [3]}}, "3 is none of 1, 2", "$.steps[0].marks[...][0]"),
        ({"who": "A"}, "Expected small letters, such as ann", "$.steps[0].who"),
        ({"friend": "A"}, "Expected small letters, such as ann", "$.steps[0].friend"),
        ({"plain": "A"}, "Expected `str` matching regex '^[a-z]+$'", "$.steps[0].plain"),
        ({"who": 1}, "Expected `str`, got `int`", "$.steps[0].who"),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed_and_its_place(
    step: dict[str, Any], text: str, place: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert({"steps": [{"type": "walk", "who": "ann", **step}]}, Day)
    assert explained(refused.value, Day) == (text, place)


def test_a_mistake_of_the_whole_has_the_place_of_the_whole() -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert([], Day)
    assert explained(refused.value, Day) == ("Expected `object`, got `array`", "$")


def bodies() -> Iterator[type]:
    """Yield the type of each body that gifting and tasks take, as their routes name it."""
    yield from (Completion, Completions)
    for path in sorted((*SERVICES.glob("gifting/*api.py"), *SERVICES.glob("tasks/*api.py"))):
        module = importlib.import_module(f"services.{path.parent.name}.{path.stem}")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("web.read_body", "_do"):
                for argument in node.args:
                    name = ast.unparse(argument)
                    found = getattr(module, name.split(".")[0], None)
                    for part in name.split(".")[1:]:
                        found = getattr(found, part)
                    if isinstance(found, type) and issubclass(found, msgspec.Struct):
                        yield found


def parts(kind: inspect.Type, seen: set[int]) -> Iterator[inspect.Type]:
    """Yield a type and all that it is made of."""
    if id(kind) in seen:
        return
    seen.add(id(kind))
    yield kind
    inner: list[Any] = list(getattr(kind, "types", ()))
    inner += [
        getattr(kind, name)
        for name in ("type", "item_type", "key_type", "value_type")
        if hasattr(kind, name)
    ]
    inner += [each.type for each in getattr(kind, "fields", ())]
    for each in inner:
        yield from parts(each, seen)


def test_every_pattern_of_a_body_is_said_in_words() -> None:
    kinds = set(bodies())
    assert len(kinds) > 20
    for kind in kinds:
        for each in parts(inspect.type_info(kind), set()):
            if isinstance(each, inspect.Metadata) and getattr(each.type, "pattern", None):
                assert SHAPE in (each.extra or {}), (kind, each)
