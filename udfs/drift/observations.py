"""What a detector looks at: complete windows, at most one of each stream at a time.

A stream is one metric of one subject: a device, or a group. A batch of windows is cut into rounds,
so that every detector is one step over columns:

    windows     A1 A2 A3 B1 B2          rounds     (A1 B1) (A2 B2) (A3)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.runs import ranks_within


@dataclass(frozen=True)
class Observations:
    """Complete windows as columns, each of shape (n,).

    Args:
        stream: row of the window's stream in the tables of the detectors.
        start_ms: first instant of the window, event time, UTC.
        value: mean of the finite points; NaN when there is none.
        count: finite points.
        missing_count: points announced but absent.
        nan_count: points refused as NaN or infinite.
        out_of_range_count: points refused for their magnitude.
        window_ms: length of each window.
    """

    stream: Int64s
    start_ms: Int64s
    value: Floats
    count: Int64s
    missing_count: Int64s
    nan_count: Int64s
    out_of_range_count: Int64s
    window_ms: Int64s

    def __len__(self) -> int:
        return len(self.stream)

    def take(self, places: Int64s | Bools) -> "Observations":
        """Return some of the windows, by their places or by a mask."""
        return replace(self, **{name: column[places] for name, column in self._columns().items()})

    def rounds(self) -> Iterator["Observations"]:
        """Cut into rounds: the first window of every stream, then the second, and so on."""
        return (self.take(places) for places in round_places(self))

    @property
    def has_value(self) -> Bools:
        """Say of each window whether it has a finite point."""
        return ~np.isnan(self.value)

    def _columns(self) -> dict[str, Any]:
        return dict(vars(self))


def round_places(seen: Observations) -> Iterator[Int64s]:
    """Yield the places of the windows of each round; each round in the order of streams."""
    order = np.lexsort((seen.start_ms, seen.stream))
    rank = ranks_within(seen.stream[order])
    by_rank = order[np.argsort(rank, kind="stable")]
    ends = np.cumsum(np.bincount(rank, minlength=1))[:-1]
    return (places for places in np.split(by_rank, ends) if len(places))
