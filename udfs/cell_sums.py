"""Points that share a window, summed; and those that share a bin of it, counted.

    key of a point    owner, metric, window | bin
    sorted            [.....window.....][......window......]     runs
                      [bin][bin][ bin  ][bin][bin][bin]          runs within them

One sort finds both. Values are summed as integers, in limbs of 50 bits: any order and any cut of
the points gives the same sums.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.histogram import BIN_MAX, Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.point_cells import PointCells
from udfs.runs import run_starts

SUM_SCALE = 2.0**50
"""|value| <= 1e12 and 1e8 points stay below 2^127; one step is 9e-16."""

SMALL_BELOW = 2.0**10
SQUARE_SCALE = 2.0**80
SQUARE_LARGE_SCALE = 2.0**20
SQUARE_LARGE_SHIFT = 60
"""Squares span 48 decades, more than 128 bits: values below 2^10 are summed at 2^80, the others at
2^20. The two sums make one 256-bit number: small + large * 2^60, at scale 2^80."""

LIMB_BITS = 50
RUN_MAX_COUNT = 2**12
"""So many limbs of 50 bits are below 2^63 together."""
BIN_BITS = 13
NO_BIN = 2 ** (BIN_BITS - 1) - 1
"""Of points that are not counted; it stands last in its window."""
assert BIN_MAX < NO_BIN

WINDOW = ("owner", "metric", "window")
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


@dataclass(frozen=True)
class CellSums:
    """Windows and the bins of each.

    Args:
        windows: one row each: `WINDOW` as numbers, `MEASURE_NAMES`.
        of_bin: window of each bin, ascending, shape (n_bins,).
        bin: ascending within a window.
        bin_count: points in it.
    """

    windows: pl.DataFrame
    of_bin: Int64s
    bin: Int64s
    bin_count: Int64s


def sum_cells(cells: PointCells, owner: Int64s, window_ms: int) -> CellSums:
    """Sum points to windows.

    Args:
        cells: of the points.
        owner: to whom the windows of each point belong, shape (n_points,).
        window_ms: length of the windows.
    """
    window = cells.time_ms // window_ms
    place = joined_key([owner, cells.metric, window])
    key = _with_bin(place, np.where(cells.is_counted, cells.bin, NO_BIN))
    order = np.argsort(key)
    key = key[order]
    is_first = run_starts(key >> BIN_BITS)
    starts = np.flatnonzero(is_first)
    first = order[starts]
    windows = pl.DataFrame(
        {"owner": owner[first], "metric": cells.metric[first], "window": window[first]}
    )
    sums = windows.hstack(_measures(cells, order, starts))
    bin_starts = np.flatnonzero(run_starts(key))
    bins = _bin_of(key[bin_starts])
    counts = np.diff(bin_starts, append=len(key))
    is_kept = bins != NO_BIN
    of_bin = np.cumsum(is_first)[bin_starts] - 1
    return CellSums(sums, of_bin[is_kept], bins[is_kept], counts[is_kept])


def merge_owners(sums: CellSums, owner: Int64s) -> CellSums:
    """Return the windows of coarser owners.

    Args:
        sums: of finer ones.
        owner: the coarser one of each finer one, by number.
    """
    coarser = sums.windows.with_columns(owner=pl.Series(owner[sums.windows["owner"].to_numpy()]))
    columns = [coarser[name].to_numpy() for name in WINDOW]
    _, place = np.unique(joined_key(columns), return_inverse=True)
    windows = (
        coarser.with_columns(place=pl.Series(place))
        .group_by("place")
        .agg(pl.col(WINDOW).first(), *MEASURES)
        .sort("place")
    )
    key = _with_bin(place[sums.of_bin], sums.bin)
    order = np.argsort(key)
    key = key[order]
    starts = np.flatnonzero(run_starts(key))
    counts = _run_sums(sums.bin_count[order], starts)
    return CellSums(windows.drop("place"), key[starts] >> BIN_BITS, _bin_of(key[starts]), counts)


def joined_key(columns: list[Int64s]) -> Int64s:
    """Return one integer for each row: equal where all columns are, in their order, from 0 on.

    >>> joined_key([np.array([5, 5, 7]), np.array([-1, 1, -1])]).tolist()
    [0, 2, 6]
    """
    key, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        digit, span = _from_zero(column)
        if size * span >= 2 ** (63 - BIN_BITS):
            key, size = _dense(key)
            digit, span = _dense(column)
        key = key * span + digit
        size *= span
    return key


def _from_zero(column: Int64s) -> tuple[Int64s, int]:
    """Return a column minus its least, and how many values it spans."""
    if not len(column):
        return column, 1
    least = int(column.min())
    return column - least, int(column.max()) - least + 1


def _dense(column: Int64s) -> tuple[Int64s, int]:
    """Return the rank of each value among those that occur, and how many occur."""
    values, ranks = np.unique(column, return_inverse=True)
    return ranks, max(len(values), 1)


def _with_bin(place: Int64s, bins: NDArray[Any]) -> Int64s:
    key: Int64s = (place << BIN_BITS) + bins + 2 ** (BIN_BITS - 1)
    return key


def _bin_of(key: Int64s) -> Int64s:
    bins: Int64s = (key & (2**BIN_BITS - 1)) - 2 ** (BIN_BITS - 1)
    return bins


def _measures(cells: PointCells, order: Int64s, starts: Int64s) -> pl.DataFrame:
    """Return the sums of each run: `MEASURE_NAMES`, one row a run."""
    value, is_counted = cells.value[order], cells.is_counted[order]
    flags = {
        "nan_count": cells.is_nan,
        "out_of_range_count": cells.is_out_of_range,
        "skewed_count": cells.is_skewed,
        "duplicate_count": cells.is_duplicate,
    }
    counts = {name: _counted(flag, order, starts) for name, flag in flags.items()}
    lowest, highest = (
        (value, value)
        if is_counted.all()
        else (np.where(is_counted, value, np.inf), np.where(is_counted, value, -np.inf))
    )
    measures = pl.DataFrame(
        {
            "count": _counted(cells.is_counted, order, starts),
            **_fixed_sums(value, starts),
            **counts,
            "min": np.minimum.reduceat(lowest, starts) if len(starts) else lowest,
            "max": np.maximum.reduceat(highest, starts) if len(starts) else highest,
        }
    )
    return measures.select(MEASURE_NAMES)


def _counted(flag: Bools, order: Int64s, starts: Int64s) -> Int64s:
    """Return how many points of each run have a flag; flags are rare, or nearly all have it."""
    if not flag.any():
        return np.zeros(len(starts), np.int64)
    if flag.all():
        return np.diff(starts, append=len(flag))
    return _run_sums(flag[order].astype(np.int64), starts)


def _run_sums(values: Int64s, starts: Int64s) -> Int64s:
    return np.add.reduceat(values, starts) if len(starts) else values


def _fixed_sums(value: Floats, starts: Int64s) -> dict[str, pl.Series]:
    """Return the sums of values and of their squares as integers of 128 bits."""
    square, is_small = value * value, np.abs(value) < SMALL_BELOW
    terms = {"sum_fixed": value * SUM_SCALE}
    if is_small.all():
        terms["square_small"] = square * SQUARE_SCALE
        none = pl.zeros(len(starts), pl.Int128, eager=True)
        return _wide_sums(terms, starts) | {"square_large": none}
    terms["square_small"] = np.where(is_small, square, 0.0) * SQUARE_SCALE
    terms["square_large"] = np.where(is_small, 0.0, square) * SQUARE_LARGE_SCALE
    return _wide_sums(terms, starts)


def _wide_sums(terms: dict[str, Floats], starts: Int64s) -> dict[str, pl.Series]:
    """Sum floats of less than 2^100, cut to integers, over runs: exactly.

    Args:
        terms: columns by name.
        starts: of the runs.
    """
    count = len(next(iter(terms.values())))
    pieces = np.union1d(starts, np.arange(0, count, RUN_MAX_COUNT))
    limbs = {}
    for name, term in terms.items():
        high = np.trunc(term * 2.0**-LIMB_BITS)
        low = np.trunc(term - high * 2.0**LIMB_BITS)
        limbs[name] = _run_sums(low.astype(np.int64), pieces)
        limbs[f"{name}_high"] = _run_sums(high.astype(np.int64), pieces)
    unit = pl.lit(2**LIMB_BITS, pl.Int128)
    wide = [
        (pl.col(f"{name}_high").cast(pl.Int128) * unit + pl.col(name)).alias(name) for name in terms
    ]
    sums = pl.DataFrame(limbs).select(wide)
    if len(pieces) > len(starts):
        run = pl.Series("run", np.searchsorted(starts, pieces, side="right"))
        sums = sums.with_columns(run).group_by("run").sum().sort("run").drop("run")
    return {name: sums[name] for name in terms}
