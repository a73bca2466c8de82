"""Block decode: thousands of Avro messages become columns in one call.

A block of datums with one writer schema is laid out as an Avro container in memory, and after each
datum come eight bytes of our own:

    | header: Framed{datum: <writer schema>, mark: double} | datum 0 | mark 0 | datum 1 | mark 1 |

The marks count up from a random start. A datum with bytes left over, or one that reads past its
end, shifts the next mark, so the first bad message is found exactly and no misread value is
believed; the random start keeps a hostile message from carrying its neighbour's mark. When the
reader raises, the block is halved until the bad message is alone.
"""

import io
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import fastavro
import numpy as np
import polars as pl

from schemas.avro_columns import (
    FieldShape,
    RecordShape,
    Resolution,
    column_type,
    record_shape,
    resolve,
)
from schemas.avro_container import SYNC_BYTES, avro_long, container_header, read_container
from schemas.avro_shapes import is_block_readable, plain_schema
from schemas.errors import Reason, Rejected
from schemas.records import WIRE_HEADER_BYTES, WIRE_MAGIC, Schema, schema_of
from schemas.topics import MESSAGE_MAX_BYTES, Topic

CHUNK_MAX_MESSAGES = 512
"""Small enough that one bad message costs little, large enough that calls cost nothing."""
CHUNK_MAX_BYTES = 4 * 1024 * 1024

ROW = "#row"
"""Our column beside the writer's: no Avro field can have this name."""

REFERENCE_ERRORS = (EOFError, ValueError, IndexError, KeyError, OverflowError, TypeError)

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


