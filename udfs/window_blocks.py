"""From a block of raw WindowDeltas messages to what each shard of a job gets of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from schemas.codec import SchemaOfId, decode_messages
from schemas.topics import Topic
from udfs.clock_marks import mark_of
from udfs.frame_bytes import pack_frames
from udfs.shards import Section, SectionKind, device_hashes, shard_of
from udfs.telemetry_blocks import RawBlock
from udfs.threshold_rows import ROW_SCHEMA, SUBJECT_MARKS, delta_rows
from udfs.window_clocks import MARK_SCHEMA
from udfs.windows import Scope

PLACED_SCHEMA = {
    **{name: kind for name, kind in ROW_SCHEMA.items() if name != "append_time_ms"},
    "partition": pl.Int32,
}
"""Rows of a section: `ROW_SCHEMA` with the partition, from which each shard learns the time."""


COUNTS = ("count", "missing_count", "nan_count", "out_of_range_count")


@dataclass(frozen=True)
class RowShape:
    """How a job takes its rows.

    Args:
        schema: of the rows of a section, with `partition` and `offset`.
        scopes: that the job looks at.
        rows_of: decoded deltas with their `offset` -> as many rows, without `partition`.
        shared_of: of the rows of all shards, those that every shard gets beside its own.
        summed_of: of these rows, those of coarser subjects, which have shards of their own.
    """

    schema: dict[str, Any]
    scopes: tuple[str, ...]
    rows_of: Callable[[pl.DataFrame], pl.DataFrame]
    shared_of: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    summed_of: Callable[[pl.DataFrame], pl.DataFrame] | None = None


def _rule_rows(deltas: pl.DataFrame) -> pl.DataFrame:
    return delta_rows(deltas.with_columns(append_time_ms=pl.lit(0, pl.Int64))).drop(
        "append_time_ms"
    )


RULE_ROWS = RowShape(PLACED_SCHEMA, tuple(SUBJECT_MARKS), _rule_rows)


def window_sections(
    raw: RawBlock, schema_of_id: SchemaOfId, shard_count: int, shape: RowShape = RULE_ROWS
) -> list[Section]:
    """Return to every shard the rows of its subjects, and all marks.

    Messages that cannot be decoded are left out: the loader, which reads them too, reports them.

    Raises:
        Unavailable: the schema registry does not answer.
    """
    deltas = decode_messages(Topic.WINDOWS, raw.values, schema_of_id).items
    marks = _marks(raw)
    parts = _rows_of_shards(raw, deltas, shard_count, shape) if len(deltas) else {}
    none = pl.DataFrame(schema=shape.schema)
    return [
        Section(
            SectionKind.WINDOWS,
            shard,
            pack_frames({"rows": parts.get((shard,), none), "marks": marks}),
        )
        for shard in range(shard_count)
    ]


def _marks(raw: RawBlock) -> pl.DataFrame:
    rows = [
        (int(raw.partitions[row]), int(raw.offsets[row]), source, mark.source_count, clock_ms)
        for row, headers in sorted(raw.headers.items())
        if (mark := mark_of(headers)) is not None
        for source, clock_ms in mark.clocks.items()
    ]
    return pl.DataFrame(rows, schema=MARK_SCHEMA, orient="row")


def _rows_of_shards(
    raw: RawBlock, deltas: pl.DataFrame, shard_count: int, shape: RowShape
) -> dict[tuple[object, ...], pl.DataFrame]:
    deltas = deltas.filter(_is_sound(shape.scopes))
    message = deltas["row"].to_numpy()
    offset = pl.Series(raw.offsets[message], dtype=pl.Int64)
    rows = shape.rows_of(deltas.with_columns(offset=offset))
    partition = pl.Series("partition", raw.partitions[message], pl.Int32)
    placed = rows.with_columns(partition).select(*shape.schema)
    sharded = placed.with_columns(shard=_shards(deltas, shard_count))
    if shape.summed_of is not None:
        summed = shape.summed_of(placed)
        shard = subject_shards(summed.select("tenant_id", name="subject"), shard_count)
        sharded = pl.concat([sharded, summed.with_columns(shard=shard)])
    parts = sharded.partition_by("shard", as_dict=True, include_key=False)
    if shape.shared_of is None:
        return parts
    shared = shape.shared_of(placed)
    return {
        (shard,): pl.concat([parts.get((shard,), placed.clear()), shared])
        for shard in range(shard_count)
    }


def _is_sound(scopes: tuple[str, ...]) -> pl.Expr:
    """Say which rows a job may look at: the schema alone allows some that nobody can read."""
    histogram = pl.col("histogram").struct
    bin_count = histogram.field("bins").list.len()
    is_even = bin_count == histogram.field("counts").list.len()
    is_told = (pl.col("count") == 0) | (bin_count > 0)
    is_counted = pl.min_horizontal(COUNTS) >= 0
    is_of_device = pl.col("scope") == Scope.DEVICE.value
    has_subject = pl.col("device_id").is_not_null() == is_of_device
    return pl.col("scope").is_in(list(scopes)) & is_even & is_told & is_counted & has_subject


def _shards(rows: pl.DataFrame, shard_count: int) -> pl.Series:
    """Return the shard of each row's subject; a device has as many rows as metrics."""
    name = pl.coalesce("device_id", "deployment_group").alias("name")
    return subject_shards(rows.select("tenant_id", name), shard_count)


def subject_shards(subjects: pl.DataFrame, shard_count: int) -> pl.Series:
    """Return the shards of subjects, by `tenant_id` and `name`."""
    known = subjects.unique()
    hashes = device_hashes(known["tenant_id"].to_list(), known["name"].to_list())
    shards = pl.Series("shard", shard_of(np.asarray(hashes), shard_count), pl.Int32)
    found = subjects.join(
        known.with_columns(shards), on=["tenant_id", "name"], how="left", maintain_order="left"
    )
    return found["shard"]
