"""Window deltas as WindowDeltas messages for the `windows` topic.

deltas ──by key──> one Avro datum a row ──cut by key, rows and bytes──> messages

The key is `tenant/shard` for windows of devices, so that those of a device stay in order, and
`tenant/group` for those of groups; for those of the whole tenant the group is empty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from schemas.avro_bytes import Integers
from schemas.avro_encode import Alike, BlockWriter
from schemas.records import schema_of
from schemas.topics import Topic
from udfs.cell_sums import SQUARE_LARGE_SHIFT
from udfs.wide_integers import add_shifted, limbs_128, little_endian

OWNER = ("tenant_id", "scope", "device_id", "deployment_group", "model_version")
"""Who a row is about: the first fields of WindowDelta, in their order."""
PART = pl.coalesce(pl.col("shard").cast(pl.String), "deployment_group")
KEY = pl.format("{}/{}", "tenant_id", PART)
ROWS_MAX_COUNT = 5_000
"""Rows in one message: what a reader must be able to hold."""
ROWS_MAX_BYTES = 900 * 1024 - 16
"""Of the rows of one message; 16 bytes are left for the header and the count."""


@dataclass(frozen=True)
class Message:
    """One Kafka message."""

    key: bytes
    value: bytes


def window_messages(deltas: pl.DataFrame, schema_id: int) -> Iterator[Message]:
    """Pack deltas, per key, into messages of at most 5,000 rows and 900 KiB.

    Args:
        deltas: as `udfs.windows.window_deltas` returns them. Rows of one owner lie together, and
            of one key; else they are sorted first.
        schema_id: under which WindowDeltas is registered.
    """
    owners = _owner_starts(deltas)
    keys = deltas[owners].select(key=KEY)["key"]
    runs = keys.rle().struct.unnest()
    if runs["value"].is_duplicated().any():
        yield from window_messages(deltas.sort(KEY, maintain_order=True), schema_id)
        return
    writer = _writer(schema_id)
    datums = writer.item_datums(_wire_rows(deltas), Alike(owners, len(OWNER)))
    stops = np.append(owners, deltas.height)[np.cumsum(runs["len"].to_numpy())]
    starts = _message_starts(datums.ends, stops.tolist())
    message = np.repeat(np.arange(len(starts)), np.diff([*starts, deltas.height]))
    envelopes = pl.DataFrame({"row": np.arange(len(starts))})
    values = writer.with_items(envelopes, datums, pl.Series(message))
    owner = np.searchsorted(owners, starts, side="right") - 1
    for key, value in zip(keys.gather(owner), values, strict=True):
        yield Message(key.encode(), value)


def _owner_starts(deltas: pl.DataFrame) -> Integers:
    """Return the first row of each run of rows that belong to the same."""
    names = pl.col("shard", *OWNER)
    is_first = deltas.select(pl.any_horizontal(names.ne_missing(names.shift()))).to_series()
    if len(is_first):
        is_first[0] = True
    return is_first.arg_true().to_numpy().astype(np.int64)


@cache
def _writer(schema_id: int) -> BlockWriter:
    return BlockWriter(schema_of(Topic.WINDOWS), schema_id)


def _wire_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of WindowDelta."""
    limbs = limbs_128(rows, ("sum_fixed", "square_small", "square_large"))
    square = add_shifted(limbs["square_small"], limbs["square_large"], SQUARE_LARGE_SHIFT)
    return rows.with_columns(
        little_endian(limbs["sum_fixed"]).alias("sum_fixed"),
        little_endian(square).alias("sum_sq_fixed"),
        pl.struct(bins="bins", counts="bin_counts").alias("histogram"),
    )


def _message_starts(ends: Integers, key_stops: list[int]) -> list[int]:
    """Cut rows into messages: full by rows, by bytes, or at the key's end.

    Args:
        ends: bytes before each row and after the last.
        key_stops: after each key's last row.

    Returns:
        The first row of each message. A row over the limit of bytes is alone.
    """
    starts, start = [], 0
    for key_stop in key_stops:
        while start < key_stop:
            starts.append(start)
            fits = int(np.searchsorted(ends, ends[start] + ROWS_MAX_BYTES, side="right")) - 1
            start = max(start + 1, min(fits, start + ROWS_MAX_COUNT, key_stop))
    return starts
