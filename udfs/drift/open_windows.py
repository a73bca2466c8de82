"""Windows that are not complete yet: sums of deltas under small numbers, of one shard.

    names     tenant, scope, subject, metric, versions ──> subject and kind, numbers without meaning
    waiting   sums of rows, by the step at which they count      step, subject, kind, window  68 B
    open      sums of all rows of earlier steps                  subject, kind, window        68 B
    bins      of groups and tenants: one row a bin               subject, kind, window, bin   28 B

Sums are integers, so what is added up early or late is the same (law L1).
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

COUNT_MAX = 2**32 - 1
"""Counts end there: more points than a device sends in a window in any year."""
WINDOW = ("subject", "kind", "window_start", "window_ms")
WINDOW_SCHEMA: dict[str, Any] = {
    "subject": pl.UInt32,
    "kind": pl.UInt32,
    "window_start": pl.Int64,
    "window_ms": pl.Int32,
}
COUNTS_SCHEMA: dict[str, Any] = dict.fromkeys(
    ("count", "missing_count", "nan_count", "out_of_range_count"), pl.UInt32
)
OPEN_SCHEMA: dict[str, Any] = {
    **WINDOW_SCHEMA,
    **COUNTS_SCHEMA,
    "sum_fixed": pl.Int128,
    "min": pl.Float64,
    "max": pl.Float64,
}
BIN_SCHEMA: dict[str, Any] = {**WINDOW_SCHEMA, "bin": pl.Int32, "points": pl.Int64}
STEP: dict[str, Any] = {"step_ms": pl.Int64}

SUBJECT_SCHEMA: dict[str, Any] = {
    "subject": pl.UInt32,
    "tenant_id": pl.String,
    "scope": pl.String,
    "name": pl.String,
    "progress_ms": pl.Int64,  # start of its newest window
    "deployment_group": pl.String,  # of that window, of several the greatest
    "model_version": pl.String,
}
SUBJECT_NAMES = ("tenant_id", "scope", "name")
KIND_SCHEMA: dict[str, Any] = {
    "kind": pl.UInt32,
    "metric": pl.String,
    "deployment_group": pl.String,
    "model_version": pl.String,
}
KIND_NAMES = ("metric", "deployment_group", "model_version")
SERIES_SCHEMA: dict[str, Any] = {
    "subject": pl.UInt32,
    "kind": pl.UInt32,
    "left_ms": pl.Int64,  # start of the newest window that has left
}


def summed(rows: Sequence[pl.DataFrame], key: Sequence[str]) -> pl.DataFrame:
    """Return the sums of rows of one key, in any order.

    Args:
        rows: of `OPEN_SCHEMA`, and the rest of the key.
        key: `WINDOW`, or that and the step.
    """
    counts = [
        pl.col(name).cast(pl.Int64).sum().clip(0, COUNT_MAX).cast(pl.UInt32)
        for name in COUNTS_SCHEMA
    ]
    figures = (pl.col("sum_fixed").sum(), pl.col("min").min(), pl.col("max").max())
    return pl.concat(rows).group_by(key).agg(*counts, *figures)


def summed_bins(rows: Sequence[pl.DataFrame], key: Sequence[str]) -> pl.DataFrame:
    """Return the points of each bin of rows of one key, in any order."""
    return pl.concat(rows).group_by(*key, "bin").agg(pl.col("points").sum())


def numbered(
    rows: pl.DataFrame, known: pl.DataFrame, names: Sequence[str], next_number: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Number what rows name.

    Args:
        rows: with columns `names`.
        known: the number first, then `names` and more, which is null of new ones.
        names: that tell the numbered apart.
        next_number: never used before.

    Returns:
        The numbers of the rows as a frame of one column, and what is known now.
    """
    number = known.columns[0]
    fresh = rows.select(names).unique().join(known, on=list(names), how="anti")
    if len(fresh):
        numbers = pl.int_range(next_number, next_number + len(fresh), dtype=pl.UInt32, eager=True)
        known = pl.concat([known, fresh.with_columns(numbers.alias(number))], how="diagonal")
    found = rows.select(names).join(known, on=list(names), how="left", maintain_order="left")
    return found.select(number), known


def exploded_bins(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a bin of rows that have some, with the step."""
    has_bins = rows.filter(pl.col("bins").list.len() > 0)
    return (
        has_bins.select(*STEP, *WINDOW, pl.col("bins").alias("bin"), "bin_counts")
        .explode("bin", "bin_counts")
        .rename({"bin_counts": "points"})
        .cast({"bin": pl.Int32, "points": pl.Int64})
    )
