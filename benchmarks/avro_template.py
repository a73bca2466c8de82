"""Avro by template: many batches of one shape become one byte matrix.

The bytes of a batch's points are laid out once with holes; the values and timestamps of a whole
block are then written into their columns. The few bytes before them are built a message at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet import Floats, Integers
from benchmarks.fleet_values import METRICS, POINTS_PER_BATCH, POINTS_PER_METRIC

Bytes = NDArray[np.uint8]

TIME_BYTES = 6
"""Width of an Avro timestamp-millis between the two limits below: 1970-07-17 and 2039-09-07."""
TIME_MIN_MS = 2 ** (7 * (TIME_BYTES - 1) - 1)
TIME_MAX_MS = 2 ** (7 * TIME_BYTES - 1) - 1
VALUE_BYTES = 8

NULL, PRESENT, END_OF_ARRAY = b"\x00", b"\x02", b"\x00"
"""Avro: the branches of a nullable union, and the empty block that ends an array or a map."""


@dataclass(frozen=True)
class PointsTemplate:
    """The Avro bytes of one batch's points with holes for times and values."""

    row: Bytes
    time_columns: NDArray[np.intp]
    """Shape (POINTS_PER_METRIC, len(METRICS), TIME_BYTES)."""
    value_columns: NDArray[np.intp]
    """Shape (POINTS_PER_METRIC, len(METRICS), VALUE_BYTES)."""

    @classmethod
    def build(cls, tags: Mapping[str, dict[str, str]]) -> "PointsTemplate":
        """Lay out a batch: point by point in time, the metrics of one instant together.

        Args:
            tags: of the points of a metric; none for the others.
        """
        row = bytearray(avro_long(POINTS_PER_BATCH))
        value_at, time_at = [], []
        for metric in METRICS * POINTS_PER_METRIC:
            row += avro_string(metric)
            value_at.append(len(row))
            time_at.append(len(row) + VALUE_BYTES)
            row += bytes(VALUE_BYTES + TIME_BYTES) + avro_map(tags.get(metric, {}))
        row += END_OF_ARRAY
        shape = (POINTS_PER_METRIC, len(METRICS), 1)
        return cls(
            row=np.frombuffer(bytes(row), np.uint8),
            time_columns=np.array(time_at).reshape(shape) + np.arange(TIME_BYTES),
            value_columns=np.array(value_at).reshape(shape) + np.arange(VALUE_BYTES),
        )

    def encode(self, time_ms: Integers, values: Floats) -> Bytes:
        """Return the points of batches, shape (b, bytes); rows with other times are nonsense.

        Args:
            time_ms: shape (b, POINTS_PER_METRIC).
            values: shape (b, POINTS_PER_METRIC, len(METRICS)).
        """
        rows = np.tile(self.row, (len(values), 1))
        value_columns = self.value_columns.ravel()
        little_endian = np.ascontiguousarray(values, "<f8").view(np.uint8)
        rows[:, value_columns] = little_endian.reshape(len(values), len(value_columns))
        for i in range(TIME_BYTES):
            more = 0x80 if i + 1 < TIME_BYTES else 0
            part = ((time_ms << 1) >> (7 * i) & 0x7F | more).astype(np.uint8)
            rows[:, self.time_columns[:, :, i].ravel()] = np.repeat(part, len(METRICS), axis=1)
        return rows


def avro_long(value: int) -> bytes:
    r"""Encode an Avro long: zigzag, then 7 bits a byte, the lowest first.

    >>> avro_long(-65)
    b'\x81\x01'
    """
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - the seven bits of one byte
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def avro_string(text: str) -> bytes:
    r"""Encode an Avro string.

    >>> avro_string("ok")
    b'\x04ok'
    """
    encoded = text.encode()
    return avro_long(len(encoded)) + encoded


def avro_map(entries: dict[str, str]) -> bytes:
    r"""Encode an Avro map of strings in one block.

    >>> avro_map({"a": "b"})
    b'\x02\x02a\x02b\x00'
    """
    if len(entries) == 0:
        return END_OF_ARRAY
    pairs = b"".join(avro_string(key) + avro_string(value) for key, value in entries.items())
    return avro_long(len(entries)) + pairs + END_OF_ARRAY
