"""Window deltas: what one block of points adds to the windows it touches.

A window is the sum of its deltas (law L1): counts, fixed-point sums and histogram bins are
integers, minimum and maximum do not care about order. So any order, batching or restart gives the
same window, nothing waits for a watermark, and no point is ever too late.

    points ──> bin rows (one per window and bin) ──> deltas (one per window)
               device x 5 min ───────────────────>  scope device
               group  x 1 min ───────────────────>  scope group
                   └── tenant x 1 min ───────────>  scope tenant
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.telemetry import AHEAD_MAX_MS, VALUE_MAX, is_skewed
from udfs.histogram import bin_index

MINUTE_MS = 60 * 1000
SUM_SCALE = 2.0**50
"""|value| <= 1e12 and 1e8 points stay below 2^127; one step is 9e-16."""

SMALL_BELOW = 2.0**10
SQUARE_SCALE = 2.0**80
SQUARE_LARGE_SCALE = 2.0**20
SQUARE_LARGE_SHIFT = 60
"""Squares span 48 decades, more than 128 bits: values below 2^10 are summed at 2^80, the others at
2^20. The two sums make one 256-bit number: small + large * 2^60, at scale 2^80."""

SUMMED = (
    "count",
    "sum_fixed",
    "square_small",
    "square_large",
    "nan_count",
    "out_of_range_count",
    "skewed_count",
    "duplicate_count",
)
MEASURE_NAMES = (*SUMMED, "min", "max")
MEASURES = (pl.col(SUMMED).sum(), pl.col("min").min(), pl.col("max").max())

WINDOW = ("code", "metric", "window_start")
TENANT_IDENTITY = ("tenant_id",)
GROUP_IDENTITY = (*TENANT_IDENTITY, "deployment_group", "model_version")
DEVICE_IDENTITY = (*GROUP_IDENTITY, "shard", "device_id")
BLANKS = {
    "shard": pl.lit(None, pl.Int32).alias("shard"),
    "device_id": pl.lit(None, pl.String).alias("device_id"),
    "deployment_group": pl.lit("").alias("deployment_group"),
    "model_version": pl.lit("").alias("model_version"),
}
"""What stands where a window's identity has no such column."""


class Scope(StrEnum):
    """What a window sums over."""

    DEVICE = "device"
    GROUP = "group"
    TENANT = "tenant"


@dataclass(frozen=True)
class WindowPolicy:
    """Window lengths, and how wrong a device clock may be."""

    device_window_ms: int = 5 * MINUTE_MS
    group_window_ms: int = MINUTE_MS
    ahead_max_ms: int = AHEAD_MAX_MS


def window_deltas(batches: pl.DataFrame, cells: pl.DataFrame, policy: WindowPolicy) -> pl.DataFrame:
    """Sum points into window deltas.

    Args:
        batches: one row per message: row (its index), tenant_id, device_id, deployment_group,
            model_version (strings or null), shard (of the device), append_time_ms, is_duplicate.
        cells: the points, as `point_cells` returns them.
        policy: window lengths and clock limits.

    Returns:
        One row per window: tenant_id, scope, shard and device_id (null unless scope is device),
        deployment_group, model_version, metric, window_start (UTC ms), window_ms, the measures of
        `MEASURES`, bins, bin_counts.
    """
    batches = batches.with_columns(pl.col("deployment_group", "model_version").fill_null(""))
    devices = _Identities.of(batches, DEVICE_IDENTITY)
    groups = _Identities.of(batches, GROUP_IDENTITY)
    tenants = groups.merged(TENANT_IDENTITY)
    device_bins = _bin_rows(cells, devices, policy.device_window_ms)
    group_bins = _bin_rows(cells, groups, policy.group_window_ms)
    return pl.concat(
        [
            _deltas(device_bins, devices, Scope.DEVICE, policy.device_window_ms),
            _deltas(group_bins, groups, Scope.GROUP, policy.group_window_ms),
            _deltas(
                _merged_bins(group_bins, tenants), tenants, Scope.TENANT, policy.group_window_ms
            ),
        ]
    )


@dataclass(frozen=True)
class _Identities:
    """Who the windows belong to: several strings as one small integer, by which points group.

    Args:
        names: code (0, 1, ...), then the identity's columns; one row each.
        codes: of each batch, or of each identity that was merged, shape (n,).
    """

    names: pl.DataFrame
    codes: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, rows: pl.DataFrame, identity: Sequence[str]) -> "_Identities":
        """Tell rows apart by some columns."""
        names = rows.select(identity).unique().with_row_index("code")
        coded = rows.select(identity).join(
            names, on=list(identity), how="left", maintain_order="left"
        )
        return cls(names, coded["code"].to_numpy())

    def merged(self, identity: Sequence[str]) -> "_Identities":
        """Return coarser identities, with the new code of each of these."""
        return _Identities.of(self.names, identity)


