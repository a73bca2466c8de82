"""Windows of devices, gathered look by look: what a device is judged by.

A unit is one metric of one device in one version and one stratum during one look. Its windows lie
in slots by their time, so the order in which they come does not matter, and a second copy of a
window finds its slot taken: the first row of the log counts, however the log is cut.

    look 0                      look 1                    slots of a unit
    |0 1 2 ...           59|    |0 1 2 ...                finite: mean of the window
    ^ first whole window of the rollout                   inf: a window without any finite point
                                                          NaN: no window
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.histogram import Floats
from udfs.partition_clocks import Int64s

UNIT_KEY = {
    "tenant_id": pl.String,
    "rollout_id": pl.String,
    "look": pl.Int64,
    "metric": pl.String,
    "device_id": pl.String,
    "is_treatment": pl.Boolean,
    "stratum": pl.String,
}
PLACED = {
    **UNIT_KEY,
    "slot": pl.Int64,
    "value": pl.Float64,  # of a window; inf when it has no finite point
    "count": pl.Int64,
    "bad_count": pl.Int64,
}
"""Windows that count, in the order of the log."""

NO_VALUE = np.inf


@dataclass(frozen=True)
class Units:
    """Units of looks that are not judged yet.

    Args:
        keys: columns `UNIT_KEY`, n rows, each once.
        slots: shape (n, look_windows), as drawn above.
        counts: points that are finite and that are not, shape (n, 2).
    """

    keys: pl.DataFrame
    slots: Floats
    counts: Int64s

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, places: Int64s) -> "Units":
        """Return some units."""
        return Units(self.keys[places], self.slots[places], self.counts[places])

    def sorted(self) -> "Units":
        """Return them in the one order that does not depend on how they came."""
        order = self.keys.with_row_index("at").sort(*UNIT_KEY)["at"]
        return self.take(order.to_numpy().astype(np.int64))


def no_units(look_windows: int) -> Units:
    """Return none."""
    slots, counts = np.zeros((0, look_windows)), np.zeros((0, 2), np.int64)
    return Units(pl.DataFrame(schema=UNIT_KEY), slots, counts)


def with_windows(units: Units, placed: pl.DataFrame) -> tuple[Units, int]:
    """Add windows, and count those that were there already.

    Args:
        units: stay as they are.
        placed: columns `PLACED`.
    """
    if placed.is_empty():
        return units, 0
    keys, unit = _numbered(units.keys, placed)
    grown = _grown(units, keys)
    slot = placed["slot"].to_numpy()
    _, first = np.unique(unit * grown.slots.shape[1] + slot, return_index=True)
    first = first[np.isnan(grown.slots[unit[first], slot[first]])]
    unit, slot = unit[first], slot[first]
    grown.slots[unit, slot] = placed["value"].to_numpy()[first]
    for column, name in enumerate(("count", "bad_count")):
        points = placed[name].to_numpy()[first]
        # Floats are exact here: a window has far fewer than 2^53 points.
        grown.counts[:, column] += np.bincount(unit, points, len(grown)).astype(np.int64)
    return grown, len(placed) - len(first)


def merged(left: Units, right: Units) -> Units:
    """Put together units that are different ones."""
    keys = pl.concat([left.keys, right.keys])
    slots = np.concatenate([left.slots, right.slots])
    return Units(keys, slots, np.concatenate([left.counts, right.counts]))


def _numbered(keys: pl.DataFrame, placed: pl.DataFrame) -> tuple[pl.DataFrame, Int64s]:
    """Return the keys with those that are new behind them, and the unit of each window."""
    unit = _places(keys, placed)
    strangers = placed.filter(unit.is_null()).select(*UNIT_KEY)
    if len(strangers):
        keys = pl.concat([keys, strangers.unique(maintain_order=True)])
        unit = _places(keys, placed)
    return keys, unit.to_numpy()


def _grown(units: Units, keys: pl.DataFrame) -> Units:
    """Return a copy with room for these keys."""
    more = len(keys) - len(units)
    empty = np.full((more, units.slots.shape[1]), np.nan)
    counts = np.concatenate([units.counts, np.zeros((more, 2), np.int64)])
    return Units(keys, np.concatenate([units.slots, empty]), counts)


def _places(keys: pl.DataFrame, placed: pl.DataFrame) -> pl.Series:
    """Return the unit of each window, null where it is none of these."""
    numbered = keys.with_columns(unit=pl.int_range(pl.len(), dtype=pl.Int64))
    found = placed.select(*UNIT_KEY).join(
        numbered, on=list(UNIT_KEY), how="left", maintain_order="left"
    )
    return found["unit"]
