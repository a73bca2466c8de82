"""What the group of a device did in the same window: the part of a move that is not its own.

    group's windows   |m1|m2|m3|m4|m5|          1 min each, of all devices of group and version
    device's window   |      v       |          5 min
    residual          v - mean(m1 .. m5)        weather, load and hour of day are in both

A move that all make is told of the group, by its own stream; here it cancels.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from udfs.histogram import Floats
from udfs.windows import WindowPolicy

PEERS_MIN_COUNT = 5.0
"""As many devices, by their points: of fewer, one that drifts takes the mean along."""
KEPT_MS = 6 * 3_600_000
"""Windows that old are not waited for any more."""
GROUP_NAMES = ("tenant_id", "deployment_group", "model_version", "metric")
SPAN_MS = WindowPolicy().device_window_ms
BOOK_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(GROUP_NAMES, pl.String),
    "window_start": pl.Int64,
    "points": pl.Int64,
    "total": pl.Float64,
}
"""Sums over spans of a device window: points, and mean times points."""


@dataclass
class PeerBook:
    """Sums of groups, by the span of a device window."""

    sums: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BOOK_SCHEMA))

    def take(self, windows: pl.DataFrame, clock_ms: int) -> None:
        """Add windows of groups.

        Args:
            windows: `COMPLETE_SCHEMA` of scope `PEERS`, each once.
            clock_ms: spans that began 6 h before are forgotten.
        """
        start = (pl.col("window_start") // SPAN_MS * SPAN_MS).alias("window_start")
        points = pl.col("count").alias("points")
        total = (pl.col("mean") * pl.col("count")).alias("total")
        group = pl.col("subject").alias("deployment_group")
        filled = windows.filter(pl.col("count") > 0)
        added = filled.select("tenant_id", group, "model_version", "metric", start, points, total)
        key = [*GROUP_NAMES, "window_start"]
        both = pl.concat([self.sums, added.select(*BOOK_SCHEMA)])
        kept = both.filter(pl.col("window_start") >= clock_ms - KEPT_MS)
        # In order, so that the sum of floats is a function of the log.
        summed = kept.group_by(key, maintain_order=True).agg(pl.col("points", "total").sum())
        self.sums = summed.sort(key)

    def means_of(self, windows: pl.DataFrame) -> Floats:
        """Return what the peers of each device did, NaN where there are too few, shape (n,).

        Args:
            windows: `COMPLETE_SCHEMA` of scope device.
        """
        key = [*GROUP_NAMES, "window_start"]
        found = windows.select(*key, "count").join(
            self.sums, on=key, how="left", maintain_order="left"
        )
        points = found["points"].fill_null(0).to_numpy().astype(np.float64)
        total = found["total"].fill_null(0.0).to_numpy()
        has_peers = points >= PEERS_MIN_COUNT * np.maximum(found["count"].to_numpy(), 1)
        return np.where(has_peers, total / np.maximum(points, 1.0), np.nan)