def _bin_rows(cells: pl.DataFrame, identities: _Identities, window_ms: int) -> pl.DataFrame:
    """Sum the cells to one row per identity, metric, window and bin."""
    code = pl.Series("code", identities.codes[cells["row"].to_numpy()])
    window_start = pl.col("time_ms") - pl.col("time_ms") % window_ms
    return (
        cells.with_columns(code, window_start=window_start).group_by(*WINDOW, "bin").agg(MEASURES)
    )


def _merged_bins(bin_rows: pl.DataFrame, coarser: _Identities) -> pl.DataFrame:
    code = pl.Series("code", coarser.codes[bin_rows["code"].to_numpy()])
    return bin_rows.with_columns(code).group_by(*WINDOW, "bin").agg(MEASURES)


def _deltas(
    bin_rows: pl.DataFrame, identities: _Identities, scope: Scope, window_ms: int
) -> pl.DataFrame:
    """Sum bin rows to one row per window, with its sparse histogram in ascending bins."""
    is_counted = pl.col("bin").is_not_null()
    deltas = (
        bin_rows.sort("bin")
        .group_by(WINDOW)
        .agg(
            pl.col("bin").filter(is_counted).alias("bins"),
            pl.col("count").filter(is_counted).alias("bin_counts"),
            *MEASURES,
        )
        .join(identities.names, on="code")
    )
    return deltas.select(
        "tenant_id",
        pl.lit(scope.value).alias("scope"),
        *(pl.col(name) if name in deltas.columns else blank for name, blank in BLANKS.items()),
        "metric",
        "window_start",
        pl.lit(window_ms, pl.Int32).alias("window_ms"),
        pl.col("bins", "bin_counts"),
        *MEASURE_NAMES,
    )


def point_cells(batches: pl.DataFrame, points: pl.DataFrame, policy: WindowPolicy) -> pl.DataFrame:
    """Return one row per point: its batch's row, its window time, and what it adds.

    Args:
        batches: as `window_deltas` takes them.
        points: row (of its batch), name, value, timestamp (UTC ms), is_copy.
        policy: clock limits.
    """
    of_batch = batches.select("append_time_ms", "is_duplicate")[points["row"].to_numpy()]
    raw = points.select("row", "name", "value", "timestamp", "is_copy")
    flagged = raw.hstack(of_batch).with_columns(
        pl.col("is_duplicate") | pl.col("is_copy"),
        is_skewed=is_skewed(policy.ahead_max_ms),
        is_nan=~pl.col("value").is_finite(),
        is_out=pl.col("value").is_finite() & (pl.col("value").abs() > VALUE_MAX),
    )
    counted = flagged.with_columns(
        is_counted=~(pl.col("is_duplicate") | pl.col("is_nan") | pl.col("is_out")),
        time_ms=pl.when("is_skewed").then("append_time_ms").otherwise("timestamp"),
    ).with_columns(value=pl.when("is_counted").then("value").otherwise(0.0))
    bins = pl.Series("bin", bin_index(counted["value"].to_numpy()))
    return counted.with_columns(bins).select(
        "row",
        "time_ms",
        pl.col("name").alias("metric"),
        pl.when("is_counted").then("bin").alias("bin"),
        *_measures(),
    )


def _measures() -> list[pl.Expr]:
    value, is_new = pl.col("value"), ~pl.col("is_duplicate")
    square, is_small = value * value, value.abs() < SMALL_BELOW
    large = (square * SQUARE_LARGE_SCALE).cast(pl.Int128)
    return [
        pl.col("is_counted").cast(pl.Int64).alias("count"),
        (value * SUM_SCALE).cast(pl.Int128).alias("sum_fixed"),
        pl.when(is_small)
        .then(pl.when(is_small).then(square * SQUARE_SCALE).otherwise(0.0).cast(pl.Int128))
        .otherwise(pl.lit(0, pl.Int128))
        .alias("square_small"),
        pl.when(is_small).then(pl.lit(0, pl.Int128)).otherwise(large).alias("square_large"),
        pl.when("is_counted").then(value).otherwise(np.inf).alias("min"),
        pl.when("is_counted").then(value).otherwise(-np.inf).alias("max"),
        (pl.col("is_nan") & is_new).cast(pl.Int64).alias("nan_count"),
        (pl.col("is_out") & is_new).cast(pl.Int64).alias("out_of_range_count"),
        (pl.col("is_skewed") & is_new).cast(pl.Int64).alias("skewed_count"),
        pl.col("is_duplicate").cast(pl.Int64).alias("duplicate_count"),
    ]
