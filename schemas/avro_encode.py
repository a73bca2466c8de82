"""Block encode: columns become thousands of Avro messages, a column at a time.

The mirror of `schemas/codec.py`. Each field becomes one or more columns of bytes, which are joined
row by row (`schemas/avro_bytes.py`); lists and maps are their items end to end between a count and
a zero. The bytes are those of the reference: one block an array, as fastavro writes it.

    items     name ──> length | text ┐
              value ─> 8 bytes       ├─ joined ─> item datums ─ grouped by `row` ┐
              tags ──> count | … | 0 ┘                                           │
    messages  wire header | fields before the array | count | items | 0 | fields after
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.avro_bytes import ByteColumn, Integers, byte_strings, fixed_width, joined, longs
from schemas.avro_columns import NO_DEFAULT, FieldShape, record_shape
from schemas.avro_shapes import is_block_readable, plain_schema
from schemas.records import Schema, wire_header

Part = ByteColumn | bytes
"""Of a record, in the order of the wire; bytes are the same in every row."""

END_OF_ARRAY = b"\0"
NO_MESSAGES = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Alike:
    """Items in a row whose first fields, at least one, are the same: those are encoded once.

    Args:
        starts: first item of each run, ascending from 0.
        field_count: so many fields are the same.
    """

    starts: Integers
    field_count: int


class BlockWriter:
    """Encodes blocks of one schema.

    Args:
        schema: of our own; every type that the block reader knows.
        schema_id: under which the registry knows it.
    """

    def __init__(self, schema: Schema, schema_id: int) -> None:
        plain = plain_schema(schema)
        assert is_block_readable(plain), "the schema has a type that the block reader cannot read"
        shape = record_shape(schema)
        self._header = wire_header(schema_id)
        self._names = [field["name"] for field in plain["fields"]]
        self._fields = {field.name: _WrittenField(field) for field in shape.fields}
        self._items_name = shape.items_name
        self._item_fields = [_WrittenField(field) for field in shape.item_fields]

    def messages(self, messages: pl.DataFrame, items: pl.DataFrame | None = None) -> pl.Series:
        """Encode a block.

        Args:
            messages: one row a message: `row`, ascending and unique, then the record's fields. A
                column that is missing has the field's default.
            items: one row an item of the record's array of records: `row` of its message,
                ascending, then the item's fields; None for no items. Maps are lists of
                {key, value}, as the decoder gives them.

        Returns:
            The messages in the Confluent wire format, as Binary; their sizes are `bin.size()`.

        Raises:
            ValueError: a column is missing, of another type, or null where the schema forbids it;
                names the field. Or an item has no message.
        """
        if self._items_name is None or items is None or items.is_empty():
            return self._encode(messages, None, NO_MESSAGES)
        return self.with_items(messages, self.item_datums(items), items["row"])

    def item_datums(self, items: pl.DataFrame, alike: Alike | None = None) -> ByteColumn:
        """Encode items alone, so that a caller can cut messages by their sizes.

        Args:
            items: one row an item.
            alike: items in a row whose first fields are the same: encoded once.

        Raises:
            ValueError: as `messages` does.
        """
        if alike is None or items.is_empty():
            return joined(self._item_parts(items), items.height)
        first, rest = self._item_fields[: alike.field_count], self._item_fields[alike.field_count :]
        starts = alike.starts
        heads = items[starts]
        shared = joined([p for field in first for p in field.parts(heads)], len(starts))
        stretched = shared.stretched(np.diff(starts, append=items.height))
        parts = [part for field in rest for part in field.parts(items)]
        return joined([stretched, *parts], items.height)

    def _item_parts(self, items: pl.DataFrame) -> list[Part]:
        return [part for field in self._item_fields for part in field.parts(items)]

    def with_items(
        self, messages: pl.DataFrame, datums: ByteColumn, item_rows: pl.Series
    ) -> pl.Series:
        """Encode a block whose items are encoded already.

        Args:
            messages: as in `messages`.
            datums: of the items.
            item_rows: of each item, the `row` of its message; ascending.

        Raises:
            ValueError: as `messages` does.
        """
        rows = messages["row"].to_numpy()
        starts = np.searchsorted(item_rows.to_numpy(), rows)
        stops = np.searchsorted(item_rows.to_numpy(), rows, side="right")
        counts = stops - starts
        # Ascending on both sides and none left out: so each message's items are one stretch.
        if (
            not (rows[1:] > rows[:-1]).all()
            or not item_rows.is_sorted()
            or counts.sum() != len(datums)
        ):
            raise ValueError("rows are not ascending, or an item is of no message")
        return self._encode(messages, datums.grouped(np.append(starts, len(datums))), counts)

    def _encode(
        self, messages: pl.DataFrame, items: ByteColumn | None, counts: Integers
    ) -> pl.Series:
        parts: list[Part] = [self._header]
        for name in self._names:
            if name != self._items_name:
                parts += self._fields[name].parts(messages)
            elif items is None:
                parts.append(END_OF_ARRAY)
            else:
                parts += _array(counts, items)
        return joined(parts, messages.height).to_series()


def encode_messages(
    schema: Schema, schema_id: int, messages: pl.DataFrame, items: pl.DataFrame | None = None
) -> pl.Series:
    """Encode one block; see `BlockWriter.messages`. Keep a `BlockWriter` to encode many."""
    return BlockWriter(schema, schema_id).messages(messages, items)


class _WrittenField:
    """One field of a record, and its bytes where a table has no such column."""

    def __init__(self, field: FieldShape) -> None:
        self.name, self.plain, self.dtype = field.name, field.plain, field.dtype
        self.default: bytes | None = None
        if field.default is not NO_DEFAULT:
            value = [] if field.default == {} else field.default
            only = pl.Series([value], dtype=field.dtype).to_arrow()
            self.default = joined(list(_parts(field.plain, only, field.name)), 1).to_series()[0]

    def parts(self, table: pl.DataFrame) -> Iterator[Part]:
        """Encode the field of each row.

        Raises:
            ValueError: the column is missing, of another type, or null where it may not be.
        """
        if self.name in table.columns:
            column = _typed(table[self.name], self.dtype, self.name)
            yield from _parts(self.plain, column.to_arrow(), self.name)
        elif self.default is not None:
            yield self.default
        else:
            raise ValueError(f"column {self.name} is missing and has no default")


def _typed(column: pl.Series, expected: pl.DataType, name: str) -> pl.Series:
    """Return a column of the very type, for no number may become another without a word.

    Raises:
        ValueError: it is of another type; nulls alone may come without one.
    """
    if column.dtype == expected:
        return column
    if column.null_count() == len(column):
        return pl.Series(column.name, [None], expected).new_from_index(0, len(column))
    raise ValueError(f"field {name} is a column of {column.dtype}, not of {expected}")


def _parts(plain: Any, array: pa.Array, name: str) -> Iterator[Part]:
    """Encode one column of any type.

    Args:
        plain: type of the values (`schemas/avro_shapes.py`).
        array: of the Arrow type that Polars makes of `schemas.avro_columns.column_type`.
        name: of the field, for errors.
    """
    if isinstance(plain, list):
        yield from _nullable(plain, array, name)
        return
    if array.null_count > 0:
        raise ValueError(f"field {name} is null in {array.null_count} rows and may not be")
    if isinstance(plain, str) or plain["type"] == "fixed":
        yield from _leaf(plain, array, name)
    elif plain["type"] == "record":
        for index, field in enumerate(plain["fields"]):
            yield from _parts(field["type"], array.field(index), f"{name}.{field['name']}")
    else:
        yield from _list(plain, array, name)


def _nullable(union: list[Any], array: pa.Array, name: str) -> Iterator[Part]:
    """Encode the branch, then the value where there is one."""
    null_at = union.index("null")
    inner = union[1 - null_at]
    null, present = _branch(null_at), _branch(1 - null_at)
    if array.null_count == len(array):
        yield null
    elif array.null_count == 0:
        yield present
        yield from _parts(inner, array, name)
    else:
        is_present = array.is_valid().to_numpy(zero_copy_only=False)
        yield fixed_width(np.where(is_present, ord(present), ord(null)).astype(np.uint8))
        values = array.drop_null()
        for part in _parts(inner, values, name):
            column = joined([part], len(values)) if isinstance(part, bytes) else part
            yield column.spread(is_present)


def _branch(index: int) -> bytes:
    return bytes([2 * index])


def _list(plain: Any, array: pa.LargeListArray, name: str) -> Iterator[Part]:
    starts = array.offsets.to_numpy()  # of a slice they do not begin with 0
    first, stop = int(starts[0]), int(starts[-1])
    if first == stop:
        yield END_OF_ARRAY
        return
    items = array.values.slice(first, stop - first)
    datums = joined(list(_parts(plain["items"], items, f"{name}[]")), len(items))
    yield from _array(np.diff(starts), datums.grouped(starts - first))


def _array(counts: Integers, items: ByteColumn) -> Iterator[Part]:
    """Encode arrays: a count, the items, and a zero, which is all there is of an empty one."""
    has_items = counts > 0
    yield longs(counts)
    yield items
    end = np.zeros(int(has_items.sum()), np.uint8)
    yield END_OF_ARRAY if has_items.all() else fixed_width(end).spread(has_items)


def _leaf(plain: Any, array: pa.Array, name: str) -> Iterator[Part]:
    if isinstance(plain, str) and plain in NUMBERS:
        numbers = array.to_numpy(zero_copy_only=False)
        # Integers alone: -0.0 equals 0.0 and is other bytes.
        if len(numbers) > 1 and numbers.dtype.kind == "i" and (numbers == numbers[0]).all():
            yield NUMBERS[plain](numbers[:1]).as_bytes().tobytes()
        else:
            yield NUMBERS[plain](numbers)
        return
    texts = byte_strings(array)
    if isinstance(plain, str):
        yield longs(texts.sizes)
    elif not (texts.sizes == plain["size"]).all():
        raise ValueError(f"field {name} has values that are not of {plain['size']} bytes")
    yield texts


NUMBERS: dict[str, Callable[[Any], ByteColumn]] = {
    "boolean": lambda flags: fixed_width(flags.astype(np.uint8)),
    "int": longs,
    "long": longs,
    "float": lambda numbers: fixed_width(numbers.astype("<f4", copy=False)),
    "double": lambda numbers: fixed_width(numbers.astype("<f8", copy=False)),
}
