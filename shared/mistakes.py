"""What is wrong with a document, in words: msgspec says where, this says what would be allowed."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from shared.errors import InvalidError

T = TypeVar("T")
# How a type with a pattern says in words what that allows: see `shaped`.
SHAPE = "shape"
MESSAGE = re.compile(r"(?P<text>.*?)(?: - at (?P<key>`key` in )?`(?P<place>.*)`)?")
NONE_OF = re.compile(r"Invalid (?:enum )?value (?P<value>.*)")
NO_MATCH = "Expected `str` matching regex "
STEP = re.compile(r"\.(?P<field>[^.\[]+)|\[[^\]]*\]")


def shaped(pattern: str, words: str, **limits: Any) -> msgspec.Meta:
    """Describe a text by a pattern, and by what that allows in words; `limits` are Meta's."""
    return msgspec.Meta(pattern=pattern, extra={SHAPE: words}, **limits)


decoder_of: Callable[[Any], msgspec.json.Decoder[Any]] = lru_cache(msgspec.json.Decoder)


def decoded(kind: type[T], body: bytes) -> T:
    """Decode a body. Raises InvalidError that names the place (`$.commands[3].bytes`)."""
    try:
        read: T = decoder_of(kind).decode(body)
    except msgspec.ValidationError as error:
        raise mistaken(error, kind) from error
    except msgspec.DecodeError as error:
        raise InvalidError(f"the body is no JSON: {error}") from error
    return read


def converted(kind: type[T], document: Any) -> T:
    """Convert a document that is decoded already. Raises InvalidError that names the place."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise mistaken(error, kind) from error


def mistaken(error: msgspec.ValidationError, kind: Any) -> InvalidError:
    """Return the refusal of a document of a type, which names the place."""
    text, place = explained(error, kind)
    return InvalidError(f"{text}, at {place}", pointer=place)


def explained(error: msgspec.ValidationError, kind: Any) -> tuple[str, str]:
    """Return what is wrong with a document of a type, and its place (`$.commands[3].bytes`)."""
    found = MESSAGE.fullmatch(str(error))
    assert found is not None
    text, place = found["text"], found["place"] or "$"
    types = list(_types_at(kind, place))
    if found["key"]:
        types = [each.key_type for each in types if isinstance(each, inspect.DictType)]
    return _with_allowed(text, types), place


def _with_allowed(text: str, types: list[inspect.Type]) -> str:
    """Return msgspec's text; where it is not clear by itself, with what the types allow."""
    none_of = NONE_OF.fullmatch(text)
    if none_of is not None:
        allowed = [
            str(value)
            for each in types
            if isinstance(each, inspect.LiteralType)
            for value in each.values
        ]
        return f"{none_of['value']} is none of {', '.join(allowed)}" if allowed else text
    if text.startswith(NO_MATCH):
        for each in types:
            if isinstance(each, inspect.Metadata) and text == NO_MATCH + repr(_pattern(each)):
                return f"Expected {(each.extra or {})[SHAPE]}"
    return text


def _pattern(described: inspect.Metadata) -> str | None:
    """Return the pattern of a described text, None where it has none, or no words for it."""
    if not isinstance(described.type, inspect.StrType) or SHAPE not in (described.extra or {}):
        return None
    return described.type.pattern


def _types_at(kind: Any, place: str) -> Iterator[inspect.Type]:
    """Yield the types that a place may have, alternatives of a union each by itself."""
    found = list(_flat(inspect.type_info(kind)))
    for step in STEP.finditer(place):
        inner = [below for each in found for below in _below(each, step["field"])]
        found = [flat for each in inner for flat in _flat(each)]
    yield from found


def _flat(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield a type, what a description describes too, and the alternatives of a union."""
    yield kind
    if isinstance(kind, inspect.Metadata):
        yield from _flat(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _flat(each)


def _below(kind: inspect.Type, field: str | None) -> Iterator[inspect.Type]:
    """Yield the types of a field, or of a list's items and a dictionary's values."""
    if isinstance(kind, inspect.StructType):
        if field is not None and field == kind.tag_field:
            yield inspect.LiteralType((kind.tag,))
        yield from (each.type for each in kind.fields if each.encode_name == field)
    elif field is None and isinstance(kind, inspect.ListType):
        yield kind.item_type
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type