@dataclass
class _Pieces:
    """What has been decoded so far: frames of `datum` structs with the rows they belong to."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[RejectedMessage] = field(default_factory=list)

    def accept(self, frame: pl.DataFrame, rows: Sequence[int]) -> None:
        self.frames.append(frame.with_columns(pl.Series(ROW, rows, dtype=pl.UInt32)))

    def reject(self, rows: Sequence[int], error: Rejected) -> None:
        self.rejected += [RejectedMessage(row, error.reason, error.detail) for row in rows]


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
    pieces = _Pieces()
    decoded = []
    for schema_id, rows in _rows_by_schema(messages, pieces).items():
        try:
            reader = _block_reader(_schema_key(schema_of_id(schema_id)))
            tables = reader.tables(shape, messages, rows, pieces)
        except Rejected as error:
            pieces.reject(rows, error)
        else:
            decoded.append(tables)
    rejected = sorted(pieces.rejected, key=lambda message: message.row)
    return DecodedBlock(
        _in_row_order([tables[0] for tables in decoded], shape.fields),
        _in_row_order([tables[1] for tables in decoded], shape.item_fields),
        rejected,
    )


@lru_cache
def _reader_shape(topic: Topic) -> RecordShape:
    return record_shape(schema_of(topic))


@lru_cache(maxsize=1024)
def _block_reader(writer_schema: str) -> "BlockReader":
    return BlockReader(json.loads(writer_schema))


def _schema_key(schema: Schema) -> str:
    try:
        return json.dumps(schema)
    except RecursionError as error:
        raise Rejected(Reason.SCHEMA_REFUSED, "deeper than Python can follow") from error


def _rows_by_schema(messages: Sequence[bytes | None], pieces: _Pieces) -> dict[int, list[int]]:
    rows: dict[bytes, list[int]] = {}
    for row, message in enumerate(messages):
        if message is None or len(message) < WIRE_HEADER_BYTES or message[:1] != WIRE_MAGIC:
            detail = "the value does not start with 0 and a 4-byte schema id"
            pieces.reject([row], Rejected(Reason.BAD_MAGIC, detail))
        elif len(message) > MESSAGE_MAX_BYTES:
            detail = f"{len(message)} bytes are over the limit of {MESSAGE_MAX_BYTES}"
            pieces.reject([row], Rejected(Reason.OVERSIZE, detail))
        else:
            rows.setdefault(message[1:WIRE_HEADER_BYTES], []).append(row)
    return {int.from_bytes(schema_id, "big"): found for schema_id, found in rows.items()}


def _in_row_order(tables: list[pl.DataFrame], fields: Sequence[FieldShape]) -> pl.DataFrame:
    if not tables:
        return pl.DataFrame(schema={"row": pl.UInt32} | {f.name: f.dtype for f in fields})
    if len(tables) == 1:
        return tables[0]
    return pl.concat(tables).sort("row", maintain_order=True)


class BlockReader:
    """Decodes blocks of one writer schema.

    Raises:
        Rejected: the schema is refused, so every message written with it is.
    """

    def __init__(self, writer_schema: Schema) -> None:
        self.plain = plain_schema(writer_schema)
        if not is_block_readable(self.plain):
            detail = "it has a type that the block reader does not know: an enum or a wide union"
            raise Rejected(Reason.SCHEMA_REFUSED, detail)
        self.datum_type = column_type(self.plain)
        self.reference_schema = fastavro.parse_schema(self.plain)
        fields = [{"name": "datum", "type": self.plain}, {"name": "mark", "type": "double"}]
        framed = {"type": "record", "name": "Framed", "fields": fields}
        self.sync = secrets.token_bytes(SYNC_BYTES)
        self.header = container_header(framed, self.sync)

    def tables(
        self,
        shape: RecordShape,
        messages: Sequence[bytes | None],
        rows: Sequence[int],
        pieces: _Pieces,
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Decode some rows of a block into (messages, items); bad ones go to `pieces.rejected`.

        Raises:
            Rejected: the writer's fields do not resolve to the reader's.
        """
        # Before anything is decoded: a message is rejected for its schema or its bytes, never both.
        resolution = resolve(shape, self.plain)
        own = _Pieces(rejected=pieces.rejected)
        datums = [message[WIRE_HEADER_BYTES:] for row in rows if (message := messages[row])]
        assert len(datums) == len(rows), "a row without a message was not sorted out before"
        for chunk in _chunks(datums):
            self._decode(datums, rows, chunk, own)
        return self._flat(shape, resolution, own.frames)

    def _decode(
        self, datums: Sequence[bytes], rows: Sequence[int], chunk: slice, pieces: _Pieces
    ) -> None:
        """Decode one chunk; halve what the reader cannot read until each bad message is alone."""
        pending = [chunk]
        while pending:
            part = pending.pop()
            if part.stop - part.start == 1:
                self._decode_alone(datums[part.start], rows[part.start], pieces)
                continue
            frame, good_count = self._decode_together(datums[part])
            bad = part.start + good_count
            if good_count:
                pieces.accept(frame.head(good_count), rows[part.start : bad])
            if frame.is_empty():
                pending += _halves(part.start, part.stop)
            elif bad < part.stop:
                self._decode_alone(datums[bad], rows[bad], pieces)
                pending += _halves(bad + 1, part.stop)

    def _decode_together(self, datums: Sequence[bytes]) -> tuple[pl.DataFrame, int]:
        """Return the decoded frame and how many of its first rows are trustworthy.

        An empty frame means that the reader raised.
        """
        marks = np.arange(len(datums), dtype="<f8") + secrets.randbits(51)
        mark_bytes = marks.tobytes()
        body = b"".join(
            piece
            for index, datum in enumerate(datums)
            for piece in (datum, mark_bytes[8 * index : 8 * index + 8])
        )
        size = avro_long(len(datums)) + avro_long(len(body))
        frame = read_container(self.header + size + body + self.sync)
        is_wrong = frame["mark"].to_numpy() != marks[: frame.height]
        good_count = int(is_wrong.argmax()) if is_wrong.any() else frame.height
        return frame.select("datum"), good_count

    def _decode_alone(self, datum: bytes, row: int, pieces: _Pieces) -> None:
        """Decode a message that cannot be read among others with the reference reader."""
        source = io.BytesIO(datum)
        try:
            record = fastavro.schemaless_reader(source, self.reference_schema, None)
            series = pl.Series("datum", [record], dtype=self.datum_type)
        except (*REFERENCE_ERRORS, pl.exceptions.PolarsError) as error:
            detail = f"not a datum of its schema ({type(error).__name__})"
            pieces.reject([row], Rejected(Reason.AVRO_INVALID, detail))
            return
        left_count = len(datum) - source.tell()
        if left_count:
            detail = f"{left_count} bytes are left after the datum"
            pieces.reject([row], Rejected(Reason.AVRO_INVALID, detail))
        else:
            pieces.accept(series.to_frame(), [row])

    def _flat(
        self, shape: RecordShape, resolution: Resolution, frames: list[pl.DataFrame]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        empty = pl.DataFrame(schema={"datum": self.datum_type, ROW: pl.UInt32})
        datums = pl.concat(frames).sort(ROW) if frames else empty
        row = pl.col(ROW).alias("row")
        records = datums.select(ROW, pl.col("datum").struct.unnest())
        messages = records.select(row, *resolution.fields)
        if shape.items_name is None:
            return messages, pl.DataFrame()
        items = (
            records.select(ROW, shape.items_name)
            .filter(pl.col(shape.items_name).list.len() > 0)
            .explode(shape.items_name)
            .unnest(shape.items_name)
        )
        return messages, items.select(row, *resolution.item_fields)


def _chunks(datums: Sequence[bytes]) -> list[slice]:
    """Cut a block so that a chunk has a bounded number of messages and of bytes."""
    chunks, start, size = [], 0, 0
    for index, datum in enumerate(datums):
        if index - start == CHUNK_MAX_MESSAGES or (size and size + len(datum) > CHUNK_MAX_BYTES):
            chunks.append(slice(start, index))
            start, size = index, 0
        size += len(datum)
    if start < len(datums):
        chunks.append(slice(start, len(datums)))
    return chunks


def _halves(start: int, stop: int) -> list[slice]:
    middle = (start + stop) // 2
    return [slice(a, b) for a, b in ((start, middle), (middle, stop)) if a < b]
