"""Sparse histograms of many streams: points by stream, part of time, and bin.

    key = stream | part | bin + 4096        one 64-bit integer; points beside it

They are merged by adding integers, in any order, so it does not matter how they came.
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from udfs.drift.row_tables import Rows
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

BIN_BITS, PART_BITS = 13, 20
BIN_ZERO = 1 << (BIN_BITS - 1)
PART_MAX = (1 << PART_BITS) - 1
STREAM_MAX = (1 << 30) - 1
UNSORTED_MAX = 200_000
"""Cells that are kept as they came; beyond it they are added up."""


def _none() -> Int64s:
    return np.zeros(0, np.int64)


@dataclass
class Cells:
    """Points of streams; a step changes them in place.

    Args:
        keys: see above.
        points: above 0, as many.
        fresh_count: of these, the last ones, not yet added up.
    """

    keys: Int64s = field(default_factory=_none)
    points: Int64s = field(default_factory=_none)
    fresh_count: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def stream(self) -> Int64s:
        """Return the stream of each cell."""
        return self.keys >> (PART_BITS + BIN_BITS)

    @property
    def part(self) -> Int64s:
        """Return the part of time of each cell."""
        return (self.keys >> BIN_BITS) & PART_MAX

    @property
    def bin(self) -> Int64s:
        """Return the bin of each cell, as in `udfs.histogram`."""
        return (self.keys & ((1 << BIN_BITS) - 1)) - BIN_ZERO

    def add(self, stream: Int64s, part: Int64s, bins: Int64s, points: Int64s) -> None:
        """Add points to histograms; all of shape (n,)."""
        if not len(stream):
            return
        assert stream.min() >= 0
        assert stream.max() <= STREAM_MAX
        assert part.min() >= 0
        assert part.max() <= PART_MAX
        fresh = (((stream << PART_BITS) | part) << BIN_BITS) | (bins + BIN_ZERO)
        self.keys = np.concatenate([self.keys, fresh])
        self.points = np.concatenate([self.points, points])
        self.fresh_count += len(fresh)
        if self.fresh_count > UNSORTED_MAX:
            self.settle()

    def settle(self) -> None:
        """Add up the points of equal cells; they are in the order of their keys then."""
        if not self.fresh_count:
            return
        self.keys, at = np.unique(self.keys, return_inverse=True)
        total = np.zeros(len(self.keys), np.int64)
        np.add.at(total, at.reshape(-1), self.points)
        self.points, self.fresh_count = total, 0

    def take(self, is_taken: Bools) -> "Cells":
        """Return some of the cells; all are added up."""
        return Cells(self.keys[is_taken], self.points[is_taken])

    def drop(self, is_dropped: Bools) -> None:
        """Forget some of the cells."""
        self.keys, self.points = self.keys[~is_dropped], self.points[~is_dropped]

    def move(self, is_moved: Bools, part: Int64s) -> None:
        """Let some cells belong to other parts of time.

        Args:
            is_moved: shape (n,).
            part: of those that are, in their order.
        """
        cleared = self.keys[is_moved] & ~(PART_MAX << BIN_BITS)
        self.keys = self.keys.copy()
        self.keys[is_moved] = cleared | (part << BIN_BITS)
        self.fresh_count = max(self.fresh_count, 1)
        self.settle()

    def to_frame(self) -> pl.DataFrame:
        """Return all cells, added up, for the state's bytes."""
        self.settle()
        return pl.DataFrame({"key": self.keys, "points": self.points})

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> "Cells":
        """Return what `to_frame` wrote."""
        return cls(frame["key"].to_numpy().copy(), frame["points"].to_numpy().copy())


def category_counts(cells: Cells, table: Rows, rows: Int64s) -> Floats:
    """Count points in the categories of baselines.

    Args:
        cells: of streams among `rows`.
        table: `DISTRIBUTION_ROW`.
        rows: streams, ascending.

    Returns:
        Shape (len(rows), CATEGORY_MAX).
    """
    counts = np.zeros((len(rows), table["expected"].shape[1]))
    at = np.searchsorted(rows, cells.stream)
    places = categories(table[cells.stream], cells.bin)
    np.add.at(counts, (at, places), cells.points.astype(np.float64))
    return counts


def categories(rows: Rows, bins: Int64s) -> Int64s:
    """Return the category of each bin under the baseline in its row.

    A category is a span of bins; of classes it is one bin, and the last one is all the others.
    """
    place = (bins[:, None] > rows["upper"]).sum(axis=1)
    last = rows["category_count"].astype(np.int64) - 1
    at = np.minimum(place, rows["upper"].shape[1] - 1)
    is_known = rows["upper"][np.arange(len(rows)), at] == bins
    return np.where(rows["is_class"] & ~is_known, last, np.minimum(place, last))
