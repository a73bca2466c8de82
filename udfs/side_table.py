"""What is remembered of a few devices only: rows beside theirs, in a shard's state."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from udfs.partition_clocks import Bools, Int64s, Rows


@dataclass
class SideTable:
    """Rows of some devices; a step works on a fork of it, in place.

    A kind of table says of what its rows are (`ROW`, with the device's number in `row`), and under
    what name they lie in the state (`NAME`).

    Args:
        rows: of `ROW`, ordered by the number of the device, at most one each.
    """

    ROW: ClassVar[np.dtype[Any]]
    NAME: ClassVar[str]

    rows: Rows

    @classmethod
    def empty(cls) -> Self:
        """Return no devices."""
        return cls(np.zeros(0, cls.ROW))

    def fork(self) -> Self:
        """Return a copy that can be changed."""
        return type(self)(self.rows.copy())

    def forget(self, index: Int64s) -> None:
        """Drop devices that are no more."""
        self.rows = self.rows[~np.isin(self.rows["row"], index)]

    def where(self, kept: Bools) -> Self:
        """Return it with those rows alone."""
        return self if kept.all() else type(self)(self.rows[kept])

    def slots(self, index: Int64s) -> tuple[Int64s, Bools]:
        """Return where the row of each device is, and whether it is there at all."""
        if not len(self.rows):
            return np.zeros(len(index), np.int64), np.zeros(len(index), np.bool_)
        slots = np.minimum(np.searchsorted(self.rows["row"], index), len(self.rows) - 1)
        is_known: Bools = self.rows["row"][slots] == index
        return slots, is_known

    def put(self, fresh: Rows) -> None:
        """Write rows of devices, at most one each, over those that are there."""
        slots, is_known = self.slots(fresh["row"].astype(np.int64))
        self.rows[slots[is_known]] = fresh[is_known]
        if not is_known.all():
            rows = np.concatenate([self.rows, fresh[~is_known]])
            self.rows = rows[np.argsort(rows["row"], kind="stable")]
            assert bool((np.diff(self.rows["row"]) > 0).all()), "one row a device"

    def to_frames(self) -> dict[str, pl.DataFrame]:
        """Return the rows as one column of bytes; nothing where there are none."""
        if not len(self.rows):
            return {}
        return {self.NAME: pl.DataFrame({"bytes": np.frombuffer(self.rows.tobytes(), np.uint8)})}

    @classmethod
    def from_frames(cls, frames: dict[str, pl.DataFrame]) -> Self:
        """Return what `to_frames` wrote; of a state without it, no devices."""
        if cls.NAME not in frames:
            return cls.empty()
        stored = frames[cls.NAME]["bytes"].to_numpy().tobytes()
        return cls(np.frombuffer(stored, cls.ROW).copy())
