"""One Avro datum at a time, read strictly: what this reader refuses, no other path may believe.

Common readers take an enum or union index of -1 for the last one, cut a number of 41 bits to 32,
wrap a number of 70 bits, and believe any byte as a boolean. Here each of them is an error. Padded
numbers and arrays in several blocks are unusual, but valid.

    plain schema ──strict_reader──> read(datum, at) -> (value, at after it)
"""

import struct
from collections.abc import Callable, Sequence, Set
from typing import Any

from schemas.avro_columns import columns_of

Read = Callable[[bytes, int], tuple[Any, int]]

ARRAY_MAX_ITEMS = 20_000
"""Twice the points that a message may have: one message must not keep a worker busy."""

LONG_BITS = 64
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LARGEST_BYTE_OF_ONE = 0x7F


class NotADatum(ValueError):
    """The bytes are no datum of their schema; the text never shows a value."""


def read_datum(read: Read, datum: bytes) -> Any:
    """Read a datum that must end where its bytes end.

    Args:
        read: as `strict_reader` makes it.
        datum: without the wire header.

    Raises:
        NotADatum: the bytes are no datum of the schema.
    """
    try:
        value, end = read(datum, 0)
    except (IndexError, struct.error) as error:
        raise NotADatum("it ends too early") from error
    except UnicodeDecodeError as error:
        raise NotADatum("a text is not UTF-8") from error
    if end != len(datum):
        raise NotADatum(f"{len(datum) - end} bytes are left after the datum")
    return value


def strict_reader(plain: Any) -> Read:
    """Return the reader of a plain type (`schemas.avro_shapes.plain_schema`).

    Records come as dicts, maps as lists of {key, value}, enums as their symbol. What no column can
    hold (`schemas.avro_columns.is_column`) is read, and left out of its record.
    """
    if isinstance(plain, str):
        return _PRIMITIVES[plain]
    if isinstance(plain, list):
        return _union_reader([strict_reader(branch) for branch in plain])
    if plain["type"] == "record":
        fields = [(field["name"], strict_reader(field["type"])) for field in plain["fields"]]
        return _record_reader(fields, {field["name"] for field in columns_of(plain)})
    if plain["type"] == "array":
        return _array_reader(strict_reader(plain["items"]))
    if plain["type"] == "enum":
        return _enum_reader(plain["symbols"])
    return _fixed_reader(plain["size"])


def _long(datum: bytes, at: int) -> tuple[int, int]:
    byte = datum[at]
    at += 1
    if byte <= LARGEST_BYTE_OF_ONE:
        return (byte >> 1) ^ -(byte & 1), at
    zigzag, shift = byte & 0x7F, 7
    while byte > LARGEST_BYTE_OF_ONE:
        if shift >= LONG_BITS:
            raise NotADatum("a number has more than 10 bytes")
        byte = datum[at]
        at += 1
        zigzag |= (byte & 0x7F) << shift
        shift += 7
    if zigzag >> LONG_BITS:
        raise NotADatum("a number has more than 64 bits")
    return (zigzag >> 1) ^ -(zigzag & 1), at


def _int(datum: bytes, at: int) -> tuple[int, int]:
    number, at = _long(datum, at)
    if not INT_MIN <= number <= INT_MAX:
        raise NotADatum("an int has more than 32 bits")
    return number, at


def _boolean(datum: bytes, at: int) -> tuple[bool, int]:
    byte = datum[at]
    if byte > 1:
        raise NotADatum("a boolean is neither 0 nor 1")
    return byte == 1, at + 1


def _float(datum: bytes, at: int) -> tuple[float, int]:
    return struct.unpack_from("<f", datum, at)[0], at + 4


def _double(datum: bytes, at: int) -> tuple[float, int]:
    return struct.unpack_from("<d", datum, at)[0], at + 8


def _bytes(datum: bytes, at: int) -> tuple[bytes, int]:
    size, at = _long(datum, at)
    end = at + size
    if size < 0 or end > len(datum):
        raise NotADatum("a length is negative or beyond the end")
    return datum[at:end], end


def _string(datum: bytes, at: int) -> tuple[str, int]:
    encoded, at = _bytes(datum, at)
    return encoded.decode(), at


def _null(datum: bytes, at: int) -> tuple[None, int]:
    del datum
    return None, at


_PRIMITIVES: dict[str, Read] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": _string,
}


def _fixed_reader(size: int) -> Read:
    def read(datum: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        if end > len(datum):
            raise NotADatum("it ends too early")
        return datum[at:end], end

    return read


def _enum_reader(symbols: Sequence[str]) -> Read:
    def read(datum: bytes, at: int) -> tuple[str, int]:
        index, at = _long(datum, at)
        if not 0 <= index < len(symbols):
            raise NotADatum("an enum has no symbol of that index")
        return symbols[index], at

    return read


def _union_reader(branches: Sequence[Read]) -> Read:
    def read(datum: bytes, at: int) -> tuple[Any, int]:
        index, at = _long(datum, at)
        if not 0 <= index < len(branches):
            raise NotADatum("a union has no branch of that index")
        return branches[index](datum, at)

    return read


def _record_reader(fields: Sequence[tuple[str, Read]], kept: Set[str]) -> Read:
    def read(datum: bytes, at: int) -> tuple[dict[str, Any], int]:
        record = {}
        for name, read_field in fields:
            value, at = read_field(datum, at)
            if name in kept:
                record[name] = value
        return record, at

    return read


def _array_reader(read_item: Read) -> Read:
    def read(datum: bytes, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        count, at = _long(datum, at)
        while count:
            block_end = None
            if count < 0:  # then the block's size in bytes comes before its items
                size, at = _long(datum, at)
                count, block_end = -count, at + size
            if len(items) + count > ARRAY_MAX_ITEMS:
                raise NotADatum(f"an array has over {ARRAY_MAX_ITEMS} items")
            for _ in range(count):
                item, at = read_item(datum, at)
                items.append(item)
            if block_end is not None and block_end != at:
                raise NotADatum("a block of an array is not as long as it says")
            count, at = _long(datum, at)
        return items, at

    return read
