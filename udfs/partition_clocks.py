"""The input clocks: per partition, how far the log was read and where it could not be heard.

    partition 0   o-o-o-o-o-o                    o-o-o-o        o = a record, ticks included
                            |<---- blind ------->|<- grace ->|
                            clock_ms             first_ms     nobody newly offline before here

The clock of a partition is the highest append time read from it: it never goes back (C1). A stretch
of more than 30 s without a record, or a jump of offsets, is time in which we could not hear (C8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = NDArray[Any]
"""A structured array: one row a device or a partition."""

UNKNOWN_MS = -1
PARTITION_MAX = 32_766
"""Device rows keep the partition in 16 bits; -1 means not seen on any."""
OFFSET_BITS = 48
WAIT_MAX_MS = 300_000
"""A partition that speaks is waited for while its clock is behind by no more than this."""

PARTITION_ROW = np.dtype(
    [
        ("clock_ms", "i8"),
        ("next_offset", "i8"),
        ("first_ms", "i8"),
        ("blind_ms", "i8"),  # excused since the start of the observation
        ("grace_until_ms", "i8"),
        ("is_blind_told", "?"),
        ("heard_ms", "i8"),  # the highest clock of all partitions when a record of it last came
    ]
)

STRETCH_SCHEMA = {
    "partition": pl.Int64,
    "first_ms": pl.Int64,
    "last_ms": pl.Int64,
    "first_offset": pl.Int64,
    "last_offset": pl.Int64,
    "heard_ms": pl.Int64,  # highest append time of all partitions when its last record came
    "log": pl.String,  # its name
}


@dataclass(frozen=True)
class Stretches:
    """Contiguous parts of partitions, each array of shape (n,): at most one a partition a wave."""

    partition: Int64s
    first_ms: Int64s
    last_ms: Int64s
    first_offset: Int64s
    last_offset: Int64s
    heard_ms: Int64s

    def at(self, chosen: NDArray[Any]) -> "Stretches":
        """Return the chosen ones, by mask or index."""
        return Stretches(*(column[chosen] for column in self.__dict__.values()))


def record_clocks(append_time_ms: pl.Expr) -> pl.Expr:
    """Return the input clock at each record: the highest append time so far in its partition.

    Meant for rows of one block in offset order, with a column `partition`.
    """
    return append_time_ms.cum_max().over("partition")


def partition_stretches(
    records: pl.DataFrame, blind_after_ms: int, names: Mapping[int, str] = MappingProxyType({})
) -> pl.DataFrame:
    """Sum all records of a block up as contiguous stretches, for every shard to see.

    Args:
        records: columns partition (code), offset, append_time_ms (i64); every record of the block,
            ticks and rejected ones included, as they came: in offset order within a partition.
        blind_after_ms: a longer step between two records begins a new stretch.
        names: of partitions, by code, whose name is not their number.

    Returns:
        Columns of `STRETCH_SCHEMA`, in order of partition and offset. `last_ms` is the highest
        append time of the stretch.
    """
    if records.is_empty():
        return pl.DataFrame(schema=STRETCH_SCHEMA)
    clock = record_clocks(pl.col("append_time_ms"))
    step_ms = pl.col("append_time_ms") - clock.shift(1).over("partition")
    step_offset = pl.col("offset") - pl.col("offset").shift(1).over("partition")
    is_new = ((step_ms > blind_after_ms) | (step_offset > 1)).fill_null(value=False)
    numbered = records.with_columns(
        clock.alias("clock_ms"),
        is_new.cum_sum().over("partition").alias("stretch"),
        pl.col("append_time_ms").cum_max().alias("leading_ms"),
    )
    stretches = (
        numbered.group_by("partition", "stretch", maintain_order=True)
        .agg(
            first_ms=pl.col("append_time_ms").first(),
            last_ms=pl.col("clock_ms").last(),
            first_offset=pl.col("offset").first(),
            last_offset=pl.col("offset").last(),
            heard_ms=pl.col("leading_ms").last(),
        )
        .sort("partition", "first_offset")
    )
    log = [names.get(code, str(code)) for code in stretches["partition"].to_list()]
    return stretches.with_columns(log=pl.Series(log, dtype=pl.String)).select(
        pl.col(name).cast(kind) for name, kind in STRETCH_SCHEMA.items()
    )


def stretches_of(clocks: pl.DataFrame, index: Int64s) -> Stretches:
    """Take the columns of `STRETCH_SCHEMA` as arrays, ordered by partition and offset.

    Args:
        clocks: `STRETCH_SCHEMA`.
        index: where each row's partition is kept, shape (n,).
    """
    names = ("first_ms", "last_ms", "first_offset", "last_offset", "heard_ms")
    stretches = Stretches(index, *(clocks[name].to_numpy() for name in names))
    if len(clocks) > 1:
        stretches = stretches.at(np.lexsort((stretches.first_offset, stretches.partition)))
    return stretches


def position_keys(partition: Int64s, offset: Int64s) -> Int64s:
    """Return one integer that orders by partition, then offset."""
    return (partition << OFFSET_BITS) | offset


def empty_partitions() -> Rows:
    """Return the state of partitions before any input."""
    return np.zeros(0, dtype=PARTITION_ROW)


def restored_partitions(stored: Sequence[Sequence[Any]]) -> Rows:
    """Return the partitions that a state holds, in this or an earlier layout."""
    # Before it was known when a partition last came, its own clock was taken for that.
    width = len(PARTITION_ROW.names or ())
    return np.array([(*row, row[0])[:width] for row in stored], PARTITION_ROW)


def with_partitions(partitions: Rows, highest: int) -> Rows:
    """Return a copy that has a row for every partition up to `highest`."""
    missing = max(0, highest + 1 - len(partitions))
    fresh = np.zeros(missing, dtype=PARTITION_ROW)
    fresh["clock_ms"] = UNKNOWN_MS
    return np.concatenate([partitions, fresh])


def is_known(partitions: Rows) -> Bools:
    """Return which partitions were ever read."""
    known: Bools = partitions["clock_ms"] != UNKNOWN_MS
    return known


def is_behind(partitions: Rows, by_ms: int, column: str = "clock_ms") -> Bools:
    """Return which known partitions are behind the leading clock by more than this."""
    known = is_known(partitions)
    behind: Bools = known & (partitions["clock_ms"].max(initial=0) - partitions[column] > by_ms)
    return behind


def is_left_behind(partitions: Rows, blind_after_ms: int) -> Bools:
    """Return which known partitions are silent while another one runs on.

    One that keeps coming is not, where its leader's clock is merely behind: it is waited for, up to
    `WAIT_MAX_MS`. So this decides how long rows wait, and its own log whether it was blind: one
    that is read late by more than `blind_after_ms` looks the same as a silent one, and its gap, or
    that there is none, shows when it is read.
    """
    has_stopped = is_behind(partitions, blind_after_ms, "heard_ms")
    has_stopped |= is_behind(partitions, WAIT_MAX_MS)
    left: Bools = is_behind(partitions, blind_after_ms) & has_stopped
    return left


def slowest_ms(partitions: Rows) -> int:
    """Return the lowest clock of all partitions, silent ones included."""
    known = is_known(partitions)
    return int(partitions["clock_ms"][known].min()) if known.any() else UNKNOWN_MS


def low_clock_ms(partitions: Rows, blind_after_ms: int) -> int:
    """Return the instant below which no more transition can come: the slowest clock that runs."""
    return slowest_ms(partitions[~is_left_behind(partitions, blind_after_ms)])


def homeless_clock_ms(partitions: Rows) -> int:
    """Return the clock of a device never seen: it is late only where every partition says so.

    Its home is unknown, so each partition is asked with its own excused time; the answer is on the
    axis of the most excused partition, which `homeless_blind_ms` gives.
    """
    known = partitions[is_known(partitions)]
    if not len(known) or bool((known["clock_ms"] <= known["grace_until_ms"]).any()):
        return UNKNOWN_MS
    return int((known["clock_ms"] - known["blind_ms"]).min()) + int(known["blind_ms"].max())


def homeless_blind_ms(partitions: Rows) -> int:
    """Return the excused time of a device never seen: that of the most excused partition."""
    return int(partitions["blind_ms"].max()) if len(partitions) else 0


def clocks_by_partition(partitions: Rows) -> Int64s:
    """Return the clocks indexed by a device row's partition; index -1 is the homeless clock."""
    return np.append(partitions["clock_ms"], homeless_clock_ms(partitions))


def graces_by_partition(partitions: Rows) -> Int64s:
    """Return until when nobody is newly offline; index -1 is the latest of all partitions."""
    latest = partitions["grace_until_ms"].max() if len(partitions) else 0
    return np.append(partitions["grace_until_ms"], latest)
