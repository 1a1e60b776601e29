"""What is wrong with a document is said with what would be allowed."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from shared.mistakes import SHAPE, explained

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
