"""Windows as sums of their deltas: one pane for each start of a window, one cell for each series.

    pane 12:00   series 0 1 4 7 ...      cell = count, exact sum, minimum, maximum, histogram
    pane 12:05   series 0 1 2 4 ...      (CELL is 49 bytes, its series 8)

Sums are integers of 128 bits as two limbs, so any order of deltas gives the same cell (law L1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udfs.cell_sums import SUM_SCALE
from udfs.histogram import Histogram, merge_histograms, quantile
from udfs.partition_clocks import Bools, Int64s, Rows
from udfs.threshold_book import QUANTILES, is_beyond
from udfs.wide_integers import LIMB_BITS

CELL = np.dtype(
    [
        ("count", "<i8"),
        ("sum_high", "<i8"),
        ("sum_low", "<u8"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("touched_ms", "<i8"),  # input clock of the last delta
        ("is_judged", "?"),
    ]
)
PARTS_MAX_COUNT = 16
"""Histograms of deltas that are kept side by side before they are added up."""
SLACK_RATIO, SLACK = 1e-12, 1e-11
"""More than what sums of limbs as floats are off; who lies within is looked at exactly."""


def add_cells(left: Rows, right: Rows) -> Rows:
    """Return sums of cells, shape (n,) each; the later touch, judged when `left` is."""
    total = left.copy()
    total["count"] += right["count"]
    total["sum_low"] += right["sum_low"]
    carry = (total["sum_low"] < right["sum_low"]).astype(np.int64)
    total["sum_high"] += right["sum_high"] + carry
    total["min"] = np.minimum(left["min"], right["min"])
    total["max"] = np.maximum(left["max"], right["max"])
    total["touched_ms"] = np.maximum(left["touched_ms"], right["touched_ms"])
    return total


@dataclass
class Pane:
    """All windows of one start and length.

    Args:
        series: ascending, shape (n,).
        cells: CELL of each.
        histograms: of series that a rule asks for a quantile: the parts not added up yet.
    """

    start_ms: int
    window_ms: int
    series: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    cells: Rows = field(default_factory=lambda: np.zeros(0, CELL))
    histograms: dict[int, list[Histogram]] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """Return the first instant after the windows."""
        return self.start_ms + self.window_ms

    @property
    def unjudged_count(self) -> int:
        """Return how many windows are not complete yet."""
        return len(self.cells) - int(np.count_nonzero(self.cells["is_judged"]))

    def mark_judged(self, places: Int64s) -> None:
        """Note that windows are complete."""
        self.cells["is_judged"][places] = True

    def places_of(self, series: Int64s) -> tuple[Int64s, Bools]:
        """Return where series are or would be, and whether they are there."""
        place = np.searchsorted(self.series, series)
        is_inside = place < len(self.series)
        is_found = np.zeros(len(series), dtype=bool)
        is_found[is_inside] = self.series[place[is_inside]] == series[is_inside]
        return place.astype(np.int64), is_found

    def add(self, series: Int64s, cells: Rows) -> None:
        """Add cells, each series at most once and ascending."""
        place, is_found = self.places_of(series)
        at = place[is_found]
        self.cells[at] = add_cells(self.cells[at], cells[is_found])
        if not is_found.all():
            at, fresh = place[~is_found], cells[~is_found]
            self.series = np.insert(self.series, at, series[~is_found])
            self.cells = np.insert(self.cells, at, fresh)

    def add_histogram(self, series: int, part: Histogram) -> None:
        """Add a histogram to that of a series."""
        parts = self.histograms.setdefault(series, [])
        parts.append(part)
        if len(parts) > PARTS_MAX_COUNT:
            self.histograms[series] = [reduce(merge_histograms, parts)]

    def keep(self, is_kept: Bools) -> None:
        """Drop all other cells."""
        for series in self.series[~is_kept].tolist():
            self.histograms.pop(series, None)
        self.series, self.cells = self.series[is_kept], self.cells[is_kept]

    def figure(self, place: int, aggregate: str) -> float:
        """Return the figure of one cell, exact up to the last rounding; its count is over 0."""
        cell = self.cells[place]
        total = (int(cell["sum_high"]) << LIMB_BITS) + int(cell["sum_low"])
        if aggregate == "mean":
            mean = total / (int(cell["count"]) * int(SUM_SCALE))
            # The sum's last binary place may put the mean of equal values beyond them.
            return min(max(mean, float(cell["min"])), float(cell["max"]))
        if aggregate == "sum":
            return total / int(SUM_SCALE)
        if aggregate in QUANTILES:
            return self._quantile(place, QUANTILES[aggregate])
        return float(cell[aggregate])

    def _quantile(self, place: int, q: float) -> float:
        series, cell = int(self.series[place]), self.cells[place]
        merged = reduce(merge_histograms, self.histograms[series])
        self.histograms[series] = [merged]
        found = quantile(
            list(merged), list(merged.values()), q,
            smallest=float(cell["min"]), largest=float(cell["max"]),
        )  # fmt: skip
        assert found is not None, "a cell with points has a histogram"
        return found


def may_break(cells: Rows, aggregate: str, operator: str, limit: float) -> Bools:
    """Return which cells may be on the bad side of a limit, none that is missing.

    Most windows are good, and their minimum or maximum says so: nothing else is worked out then.
    """
    is_upward = operator[0] == ">"
    if aggregate == "count":
        return _is_beyond(cells["count"], operator, limit)
    if aggregate == "sum":
        return _is_beyond(_widened(_sums(cells), is_upward), operator, limit)
    edge = aggregate if aggregate in ("min", "max") else "max" if is_upward else "min"
    found = _is_beyond(cells[edge], operator, limit)
    if aggregate == "mean" and found.any():
        mean = _sums(cells) / cells["count"]
        found &= _is_beyond(_widened(mean, is_upward), operator, limit)
    return found


def _is_beyond(values: NDArray[Any], operator: str, limit: float) -> Bools:
    found: Bools = np.asarray(is_beyond(values, operator, limit), dtype=np.bool_)
    return found


def _sums(cells: Rows) -> NDArray[Any]:
    high = cells["sum_high"].astype(np.float64) * 2.0**LIMB_BITS
    return (high + cells["sum_low"].astype(np.float64)) / SUM_SCALE


def _widened(values: NDArray[Any], is_upward: bool) -> NDArray[Any]:  # noqa: FBT001 - a direction
    slack = np.abs(values) * SLACK_RATIO + SLACK
    widened: NDArray[Any] = values + slack if is_upward else values - slack
    return widened


def histogram_of(bins: Iterable[int], counts: Iterable[int]) -> Histogram:
    """Return a delta's sparse histogram."""
    return dict(zip(bins, counts, strict=True))
