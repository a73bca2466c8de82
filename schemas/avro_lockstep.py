"""Reads the datums of one schema in lockstep: field by field, all datums at once, in numpy.

A cursor stands in each datum. One step reads the same field at every cursor and moves each of them
on, so the cost of a step is shared by the whole block:

    body     |tenant|device|..|2 points|..|  |tenant|device|..|0 points|  ...  | zeros |
    cursors         ^ 0                             ^ 1                          where a stopped
                                                                                 cursor stands

Only what is plainly right is believed. A cursor that meets anything else is stopped, and its datum
is left to a reader that takes its time: what breaks the format, and what is valid but unusual
(numbers over 8 bytes, arrays in several blocks, an array far longer than the others).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.avro_columns import column_type
from schemas.avro_shapes import other_branch
from schemas.avro_strict import INT_MAX, INT_MIN
from schemas.lockstep_arrays import ArrayReading
from schemas.lockstep_cursors import (
    PADDING,
    UNCHECKED_MAX_BYTES,
    Body,
    Cursors,
    Flags,
    Reading,
)
from schemas.lockstep_strings import strings_at

T = TypeVar("T")


class Lockstep:
    """Reads datums of one plain schema, which `is_block_readable`."""

    def __init__(self, plain: Any) -> None:
        self._reading = reading(plain)

    def read(self, datums: Sequence[bytes], *, is_guessing: bool) -> tuple[pl.Series, Flags]:
        """Return the datums as a column of records, and which rows of it may be believed.

        Args:
            datums: without wire headers, n > 0.
            is_guessing: whether arrays are taken to be like those before, which is quick; some
                datums may have to be read again because they are not.
        """
        end = np.fromiter(accumulate(map(len, datums)), np.int64, len(datums))
        start = np.concatenate([[0], end[:-1]])
        is_stopped = np.zeros(len(datums), np.bool_)
        body = Body(b"".join([*datums, PADDING]), is_stopped, is_guessing)
        cursors = Cursors(body, start, end, np.arange(len(datums)))
        records = self._reading.read(cursors)
        cursors.stop(cursors.at != end)
        return records, ~is_stopped


def reading(plain: Any) -> Reading:
    """Return how a plain type is read that `is_block_readable`."""
    if isinstance(plain, list):
        return _Nullable(plain)
    if isinstance(plain, str):
        return _PRIMITIVES[plain]
    if plain["type"] == "record":
        return _Record({each["name"]: reading(each["type"]) for each in plain["fields"]})
    if plain["type"] == "array":
        return ArrayReading(plain, reading(plain["items"]))
    if plain["type"] == "enum":
        return _Enum(plain["symbols"])
    return _Fixed(plain["size"])


class _Long:
    stride_bytes = 8

    def skip(self, cursors: Cursors) -> None:
        cursors.skip_number()

    def read(self, cursors: Cursors) -> pl.Series:
        return pl.Series(cursors.number(), dtype=pl.Int64)


class _Int(_Long):
    def read(self, cursors: Cursors) -> pl.Series:
        found = cursors.number()
        cursors.stop((found < INT_MIN) | (found > INT_MAX))
        return pl.Series(found.astype(np.int32), dtype=pl.Int32)


class _Enum(_Long):
    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = pl.Series(symbols, dtype=pl.String)

    def read(self, cursors: Cursors) -> pl.Series:
        index = cursors.number()
        is_wrong = (index < 0) | (index >= len(self._symbols))
        cursors.stop(is_wrong)
        return self._symbols.gather(np.where(is_wrong, 0, index))


class _Boolean:
    stride_bytes = 1

    def skip(self, cursors: Cursors) -> None:
        cursors.at = cursors.at + 1

    def read(self, cursors: Cursors) -> pl.Series:
        found = cursors.octet()
        cursors.stop(found > 1)
        return pl.Series(found == 1, dtype=pl.Boolean)


class _Float:
    def __init__(self, kind: str) -> None:
        self._kind, self.stride_bytes = kind, np.dtype(kind).itemsize

    def skip(self, cursors: Cursors) -> None:
        cursors.at = cursors.at + self.stride_bytes

    def read(self, cursors: Cursors) -> pl.Series:
        found = cursors.body.at_each_place(self._kind)[cursors.at]
        self.skip(cursors)
        return pl.Series(found)


class _Fixed:
    stride_bytes = 0

    def __init__(self, size: int) -> None:
        self._size = size

    def skip(self, cursors: Cursors) -> None:
        cursors.at = cursors.at + self._size
        cursors.stop_beyond_end()

    def read(self, cursors: Cursors) -> pl.Series:
        start = cursors.at
        self.skip(cursors)
        return strings_at(cursors.body, start, np.full(len(start), self._size)).column(
            pa.large_binary()
        )


class _Bytes:
    stride_bytes = 0

    def skip(self, cursors: Cursors) -> None:
        cursors.span()

    def read(self, cursors: Cursors) -> pl.Series:
        return strings_at(cursors.body, *cursors.span()).column(pa.large_binary())


class _String(_Bytes):
    def read(self, cursors: Cursors) -> pl.Series:
        texts, is_no_text = strings_at(cursors.body, *cursors.span()).texts()
        cursors.stop(is_no_text)
        return texts


class _Nullable:
    def __init__(self, plain: list[Any]) -> None:
        self._value, self._type = reading(other_branch(plain)), column_type(plain)
        self._octet = 2 * (1 - plain.index("null"))
        self.stride_bytes = 1 + self._value.stride_bytes

    def skip(self, cursors: Cursors) -> None:
        self._visit(cursors, self._value.skip)

    def read(self, cursors: Cursors) -> pl.Series:
        is_there, found = self._visit(cursors, self._value.read)
        if found is None:
            return pl.Series([None], dtype=self._type).new_from_index(0, len(is_there))
        if len(found) == len(is_there):
            return found
        place = pl.Series(np.cumsum(is_there) - 1)
        return found.gather(place.set(pl.Series(~is_there), None))

    def _visit(self, cursors: Cursors, visit: Callable[[Cursors], T]) -> tuple[Flags, T | None]:
        """Return which values are not null, and what the visit of those returns."""
        branch = cursors.octet()
        is_there = branch == self._octet
        cursors.stop(~is_there & (branch != 2 - self._octet))
        if is_there.all():
            return is_there, visit(cursors)
        if not is_there.any():
            return is_there, None
        index = np.flatnonzero(is_there)
        some = cursors.some(index)
        found = visit(some)
        at = cursors.at.copy()
        at[index] = some.at
        cursors.at = at
        return is_there, found


class _Record:
    def __init__(self, fields: dict[str, Reading]) -> None:
        self._fields = fields
        self._checked, rest = set(), 0
        for name, each in fields.items():
            rest += each.stride_bytes
            if rest > UNCHECKED_MAX_BYTES:
                self._checked.add(name)
                rest = 0
        self.stride_bytes = rest

    def skip(self, cursors: Cursors) -> None:
        for name, each in self._fields.items():
            each.skip(cursors)
            if name in self._checked:
                cursors.stop_beyond_end()

    def read(self, cursors: Cursors) -> pl.Series:
        columns = {}
        for name, each in self._fields.items():
            columns[name] = each.read(cursors)
            if name in self._checked:
                cursors.stop_beyond_end()
        return pl.DataFrame(columns).to_struct()


_PRIMITIVES: dict[str, Reading] = {
    "boolean": _Boolean(),
    "int": _Int(),
    "long": _Long(),
    "float": _Float("<f4"),
    "double": _Float("<f8"),
    "bytes": _Bytes(),
    "string": _String(),
}
