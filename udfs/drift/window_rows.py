"""Rows of the `windows` topic as drift takes them, and complete windows as detectors get them."""

from typing import Any

import polars as pl

from udfs.drift.prediction_metrics import BINNED_KINDS, kind_of
from udfs.threshold_rows import readable_deltas
from udfs.window_blocks import COUNTS, RowShape
from udfs.windows import Scope

NAMES = ("tenant_id", "scope", "subject", "metric", "deployment_group", "model_version")

PEERS = "peers"
"""Scope of a group's windows in a shard that has them only to compare devices with."""

MODEL_VERSION = "model_version"
"""Scope of the sums of all groups of a tenant that run one version."""

DRIFT_ROW_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(NAMES, pl.String),
    "window_start": pl.Int64,
    "window_ms": pl.Int32,
    **dict.fromkeys(COUNTS, pl.Int64),
    "sum_fixed": pl.Int128,
    "min": pl.Float64,
    "max": pl.Float64,
    # Of devices only where predictions are measured: histograms are most of a row.
    "bins": pl.List(pl.Int32),
    "bin_counts": pl.List(pl.Int64),
}
"""A delta of one window; subject is the device id, the group, or empty for the whole tenant."""

PLACED_DRIFT_SCHEMA = {**DRIFT_ROW_SCHEMA, "partition": pl.Int32, "offset": pl.Int64}
"""Rows of a section: with their place, from which each shard learns their time."""

COMPLETE_SCHEMA: dict[str, Any] = {
    "window_start": pl.Int64,
    **dict.fromkeys(NAMES, pl.String),
    "window_ms": pl.Int32,
    **dict.fromkeys(COUNTS, pl.Int64),
    "mean": pl.Float64,  # of the finite points; NaN when there is none
    "min": pl.Float64,  # +infinity when there is no finite point
    "max": pl.Float64,  # -infinity then
    "bins": pl.List(pl.Int32),  # ascending; of devices only where predictions are measured
    "bin_counts": pl.List(pl.Int64),
}
"""A complete window: the sum of all deltas that came in time."""

CANONICAL_ORDER = (
    "window_start",
    "tenant_id",
    "scope",
    "subject",
    "metric",
    "model_version",
    "deployment_group",
    "window_ms",
)
"""In which complete windows of one instant come: no two have all of it in common."""


def drift_rows(deltas: pl.DataFrame) -> pl.DataFrame:
    """Return deltas of the topic as `DRIFT_ROW_SCHEMA` and their `offset`.

    Args:
        deltas: as decoded, with `offset`.
    """
    no_bins = pl.lit([], pl.List(pl.Int64))
    is_bare = (pl.col("scope") == Scope.DEVICE.value) & ~_has_binned_metric(deltas)
    return (
        readable_deltas(deltas)
        .with_columns(
            pl.coalesce("device_id", "deployment_group").alias("subject"),
            pl.when(is_bare).then(no_bins).otherwise("bins").alias("bins"),
            pl.when(is_bare).then(no_bins).otherwise("bin_counts").alias("bin_counts"),
        )
        .select(*DRIFT_ROW_SCHEMA, "offset")
        .cast(DRIFT_ROW_SCHEMA)  # type: ignore[arg-type]  # a schema as all others
    )


def _has_binned_metric(deltas: pl.DataFrame) -> pl.Expr:
    """Say which rows are of metrics of which a device's histogram is looked at."""
    metrics = deltas["metric"].unique().to_list()
    return pl.col("metric").is_in([name for name in metrics if kind_of(name) in BINNED_KINDS])


def model_version_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of groups as those of their versions, which have shards of their own."""
    is_versioned = (pl.col("scope") == Scope.GROUP.value) & (pl.col("model_version") != "")
    return rows.filter(is_versioned).with_columns(
        pl.lit(MODEL_VERSION).alias("scope"),
        pl.col("model_version").alias("subject"),
        pl.lit("").alias("deployment_group"),
    )


def peer_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of groups as all shards get them: each device is compared with its group."""
    no_bins = pl.lit([], pl.List(pl.Int64))
    of_groups = rows.filter(pl.col("scope") == Scope.GROUP.value)
    return of_groups.with_columns(
        pl.lit(PEERS).alias("scope"), no_bins.alias("bin_counts"),
        no_bins.cast(pl.List(pl.Int32)).alias("bins"),
    )  # fmt: skip


DRIFT_ROWS = RowShape(
    PLACED_DRIFT_SCHEMA,
    tuple(scope.value for scope in Scope),
    drift_rows,
    shared_of=peer_rows,
    summed_of=model_version_rows,
)


def no_drift_rows() -> pl.DataFrame:
    """Return no rows."""
    return pl.DataFrame(schema=PLACED_DRIFT_SCHEMA)
