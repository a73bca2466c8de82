"""Window deltas: what one block of points adds to the windows it touches.

A window is the sum of its deltas (law L1): counts, fixed-point sums and histogram bins are
integers, minimum and maximum do not care about order. So any order, batching or restart gives the
same window, nothing waits for a watermark, and no point is ever too late.

    points ──> cells ──> sums (of windows, and of their bins) ──> deltas (one per window)
                         device x 5 min ──────────────────────>  scope device
                         group  x 1 min ──────────────────────>  scope group
                             └── tenant x 1 min ──────────────>  scope tenant
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import polars as pl

from schemas.arrow_numbers import arrow_numbers, list_column
from schemas.telemetry import AHEAD_MAX_MS
from udfs.cell_sums import MEASURE_NAMES, CellSums, merge_owners, sum_cells
from udfs.partition_clocks import Int64s
from udfs.point_cells import PointCells

MINUTE_MS = 60 * 1000
TENANT_IDENTITY = ("tenant_id",)
GROUP_IDENTITY = (*TENANT_IDENTITY, "deployment_group", "model_version")
DEVICE_IDENTITY = ("tenant_id", "shard", "device_id", "deployment_group", "model_version")
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


def window_deltas(batches: pl.DataFrame, cells: PointCells, policy: WindowPolicy) -> pl.DataFrame:
    """Sum points into window deltas.

    Args:
        batches: one row per message: row (its index), tenant_id, device_id, deployment_group,
            model_version (strings or null), shard (of the device).
        cells: the points.
        policy: window lengths.

    Returns:
        One row per window: tenant_id, scope, shard and device_id (null unless scope is device),
        deployment_group, model_version, metric, window_start (UTC ms), window_ms, the measures of
        `MEASURE_NAMES`, bins, bin_counts.
    """
    batches = batches.with_columns(pl.col("deployment_group", "model_version").fill_null(""))
    devices = _Identities.of(batches, DEVICE_IDENTITY)
    groups = _Identities.of(batches, GROUP_IDENTITY)
    tenants = _Identities.of(groups.names, TENANT_IDENTITY)
    device_sums = sum_cells(cells, devices.codes[cells.row], policy.device_window_ms)
    group_sums = sum_cells(cells, groups.codes[cells.row], policy.group_window_ms)
    tenant_sums = merge_owners(group_sums, tenants.codes)
    of_device = _Told(Scope.DEVICE, policy.device_window_ms, cells.metrics)
    of_group = _Told(Scope.GROUP, policy.group_window_ms, cells.metrics)
    of_tenant = replace(of_group, scope=Scope.TENANT)
    return pl.concat(
        [
            of_device.deltas(device_sums, devices),
            of_group.deltas(group_sums, groups),
            of_tenant.deltas(tenant_sums, tenants),
        ]
    )


@dataclass(frozen=True)
class _Identities:
    """Who the windows belong to: several strings as one small integer, by which points are summed.

    Args:
        names: code (0, 1, ...), then the identity's columns; one row each.
        codes: of each batch, or of each identity that was merged, shape (n,).
    """

    names: pl.DataFrame
    codes: Int64s

    @classmethod
    def of(cls, rows: pl.DataFrame, identity: Sequence[str]) -> "_Identities":
        """Tell rows apart by some columns."""
        # Sorted, so that windows of one key leave side by side.
        names = rows.select(identity).unique().sort(identity).with_row_index("code")
        coded = rows.select(identity).join(
            names, on=list(identity), how="left", maintain_order="left"
        )
        return cls(names, coded["code"].to_numpy().astype(np.int64))


@dataclass(frozen=True)
class _Told:
    """How sums become deltas.

    Args:
        scope: of the windows.
        window_ms: their length.
        metrics: names by number.
    """

    scope: Scope
    window_ms: int
    metrics: pl.Series

    def deltas(self, sums: CellSums, owners: _Identities) -> pl.DataFrame:
        """Return the windows by name, each with its sparse histogram in ascending bins."""
        windows = sums.windows
        bin_counts = np.bincount(sums.of_bin, minlength=len(windows))
        named = owners.names[windows["owner"].to_numpy()].hstack(windows)
        return named.select(
            "tenant_id",
            pl.lit(self.scope.value).alias("scope"),
            *(pl.col(name) if name in named.columns else blank for name, blank in BLANKS.items()),
            metric=self.metrics.gather(windows["metric"]),
            window_start=pl.col("window") * self.window_ms,
            window_ms=pl.lit(self.window_ms, pl.Int32),
            bins=list_column(arrow_numbers(sums.bin.astype(np.int32)), bin_counts),
            bin_counts=list_column(arrow_numbers(sums.bin_count), bin_counts),
            **{name: pl.col(name) for name in MEASURE_NAMES},
        )
