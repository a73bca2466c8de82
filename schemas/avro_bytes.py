"""Columns of byte strings: how whole columns become Avro without a call per value.

A `ByteColumn` holds one byte string a row, end to end in one buffer:

    ends   0      3  3        8          row 0 "abc", row 1 "", row 2 "defgh"
    buffer  a b c    d e f g h

So the items of a list, one after the other, already are the bytes of the list: grouping rows only
drops some of the ends. Records are joined across their fields by Arrow, in C++; fields of one width
that follow each other become one column before, as each column costs 25 ns a row there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.arrow_numbers import arrow_numbers

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

LARGE_BINARY = pa.large_binary()
"""Offsets of 64 bits: a block may be larger than 2 GiB."""
NOTHING_BETWEEN = pa.scalar(b"", LARGE_BINARY)
GROUP_BITS = 7
"""Avro writes an integer in groups of seven bits, the lowest first; all but the last have MORE."""
MORE = 0x80


@dataclass(frozen=True)
class ByteColumn:
    """One byte string a row.

    Args:
        ends: shape (n + 1,), ascending: row i is buffer[ends[i]:ends[i + 1]].
        buffer: contiguous memory of bytes.
        width: of every row where all are known to have the same, else 0.
    """

    ends: Integers
    buffer: object
    width: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ends) - 1

    @cached_property
    def sizes(self) -> Integers:
        """Return the bytes of each row, shape (n,)."""
        return np.diff(self.ends)

    def grouped(self, starts: Integers) -> "ByteColumn":
        """Put consecutive rows together; copies no byte.

        Args:
            starts: first row of each group, then the end of the last group, ascending.
        """
        return ByteColumn(self.ends[starts], self.buffer)

    def stretched(self, counts: Integers) -> "ByteColumn":
        """Return each row as many times as is said, one after the other.

        Args:
            counts: above 0, shape (n,).
        """
        rows = np.repeat(np.arange(len(self)), counts)
        return byte_strings(self.to_arrow().take(arrow_numbers(rows)))

    def as_bytes(self) -> NDArray[np.uint8]:
        """Return rows of one width as bytes, shape (n, width), on the same memory."""
        assert self.width > 0, "rows of many widths"
        return np.asarray(self.buffer).view(np.uint8).reshape(len(self), self.width)

    def spread(self, is_present: Flags) -> "ByteColumn":
        """Return one row for each flag: the own rows in turn where set, else nothing."""
        sizes = np.zeros(len(is_present), np.int64)
        sizes[is_present] = self.sizes
        return ByteColumn(_ends(sizes) + self.ends[0], self.buffer)

    def to_series(self) -> pl.Series:
        """Return the rows as a column of Binary."""
        return pl.Series("message", self.to_arrow(), dtype=pl.Binary)

    def to_arrow(self) -> pa.LargeBinaryArray:
        """Return the rows as an Arrow array on the same memory."""
        buffers = [None, pa.py_buffer(self.ends), pa.py_buffer(self.buffer)]
        return pa.LargeBinaryArray.from_buffers(LARGE_BINARY, len(self), buffers)


def byte_strings(array: pa.Array) -> ByteColumn:
    """Return strings, as UTF-8, or binary values, on the same memory.

    Args:
        array: large string or large binary without nulls.
    """
    _, ends, buffer = array.buffers()
    if len(array) == 0 or buffer is None:  # Arrow leaves out what is empty.
        return repeated(b"", len(array))
    stop = array.offset + len(array) + 1
    return ByteColumn(np.frombuffer(ends, np.int64, stop)[array.offset :], buffer)


def fixed_width(values: NDArray[np.generic]) -> ByteColumn:
    """Return the memory of numbers, or of rows of bytes.

    Args:
        values: shape (n,), or (n, width) of uint8.
    """
    memory = np.ascontiguousarray(values)
    width = memory.itemsize if memory.ndim == 1 else memory.shape[1]
    return ByteColumn(np.arange(len(memory) + 1, dtype=np.int64) * width, memory, width)


def repeated(constant: bytes, count: int) -> ByteColumn:
    """Return the same bytes in each row."""
    return fixed_width(np.tile(np.frombuffer(constant, np.uint8), (count, 1)))


def longs(numbers: NDArray[np.int32 | np.int64]) -> ByteColumn:
    r"""Return integers as Avro writes them: zigzag, then groups of seven bits.

    >>> longs(np.array([0, -1, 64, -65])).to_series().to_list()
    [b'\x00', b'\x01', b'\x80\x01', b'\x81\x01']
    """
    signed = numbers.astype(np.int64, copy=False)
    zigzag = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    width = _varint_bytes(int(zigzag.max(initial=0)))
    if width == 1:
        return fixed_width(zigzag.astype(np.uint8))
    if _varint_bytes(int(zigzag.min(initial=2**64 - 1))) == width:
        return _longs_of_one_width(zigzag, width)
    return _longs_of_any_width(zigzag, width)


def _longs_of_one_width(zigzag: NDArray[np.uint64], width: int) -> ByteColumn:
    groups = np.empty((len(zigzag), width), np.uint8)
    for i in range(width):
        groups[:, i] = zigzag >> np.uint64(GROUP_BITS * i)
    groups[:, :-1] |= MORE
    groups[:, -1] &= MORE - 1
    return fixed_width(groups)


def _longs_of_any_width(zigzag: NDArray[np.uint64], width: int) -> ByteColumn:
    groups = np.empty((len(zigzag), width), np.uint8)
    is_written = np.ones((len(zigzag), width), np.bool_)
    sizes = np.ones(len(zigzag), np.int64)
    for i in range(width):
        rest = zigzag >> np.uint64(GROUP_BITS)
        has_more = rest > 0
        groups[:, i] = (zigzag & np.uint64(MORE - 1)).astype(np.uint8) | has_more * np.uint8(MORE)
        if i + 1 < width:
            is_written[:, i + 1] = has_more
            sizes += has_more
        zigzag = rest
    return ByteColumn(_ends(sizes), groups[is_written])


def joined(parts: Sequence[ByteColumn | bytes], count: int) -> ByteColumn:
    """Join columns row by row.

    Args:
        parts: of `count` rows each; bytes are the same in each row.
        count: rows.
    """
    columns = [
        column
        for is_of_one_width, run in groupby(parts, _is_of_one_width)
        for column in ([_side_by_side(list(run), count)] if is_of_one_width else run)
        if isinstance(column, ByteColumn)
    ]
    assert all(len(column) == count for column in columns), "columns of unequal length"
    if len(columns) == 1:
        return columns[0]
    arrays = [column.to_arrow() for column in columns]
    return byte_strings(pc.binary_join_element_wise(*arrays, NOTHING_BETWEEN))


def _is_of_one_width(part: ByteColumn | bytes) -> bool:
    return isinstance(part, bytes) or part.width > 0


def _side_by_side(parts: Sequence[ByteColumn | bytes], count: int) -> ByteColumn:
    """Put columns of one width each, and constants, together."""
    if len(parts) == 1 and isinstance(parts[0], ByteColumn):
        return parts[0]
    widths = [len(part) if isinstance(part, bytes) else part.width for part in parts]
    stops = np.cumsum(widths).tolist()
    rows = np.empty((count, stops[-1]), np.uint8)
    for part, width, stop in zip(parts, widths, stops, strict=True):
        rows[:, stop - width : stop] = (
            np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part.as_bytes()
        )
    return fixed_width(rows)


def _varint_bytes(zigzag: int) -> int:
    return max(1, -(-zigzag.bit_length() // GROUP_BITS))


def _ends(sizes: Integers) -> Integers:
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return ends
