"""Whether decoded columns are what the bytes say, without reading the bytes again.

The block reader is quick and trusting: it takes any union index that is not null's for the other
branch, and wraps a number that is too long. Both leave a trace. The shortest encoding of a wrapped
number is shorter than what was read, so a datum whose columns do not add up to its own size is
suspect; and the size of every field says where each union index lies, so that it can be looked at.

    sizes:  tenant_id 5 | device_id 8 | boot_id 1 + 9 | ...      sum == bytes of the datum?
    places: 0             5             13: is this byte 2?      (0: null, 2: the other branch)

An array of more items than the strict reader allows is suspect too. What is suspect may be valid
(padded numbers, arrays in several blocks): the strict reader decides about it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.avro_shapes import other_branch
from schemas.avro_strict import ARRAY_MAX_ITEMS

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Sizes = Integers | int
"""One for each value, or the one that all of them have."""

FIXED_SIZES = {"float": 4, "double": 8}
SIZE_OF_NONE = 1 << 40
"""Added where there are too many items: no datum has such a size."""
VARINT_LIMITS = np.array([1 << (7 * size) for size in range(1, 10)], np.uint64)
"""The first number that needs one byte more."""


@dataclass(frozen=True)
class _Look:
    """Union indices to look at: which rows, where in their datums, and the byte that must be."""

    rows: Integers
    at: Integers
    expected: Integers


def is_canonical(plain: Any, column: pl.Series, datums: Sequence[bytes]) -> Flags:
    """Tell for each decoded row whether it is exactly what its bytes say, shape (n,).

    Args:
        plain: the schema that the block reader used (`schemas.avro_widened.widened`).
        column: the decoded rows, n structs.
        datums: the bytes of each row.
    """
    lengths = np.fromiter(map(len, datums), np.int64, len(datums))
    is_right: Flags = np.equal(_sizes(plain, column), lengths)
    # What is too short for its columns has no places to look at.
    rows = np.flatnonzero(is_right)
    right = column if len(rows) == len(column) else column.gather(rows)
    looks = list(_looks(plain, right, rows, np.zeros(len(rows), np.int64)))
    # Union indices mostly lie before the long arrays: the beginnings of the datums are enough.
    head_size = max((int(look.at.max(initial=0)) + 1 for look in looks), default=0)
    heads = np.frombuffer(b"".join([datum[:head_size] for datum in datums]), np.uint8)
    head_sizes = np.minimum(lengths, head_size)
    starts = np.cumsum(head_sizes) - head_sizes
    for look in looks:
        found = heads[starts[look.rows] + look.at]
        is_right[look.rows[found != look.expected]] = False
    return is_right


def _sizes(plain: Any, column: pl.Series) -> Sizes:
    """Return the canonical size of each value; of nulls inside a union it is meaningless."""
    if isinstance(plain, list):
        inner = _sizes(other_branch(plain), column)
        return np.where(column.is_null().to_numpy(), 1, 1 + inner)
    if isinstance(plain, dict) and plain["type"] == "record":
        parts = zip(plain["fields"], column.struct.unnest(), strict=True)
        return sum((_sizes(field["type"], part) for field, part in parts), start=0)
    if isinstance(plain, dict) and plain["type"] == "array":
        return _array_sizes(plain["items"], column)
    return _leaf_sizes(plain, column)


def _leaf_sizes(plain: Any, column: pl.Series) -> Sizes:
    if isinstance(plain, dict):
        return int(plain["size"])
    if plain in FIXED_SIZES:
        return FIXED_SIZES[plain]
    if plain == "long":
        return varint_sizes(_without_nulls(column).to_numpy())
    counts = _counts(column.str.len_bytes() if plain == "string" else column.bin.size())
    return counts + varint_sizes(counts)


def _array_sizes(item: Any, column: pl.Series) -> Sizes:
    counts = _counts(column.list.len())
    sizes = varint_sizes(counts) + SIZE_OF_NONE * (counts > ARRAY_MAX_ITEMS)
    filled = np.flatnonzero(counts)
    if len(filled) == 0:
        return sizes
    items = column.explode(empty_as_null=False, keep_nulls=False)
    item_sizes = _sizes(item, items)
    if isinstance(item_sizes, int):
        return np.asarray(sizes + item_sizes * counts + (counts > 0), np.int64)
    total = np.full(len(counts), sizes, np.int64)
    firsts = np.cumsum(counts[filled]) - counts[filled]
    total[filled] += np.add.reduceat(item_sizes, firsts) + 1  # and the zero that ends it
    return total


def _looks(plain: Any, column: pl.Series, rows: Integers, at: Integers) -> Iterator[_Look]:
    """Yield where the union indices of a column lie.

    Args:
        plain: its type.
        column: its values; null where a union around it is null.
        rows: to which datum each value belongs.
        at: where in that datum it begins.
    """
    if not _has_union(plain):
        return
    if isinstance(plain, list):
        yield from _looks_of_union(plain, column, rows, at)
    elif plain["type"] == "record":
        fields = plain["fields"]
        last = max(index for index, field in enumerate(fields) if _has_union(field["type"]))
        parts = column.struct.unnest()
        for field, part in zip(fields[: last + 1], parts, strict=False):
            yield from _looks(field["type"], part, rows, at)
            at = at + _sizes(field["type"], part)
    else:
        yield from _looks_of_items(plain["items"], column, rows, at)


def _looks_of_union(plain: Any, column: pl.Series, rows: Integers, at: Integers) -> Iterator[_Look]:
    is_null, null_index = column.is_null().to_numpy(), plain.index("null")
    yield _Look(rows, at, 2 * np.where(is_null, null_index, 1 - null_index))
    given = np.flatnonzero(~is_null)
    yield from _looks(other_branch(plain), column.gather(given), rows[given], at[given] + 1)


def _looks_of_items(item: Any, column: pl.Series, rows: Integers, at: Integers) -> Iterator[_Look]:
    counts = _counts(column.list.len())
    items = column.explode(empty_as_null=False, keep_nulls=False)
    sizes = np.broadcast_to(_sizes(item, items), len(items))
    before = np.cumsum(sizes) - sizes
    firsts = np.cumsum(counts) - counts
    filled = counts > 0
    first_at = np.zeros(len(counts), np.int64)
    first_at[filled] = (at + varint_sizes(counts))[filled] - before[firsts[filled]]
    yield from _looks(item, items, np.repeat(rows, counts), before + np.repeat(first_at, counts))


def _counts(lengths: pl.Series) -> Integers:
    return _without_nulls(lengths).to_numpy().astype(np.int64)


def _without_nulls(column: pl.Series) -> pl.Series:
    return column.fill_null(0) if column.null_count() else column


def _has_union(plain: Any) -> bool:
    if isinstance(plain, dict) and plain["type"] == "record":
        return any(_has_union(field["type"]) for field in plain["fields"])
    if isinstance(plain, dict) and plain["type"] == "array":
        return _has_union(plain["items"])
    return isinstance(plain, list)


def varint_sizes(numbers: Integers) -> Sizes:
    """Return how many bytes the shortest Avro encoding of each number takes.

    >>> varint_sizes(np.array([0, -64, 64, 2**63 - 1])).tolist()
    [1, 1, 2, 10]
    """
    if len(numbers) == 0:
        return 0
    # Times and small counts are nearly always of one size: two look-ups instead of n.
    least, most = numbers.min(), numbers.max()
    size_of_least, size_of_most = _varint_sizes(np.array([least, most])).tolist()
    if size_of_least == size_of_most and (least >= 0 or most < 0 or size_of_most == 1):
        return int(size_of_most)
    return _varint_sizes(numbers)


def _varint_sizes(numbers: Integers) -> Integers:
    zigzag = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    return np.searchsorted(VARINT_LIMITS, zigzag, side="right") + 1
