"""The time of the `windows` topic: how far telemetry was summed where a message stands in the log.

    windows 0   r r M12:00:05 r r M12:00:10 r      r = rows, M = mark of some telemetry partitions
                    └─12:00:05─┘  └─12:00:10─      the rows' time

The time of a partition of windows is the lowest of the telemetry partitions that its marks name, as
of the last mark; it never goes back. What stands before the first marks of all has no time.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from udfs.partition_clocks import UNKNOWN_MS, Int64s

MARK_SCHEMA: dict[str, Any] = {
    "partition": pl.Int32,  # of windows
    "offset": pl.Int64,
    "source": pl.Int32,  # partition of telemetry
    "source_count": pl.Int32,
    "clock_ms": pl.Int64,
}


@dataclass
class PartitionTime:
    """What the marks of one partition of windows have said.

    Args:
        clock_ms: never goes back; `UNKNOWN_MS` until all sources are heard.
        sources: append time of the last tick, by telemetry partition.
    """

    clock_ms: int = UNKNOWN_MS
    sources: dict[int, int] = field(default_factory=dict)

    def after(self, marks: pl.DataFrame) -> Int64s:
        """Read marks; return the time after each, shape (n,).

        Args:
            marks: `MARK_SCHEMA` of this partition, in offset order.
        """
        source, clock_ms = marks["source"].to_numpy(), marks["clock_ms"].to_numpy()
        names = sorted({*self.sources, *source.tolist()})
        heard = np.full((len(marks) + 1, len(names)), UNKNOWN_MS, np.int64)
        heard[0] = [self.sources.get(name, UNKNOWN_MS) for name in names]
        heard[np.arange(1, len(marks) + 1), np.searchsorted(names, source)] = clock_ms
        heard = np.maximum.accumulate(heard, axis=0)
        self.sources = dict(zip(names, heard[-1].tolist(), strict=True))
        has_all = (heard[1:] != UNKNOWN_MS).sum(axis=1) >= marks["source_count"].to_numpy()
        lowest = np.where(has_all, heard[1:].min(axis=1), UNKNOWN_MS)
        times: Int64s = np.maximum.accumulate(np.append(self.clock_ms, lowest))[1:]
        self.clock_ms = int(times[-1])
        return times


@dataclass
class WindowClocks:
    """The times of all partitions of windows.

    Args:
        partitions: of `windows`, by number.
        timeless_count: rows that stood before the first marks of their partition.
    """

    partitions: dict[int, PartitionTime] = field(default_factory=dict)
    timeless_count: int = 0

    def times_of(self, marks: pl.DataFrame, partition: Int64s, offset: Int64s) -> Int64s:
        """Read marks of a block; return the time at each of its rows, shape (n,).

        Args:
            marks: `MARK_SCHEMA`, in offset order within a partition.
            partition: of each row.
            offset: of each row.
        """
        times = np.full(len(partition), UNKNOWN_MS, np.int64)
        for number in sorted({*marks["partition"].to_list(), *np.unique(partition).tolist()}):
            known = self.partitions.setdefault(number, PartitionTime())
            own = marks.filter(pl.col("partition") == number)
            before_ms = known.clock_ms
            steps = np.append(before_ms, known.after(own) if len(own) else own["clock_ms"])
            is_own = partition == number
            times[is_own] = steps[np.searchsorted(own["offset"].to_numpy(), offset[is_own])]
        return times

    def timed(self, rows: pl.DataFrame, marks: pl.DataFrame, column: str) -> pl.DataFrame:
        """Read marks of a block; return its rows with their time, and count those without one.

        Args:
            rows: with partition and offset.
            marks: as `times_of` takes them.
            column: name of the time.
        """
        places = (rows[name].to_numpy() for name in ("partition", "offset"))
        times = self.times_of(marks, *places)
        is_known = times != UNKNOWN_MS
        self.timeless_count += int((~is_known).sum())
        return rows.with_columns(pl.Series(column, times, pl.Int64)).filter(pl.Series(is_known))

    def clock_ms(self, partition_count: int) -> int:
        """Return the time below which nothing more can come; unknown until all are heard.

        Args:
            partition_count: that `windows` had when the job was submitted.
        """
        clocks = [known.clock_ms for known in self.partitions.values() if known.sources]
        return min(clocks) if len(clocks) >= partition_count else UNKNOWN_MS

    def to_values(self) -> list[Any]:
        """Return the times for the state's bytes; the count is written beside them."""
        return [
            [number, known.clock_ms, list(known.sources.items())]
            for number, known in self.partitions.items()
        ]

    @classmethod
    def from_values(cls, stored: list[Any], timeless_count: int) -> "WindowClocks":
        """Return what `to_values` wrote."""
        return cls(
            {
                number: PartitionTime(clock_ms, dict(sources))
                for number, clock_ms, sources in stored
            },
            timeless_count,
        )
