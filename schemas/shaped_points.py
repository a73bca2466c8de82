"""Reads blocks of telemetry whose points have known shapes; names what it leaves to the codec.

datums ──lockstep──> fields before the points ──> messages
              └────> where the points begin ──shapes──> values, times ──> points by shape
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.avro_columns import RecordShape, record_shape, resolve
from schemas.avro_lockstep import reading
from schemas.avro_shapes import is_block_readable, plain_schema
from schemas.errors import Rejected
from schemas.lockstep_cursors import PADDING, Body, Cursors, Integers
from schemas.point_shapes import PointShape, ShapeBook, ShapeReader
from schemas.records import WIRE_HEADER_BYTES, Schema, schema_of
from schemas.topics import MESSAGE_MAX_BYTES, Topic

POINT_TYPES = {"name": "string", "value": "double", "timestamp": "long"}
"""Of a point's first fields, in their order; the tags follow."""


@lru_cache
def _telemetry_shape() -> RecordShape:
    return record_shape(schema_of(Topic.TELEMETRY))


POINT_COLUMNS = {"row": pl.UInt32()} | {
    each.name: each.dtype for each in _telemetry_shape().item_fields
}
"""Of points as the codec returns them."""


@dataclass(frozen=True)
class ShapedPoints:
    """The points of messages that have one shape, in the order of the shape's kinds.

    Args:
        shape: of the messages.
        row: which message of the block each is, shape (m,).
        values: shape (m, n_points).
        times_ms: UTC ms, shape (m, n_points).
    """

    shape: PointShape
    row: Integers
    values: npt.NDArray[np.float64]
    times_ms: Integers

    def only(self, index: npt.NDArray[Any]) -> "ShapedPoints":
        """Return some of the messages."""
        return ShapedPoints(self.shape, self.row[index], self.values[index], self.times_ms[index])


@dataclass(frozen=True)
class ShapedBlock:
    """What was read of a block.

    Args:
        messages: `row` (u32, index into the block) and the record's own fields, of every message
            whose fields could be read, ascending.
        points: of those among them that have a shape.
        left: the messages that have points, or cannot be read, and are not among those; ascending.
    """

    messages: pl.DataFrame
    points: list[ShapedPoints]
    left: Integers


class ShapedReader:
    """Reads messages of one writer schema, which `has_shapes`.

    Raises:
        Rejected: the schema does not resolve to the reader's.
    """

    def __init__(self, writer_schema: Schema) -> None:
        plain = plain_schema(writer_schema)
        *fields, points = plain["fields"]
        header = {"type": "record", "name": plain["name"], "fields": fields}
        self._header = reading(header)
        self._fields = resolve(_telemetry_shape(), plain).fields
        tags = points["type"]["items"]["fields"][-1]["type"]
        self._book = ShapeBook(ShapeReader(tags))

    def read(self, values: Sequence[bytes]) -> ShapedBlock:
        """Read messages with their wire headers, as far as they are plain."""
        end = np.fromiter(accumulate(map(len, values)), np.int64, len(values))
        start = np.concatenate([[0], end[:-1]]) + WIRE_HEADER_BYTES
        is_stopped = end - start > MESSAGE_MAX_BYTES - WIRE_HEADER_BYTES
        body = Body(b"".join([*values, PADDING]), is_stopped, is_guessing=False)
        cursors = Cursors(body, start, end, np.arange(len(values)))
        records = self._header.read(cursors)
        cursors.stop_beyond_end()
        is_left = is_stopped | (end - cursors.at != 1) | (body.octets[cursors.at] != 0)
        row = np.flatnonzero(is_left & ~is_stopped)
        points = []
        for shape, index in self._book.matches(body, cursors.at[row], end[row]):
            at = cursors.at[row[index]]
            points.append(
                ShapedPoints(shape, row[index], shape.values(body, at), shape.times_ms(body, at))
            )
            is_left[row[index]] = False
        fields = records.struct.unnest().select(self._fields)
        messages = fields.insert_column(0, pl.Series("row", np.arange(len(values)), pl.UInt32))
        if is_stopped.any():
            messages = messages.filter(pl.Series(~is_stopped))
        return ShapedBlock(messages, points, np.flatnonzero(is_left))


def shaped_reader(schema: Schema) -> ShapedReader | None:
    """Return the reader of a writer's schema, the same one when it comes again; None: no shapes."""
    try:
        return reader_of_text(json.dumps(schema))
    except RecursionError:
        return None


@lru_cache(maxsize=64)
def reader_of_text(schema_text: str) -> ShapedReader | None:
    """Return the reader of a writer's schema, which is given as JSON; see `shaped_reader`."""
    schema = json.loads(schema_text)
    try:
        return ShapedReader(schema) if has_shapes(plain_schema(schema)) else None
    except Rejected:
        return None  # the codec refuses its messages, and says why


def has_shapes(plain: Any) -> bool:
    """Say whether a writer's plain schema ends with points as today's schema has them."""
    if not is_block_readable(plain):
        return False
    *before, last = plain["fields"]
    if not before:
        return False
    if last["name"] != _telemetry_shape().items_name or not isinstance(last["type"], dict):
        return False
    point = last["type"].get("items")
    if not isinstance(point, dict) or point["type"] != "record":
        return False
    *fields, tags = point["fields"]
    return (
        {field["name"]: field["type"] for field in fields} == POINT_TYPES
        and [field["name"] for field in fields] == list(POINT_TYPES)
        and all(field.get("per_ms", 1) == 1 for field in fields)
        and tags["name"] == "tags"
        and _is_text_map(tags["type"])
    )


def _is_text_map(plain: Any) -> bool:
    """Say whether a plain type is what is made of a map of texts."""
    if not isinstance(plain, dict) or plain["type"] != "array":
        return False
    item = plain["items"]
    fields = item["fields"] if isinstance(item, dict) and item["type"] == "record" else []
    return [(f["name"], f["type"]) for f in fields] == [("key", "string"), ("value", "string")]
