"""Rows of the `windows` topic as a threshold shard takes them.

A row is a window delta with the place of its message in the log. All rows of one message count at
once; messages count in the order of their append times, then of their offsets.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.partition_clocks import Int64s, Rows
from udfs.threshold_panes import CELL
from udfs.wide_integers import limbs_128
from udfs.windows import Scope

ROW_SCHEMA: dict[str, Any] = {
    "append_time_ms": pl.Int64,  # of the message, on the topic `windows`
    "offset": pl.Int64,
    "tenant_id": pl.String,
    "scope": pl.String,
    "device_id": pl.String,
    "deployment_group": pl.String,
    "site": pl.String,  # of the registry, empty where nobody knows
    "metric": pl.String,
    "window_start": pl.Int64,
    "window_ms": pl.Int32,
    "count": pl.Int64,
    "sum_fixed": pl.Int128,
    "min": pl.Float64,
    "max": pl.Float64,
    "bins": pl.List(pl.Int32),
    "bin_counts": pl.List(pl.Int64),
}
SUBJECT_MARKS = {Scope.DEVICE.value: "device", Scope.GROUP.value: "group"}
"""What rules look at; the whole tenant's windows are of no rule."""


def delta_rows(deltas: pl.DataFrame) -> pl.DataFrame:
    """Return deltas as `ROW_SCHEMA`, without those that no rule can look at.

    Args:
        deltas: columns as above, in memory or as decoded from the topic, where `sum_fixed` is 16
            bytes and the histogram a struct; `site` may be missing.
    """
    if "site" not in deltas.columns:
        deltas = deltas.with_columns(site=pl.lit(""))
    wanted = deltas.filter(pl.col("scope").is_in(list(SUBJECT_MARKS)))
    return (
        readable_deltas(wanted)
        .with_columns(pl.col("site", "deployment_group").fill_null(""))
        .select(*ROW_SCHEMA)
        .cast(ROW_SCHEMA)  # type: ignore[arg-type]  # a schema as all others
    )


def readable_deltas(deltas: pl.DataFrame) -> pl.DataFrame:
    """Return deltas with sums as integers, times as UTC ms and histograms as two lists.

    Args:
        deltas: in memory, or as decoded from the topic, where `sum_fixed` is 16 bytes and the
            histogram a struct.
    """
    if "histogram" in deltas.columns:
        histogram = pl.col("histogram").struct
        deltas = deltas.with_columns(
            histogram.field("bins"), histogram.field("counts").alias("bin_counts")
        )
    if deltas.schema["sum_fixed"] == pl.Binary:
        deltas = deltas.with_columns(_wide(deltas["sum_fixed"]))
    if deltas.schema["window_start"] != pl.Int64:
        deltas = deltas.with_columns(pl.col("window_start").dt.epoch("ms"))
    return deltas


def _wide(fixed: pl.Series) -> pl.Series:
    """Return integers of 16 little-endian bytes as Int128."""
    limbs = np.frombuffer(b"".join(fixed.to_list()), "<u8").reshape(-1, 2)
    low, high = pl.Series(limbs[:, 0]), pl.Series(limbs[:, 1].view(np.int64))
    both = pl.DataFrame({"low": low, "high": high}).select(
        sum_fixed=pl.col("high").cast(pl.Int128) * pl.lit(2**64, pl.Int128)
        + pl.col("low").cast(pl.Int128)
    )
    return both.to_series()


def no_rows() -> pl.DataFrame:
    """Return no rows."""
    return pl.DataFrame(schema=ROW_SCHEMA)


def subject_keys(rows: pl.DataFrame) -> list[str]:
    """Return `tenant/device/<id>` or `tenant/group/<name>` of each row."""
    mark = pl.col("scope")  # the marks of the scopes are their names
    name = pl.when(pl.col("scope") == Scope.DEVICE.value).then("device_id")
    key = pl.concat_str("tenant_id", mark, name.otherwise("deployment_group"), separator="/")
    return rows.select(key).to_series().to_list()


def cells_of(rows: pl.DataFrame) -> Rows:
    """Return what each row adds, as CELL."""
    cells = np.zeros(len(rows), CELL)
    if len(rows):
        limbs = limbs_128(rows, ["sum_fixed"])["sum_fixed"]
        cells["sum_low"] = limbs[:, 0]
        cells["sum_high"] = limbs[:, 1].view(np.int64)
    for name in ("count", "min", "max"):
        cells[name] = rows[name].to_numpy()
    cells["touched_ms"] = rows["append_time_ms"].to_numpy()
    return cells


def message_starts(append_time_ms: Int64s, offsets: Int64s) -> NDArray[np.int64]:
    """Return the first row of each message, of rows in the order of the log."""
    is_first = np.ones(len(offsets), dtype=bool)
    is_first[1:] = (append_time_ms[1:] != append_time_ms[:-1]) | (offsets[1:] != offsets[:-1])
    return np.flatnonzero(is_first)
