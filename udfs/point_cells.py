"""What single points add to windows: flags, time and bin of each, as columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.telemetry import VALUE_MAX, is_skewed
from udfs.histogram import Floats, bin_index
from udfs.partition_clocks import Bools, Int64s


@dataclass(frozen=True)
class PointCells:
    """Points, each column of shape (n_points,).

    Args:
        row: of its batch.
        metric: number of its name.
        time_ms: of its window, UTC ms: of its device, or of the log where that one is not believed.
        value: 0 where it is not counted, and never -0.
        bin: of its value, see `udfs.histogram`.
        is_counted: whether windows sum it.
        is_duplicate: whether it was there before.
        is_nan: whether it is new and has no finite value.
        is_out_of_range: whether it is new and its value is beyond the limit.
        is_skewed: whether it is new and its device's clock is wrong.
        metrics: names by number.
    """

    row: NDArray[np.uint32]
    metric: Int64s
    time_ms: Int64s
    value: Floats
    bin: NDArray[np.int32]
    is_counted: Bools
    is_duplicate: Bools
    is_nan: Bools
    is_out_of_range: Bools
    is_skewed: Bools
    metrics: pl.Series

    def __len__(self) -> int:
        return len(self.row)


def point_cells(
    batches: pl.DataFrame, points: pl.DataFrame, metrics: pl.Series, ahead_max_ms: int
) -> PointCells:
    """Return what each point adds.

    Args:
        batches: one row per message: append_time_ms (UTC ms), is_duplicate.
        points: row (of its batch), metric, value, timestamp (UTC ms), is_copy.
        metrics: names by number.
        ahead_max_ms: how far a device's clock may be ahead of the log.
    """
    of_batch = batches.select("append_time_ms", "is_duplicate")[points["row"].to_numpy()]
    flagged = points.select("row", "value", "timestamp", "is_copy").hstack(of_batch).select(
        "row",
        "value",
        is_duplicate=pl.col("is_duplicate") | pl.col("is_copy"),
        is_skewed=is_skewed(ahead_max_ms),
        time_ms=pl.when(is_skewed(ahead_max_ms)).then("append_time_ms").otherwise("timestamp"),
    )  # fmt: skip
    metric = points["metric"].to_numpy().astype(np.int64)
    return _cells({name: flagged[name].to_numpy() for name in flagged.columns}, metric, metrics)


def _cells(found: dict[str, NDArray[Any]], metric: Int64s, metrics: pl.Series) -> PointCells:
    given, is_new = found["value"], ~found["is_duplicate"]
    is_nan = ~np.isfinite(given)
    is_out_of_range = np.abs(np.where(is_nan, 0.0, given)) > VALUE_MAX
    is_counted = is_new & ~is_nan & ~is_out_of_range
    # Added zero: of -0 and 0, which one a minimum is depends on their order.
    value = np.where(is_counted, given, 0.0) + 0.0
    return PointCells(
        row=found["row"],
        metric=metric,
        time_ms=found["time_ms"],
        value=value,
        bin=bin_index(value),
        is_counted=is_counted,
        is_duplicate=~is_new,
        is_nan=is_nan & is_new,
        is_out_of_range=is_out_of_range & is_new,
        is_skewed=found["is_skewed"] & is_new,
        metrics=metrics,
    )
