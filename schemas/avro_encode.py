"""Block encode: columns become thousands of Avro messages, a column at a time.

The mirror of `schemas/codec.py`. Each field becomes one or more columns of bytes, which are joined
row by row (`schemas/avro_bytes.py`); lists and maps are their items end to end between a count and
a zero. The bytes are those of the reference: one block an array, as fastavro writes it.

    items     name ──> length | text ┐
              value ─> 8 bytes       ├─ joined ─> item datums ─ grouped by `row` ┐
              tags ──> count | … | 0 ┘                                           │
    messages  wire header | fields before the array | count | items | 0 | fields after
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from schemas.avro_bytes import ByteColumn, Integers, byte_strings, fixed_width, joined, longs
from schemas.avro_columns import NO_DEFAULT, FieldShape, column_type, record_shape
from schemas.avro_shapes import is_block_readable, plain_schema
from schemas.records import Schema, wire_header

Part = ByteColumn | bytes
"""Of a record, in the order of the wire; bytes are the same in every row."""

END_OF_ARRAY = b"\0"
NO_MESSAGES = np.zeros(0, np.int64)


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
        self._fields = {field.name: field for field in shape.fields}
        self._items_name, self._item_fields = shape.items_name, shape.item_fields

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

    def item_datums(self, items: pl.DataFrame) -> ByteColumn:
        """Encode items alone, so that a caller can cut messages by their sizes.

        Raises:
            ValueError: as `messages` does.
        """
        return joined(list(_fields(self._item_fields, items)), items.height)

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
                parts += _fields([self._fields[name]], messages)
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


def _fields(fields: Sequence[FieldShape], table: pl.DataFrame) -> Iterator[Part]:
    for field in fields:
        if field.name in table.columns:
            yield from _parts(field.plain, table[field.name], field.name)
        elif field.default is not NO_DEFAULT:
            yield _default(field)
        else:
            raise ValueError(f"column {field.name} is missing and has no default")


def _default(field: FieldShape) -> bytes:
    value = [] if field.default == {} else field.default
    column = pl.Series([value], dtype=field.dtype)
    return bytes(joined(list(_parts(field.plain, column, field.name)), 1).to_series()[0])


def _parts(plain: Any, column: pl.Series, name: str) -> Iterator[Part]:
    """Encode one column of any type.

    Args:
        plain: type of the values (`schemas/avro_shapes.py`).
        column: of `schemas.avro_columns.column_type`, or of nulls alone.
        name: of the field, for errors.
    """
    if isinstance(plain, list):
        yield from _nullable(plain, column, name)
        return
    null_count = column.null_count()
    if null_count > 0:
        raise ValueError(f"field {name} is null in {null_count} rows and may not be")
    if column.dtype == pl.Null:  # of an empty block
        column = column.cast(column_type(plain))
    if isinstance(plain, str) or plain["type"] == "fixed":
        yield from _leaf(plain, column, name)
    elif plain["type"] == "record":
        yield from _record(plain, column, name)
    else:
        yield from _list(plain, column, name)


def _nullable(union: list[Any], column: pl.Series, name: str) -> Iterator[Part]:
    """Encode the branch, then the value where there is one."""
    null_at = union.index("null")
    inner = union[1 - null_at]
    null, present = _branch(null_at), _branch(1 - null_at)
    null_count = column.null_count()
    if null_count == len(column):
        yield null
    elif null_count == 0:
        yield present
        yield from _parts(inner, column, name)
    else:
        is_present = column.is_not_null().to_numpy()
        yield fixed_width(np.where(is_present, ord(present), ord(null)).astype(np.uint8))
        values = column.drop_nulls()
        for part in _parts(inner, values, name):
            column_part = part if isinstance(part, ByteColumn) else joined([part], len(values))
            yield column_part.spread(is_present)


def _branch(index: int) -> bytes:
    return bytes([2 * index])


def _record(plain: Any, column: pl.Series, name: str) -> Iterator[Part]:
    _check_type(plain, column, name)
    for field in plain["fields"]:
        inner = column.struct.field(field["name"])
        yield from _parts(field["type"], inner, f"{name}.{field['name']}")


def _list(plain: Any, column: pl.Series, name: str) -> Iterator[Part]:
    _check_type(plain, column, name)
    counts = column.list.len().cast(pl.Int64).to_numpy()
    items = column.explode(empty_as_null=False, keep_nulls=False)
    if items.is_empty():
        yield END_OF_ARRAY
        return
    datums = joined(list(_parts(plain["items"], items, f"{name}[]")), len(items))
    yield from _array(counts, datums.grouped(np.append(0, np.cumsum(counts))))


def _array(counts: Integers, items: ByteColumn) -> Iterator[Part]:
    """Encode arrays: a count, the items, and a zero, which is all there is of an empty one."""
    has_items = counts > 0
    yield longs(counts)
    yield items
    end = np.zeros(int(has_items.sum()), np.uint8)
    yield END_OF_ARRAY if has_items.all() else fixed_width(end).spread(has_items)


def _leaf(plain: Any, column: pl.Series, name: str) -> Iterator[Part]:
    _check_type(plain, column, name)
    if isinstance(plain, str) and plain in LEAVES:
        yield LEAVES[plain](column)
        return
    texts = byte_strings(column)
    if isinstance(plain, str):
        yield longs(texts.sizes)
    elif not (texts.sizes == plain["size"]).all():
        raise ValueError(f"field {name} has values that are not of {plain['size']} bytes")
    yield texts


LEAVES: dict[str, Callable[[pl.Series], ByteColumn]] = {
    "boolean": lambda column: fixed_width(column.cast(pl.UInt8).to_numpy()),
    "int": lambda column: longs(column.to_numpy()),
    "long": lambda column: longs(column.to_numpy()),
    "float": lambda column: fixed_width(column.to_numpy().astype("<f4", copy=False)),
    "double": lambda column: fixed_width(column.to_numpy().astype("<f8", copy=False)),
}


def _check_type(plain: Any, column: pl.Series, name: str) -> None:
    """Refuse what would have to be cast: no number may become another without a word."""
    found, expected = column.dtype, column_type(plain)
    if isinstance(found, pl.Struct) and isinstance(expected, pl.Struct):
        missing = {field.name for field in expected.fields} - {field.name for field in found.fields}
        if missing:
            raise ValueError(f"field {name} has no field {min(missing)}")
    elif found != expected and not (found == pl.List and expected == pl.List):
        raise ValueError(f"field {name} is a column of {found}, not of {expected}")
