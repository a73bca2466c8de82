"""Block decode: thousands of Avro messages become columns in one call.

    messages ──by schema id──> datums ──block reader──> writer's columns ──> reader's columns
            └─ no wire header, no such schema, no datum ──> rejected, each message on its own

A bad message never costs a neighbour: nothing is lost, altered or moved because of it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from schemas.avro_columns import FieldShape, RecordShape, Resolution, record_shape, resolve
from schemas.block_reader import BlockReader
from schemas.careful_reader import INDEX
from schemas.errors import Reason, Rejected
from schemas.records import WIRE_HEADER_BYTES, WIRE_MAGIC, Schema, schema_of
from schemas.topics import MESSAGE_MAX_BYTES, Topic

SchemaOfId = Callable[[int], Schema]


@dataclass(frozen=True)
class RejectedMessage:
    """One message that was refused: its index in the block, and why."""

    row: int
    reason: Reason
    detail: str


@dataclass(frozen=True)
class DecodedBlock:
    """The columns of a block.

    Args:
        messages: one row for each accepted message, ascending: `row` (u32, index into the block),
            then the record's own fields.
        items: one row for each item of the record's array (points, window deltas): `row`, then
            the item's fields. Empty without columns when the record has no such array.
        rejected: the messages that are in neither, ascending by row.
    """

    messages: pl.DataFrame
    items: pl.DataFrame
    rejected: list[RejectedMessage]

    def without(self, refused: Sequence[RejectedMessage]) -> "DecodedBlock":
        """Return the block in which some more messages, at most once each, are rejected."""
        if not refused:
            return self
        rows = pl.Series([message.row for message in refused], dtype=pl.UInt32)
        is_kept = ~pl.col("row").is_in(rows.implode())
        return DecodedBlock(
            self.messages.filter(is_kept),
            self.items.filter(is_kept),
            sorted([*self.rejected, *refused], key=lambda message: message.row),
        )


def decode_messages(
    topic: Topic, messages: Sequence[bytes | None], schema_of_id: SchemaOfId
) -> DecodedBlock:
    """Decode messages in the Confluent wire format into the columns that the topic's reader wants.

    Args:
        topic: whose schema (`schemas/avro`) is the reader's.
        messages: values as read; None is a tombstone.
        schema_of_id: gives the writer's schema. It may raise `Rejected` (no such id), which rejects
            the messages of that id, or `Unavailable`, which is passed on: nothing is rejected
            because the registry is away.

    Raises:
        Unavailable: as `schema_of_id` does.
    """
    shape = _reader_shape(topic)
    rows_by_schema, rejected = _sorted_out(messages)
    tables = []
    for schema_id, rows in rows_by_schema.items():
        try:
            reader = _block_reader(_schema_key(schema_of_id(schema_id)))
            # Before anything is read: a message is refused for its schema or its bytes, never both.
            resolution = resolve(shape, reader.plain)
        except Rejected as error:
            rejected += [RejectedMessage(row, error.reason, error.detail) for row in rows]
            continue
        datums = [message[WIRE_HEADER_BYTES:] for row in rows if (message := messages[row])]
        read = reader.read(datums)
        rejected += [
            RejectedMessage(rows[index], Reason.AVRO_INVALID, detail)
            for index, detail in read.refused
        ]
        tables.append(_reader_tables(shape, resolution, read.records, rows))
    items = [items for _, items in tables]
    return DecodedBlock(
        _in_row_order([messages for messages, _ in tables], shape.fields),
        pl.DataFrame() if shape.items_name is None else _in_row_order(items, shape.item_fields),
        sorted(rejected, key=lambda message: message.row),
    )


@lru_cache
def _reader_shape(topic: Topic) -> RecordShape:
    return record_shape(schema_of(topic))


@lru_cache(maxsize=1024)
def _block_reader(writer_schema: str) -> BlockReader:
    return BlockReader(json.loads(writer_schema))


def _schema_key(schema: Schema) -> str:
    try:
        return json.dumps(schema)
    except RecursionError as error:
        raise Rejected(Reason.SCHEMA_REFUSED, "deeper than Python can follow") from error


def _sorted_out(
    messages: Sequence[bytes | None],
) -> tuple[dict[int, Sequence[int]], list[RejectedMessage]]:
    """Return the rows of each schema id, and the messages without a schema id or too long."""
    heads = [message[:WIRE_HEADER_BYTES] if message else b"" for message in messages]
    sizes = [len(message) if message else 0 for message in messages]
    if len(set(heads)) == 1 and _is_wire_header(heads[0]) and max(sizes) <= MESSAGE_MAX_BYTES:
        return {_schema_id(heads[0]): range(len(heads))}, []  # the usual block, without a loop
    rows: dict[int, list[int]] = {}
    rejected = []
    for row, (head, size) in enumerate(zip(heads, sizes, strict=True)):
        if not _is_wire_header(head):
            detail = "the value does not start with 0 and a 4-byte schema id"
            rejected.append(RejectedMessage(row, Reason.BAD_MAGIC, detail))
        elif size > MESSAGE_MAX_BYTES:
            detail = f"{size} bytes are over the limit of {MESSAGE_MAX_BYTES}"
            rejected.append(RejectedMessage(row, Reason.OVERSIZE, detail))
        else:
            rows.setdefault(_schema_id(head), []).append(row)
    return dict(rows), rejected


def _is_wire_header(head: bytes) -> bool:
    return len(head) == WIRE_HEADER_BYTES and head[:1] == WIRE_MAGIC


def _schema_id(head: bytes) -> int:
    return int.from_bytes(head[1:], "big")


def _reader_tables(
    shape: RecordShape, resolution: Resolution, records: pl.DataFrame, rows: Sequence[int]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the reader's (messages, items) of the writer's records."""
    row = pl.lit(pl.Series("row", rows, dtype=pl.UInt32)).gather(pl.col(INDEX)).alias("row")
    messages = records.select(row, *resolution.fields)
    if shape.items_name is None:
        return messages, pl.DataFrame()
    items = (
        records.select(INDEX, shape.items_name)
        .filter(pl.col(shape.items_name).list.len() > 0)
        .explode(shape.items_name)
        .unnest(shape.items_name)
    )
    return messages, items.select(row, *resolution.item_fields)


def _in_row_order(tables: list[pl.DataFrame], fields: Sequence[FieldShape]) -> pl.DataFrame:
    if not tables:
        return pl.DataFrame(schema={"row": pl.UInt32} | {f.name: f.dtype for f in fields})
    if len(tables) == 1:
        return tables[0]
    return pl.concat(tables).sort("row", maintain_order=True)
