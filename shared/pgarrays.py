"""PostgreSQL arrays in the binary format, made with a few C-speed calls.

psycopg dumps a list element by element in Python, which was a third of the hot path's time. These
wrap ready bytes with the array's type, so that `unnest(%b::uuid[], …)` takes them as they are.
"""

from collections.abc import Sequence
from struct import Struct, pack

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER = Struct(">iiiii")
_SIXTEEN = pack(">i", 16)


class _Array(bytes):
    """A whole array in binary format."""


class UuidArray(_Array):
    """`uuid[]`."""


class ByteaArray(_Array):
    """`bytea[]`."""


class TextArray(_Array):
    """`text[]`."""


class Int8Array(_Array):
    """`int8[]`."""


class Int4Array(_Array):
    """`int4[]`."""


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> Buffer:
        return obj


def _register(kind: type[_Array], oid: int) -> None:
    dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": oid})
    psycopg.adapters.register_dumper(kind, dumper)


for _kind, _oid in (
    (ByteaArray, 1001), (Int4Array, 1007), (TextArray, 1009), (Int8Array, 1016), (UuidArray, 2951),
):  # fmt: skip
    _register(_kind, _oid)


def _header(element_oid: int, count: int) -> bytes:
    return _HEADER.pack(1 if count else 0, 0, element_oid, count, 1)[: None if count else 12]


def uuids(values: Sequence[bytes]) -> UuidArray:
    """Return a `uuid[]` of 16-byte values."""
    return UuidArray(_fixed(2950, values))


def bytea16(values: Sequence[bytes]) -> ByteaArray:
    """Return a `bytea[]` of values that all have 16 bytes."""
    return ByteaArray(_fixed(17, values))


def _fixed(element_oid: int, values: Sequence[bytes]) -> bytes:
    header = _header(element_oid, len(values))
    return header + _SIXTEEN + _SIXTEEN.join(values) if values else header


def bytea(values: Sequence[bytes]) -> ByteaArray:
    """Return a `bytea[]`."""
    return ByteaArray(_header(17, len(values)) + _prefixed(values))


def texts(values: Sequence[str]) -> TextArray:
    """Return a `text[]`."""
    return TextArray(_header(25, len(values)) + _prefixed([value.encode() for value in values]))


def _prefixed(values: Sequence[bytes]) -> bytes:
    parts: list[bytes] = []
    for value in values:
        parts += (len(value).to_bytes(4), value)
    return b"".join(parts)


def int8s(values: Sequence[int]) -> Int8Array:
    """Return an `int8[]`."""
    flat = [part for value in values for part in (8, value)]
    return Int8Array(_header(20, len(values)) + pack(">" + "iq" * len(values), *flat))


def int4s(values: Sequence[int]) -> Int4Array:
    """Return an `int4[]`."""
    flat = [part for value in values for part in (4, value)]
    return Int4Array(_header(23, len(values)) + pack(">" + "ii" * len(values), *flat))
