"""Arrays in lockstep: first where every item begins, then all items of all datums as one block."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from schemas.arrow_numbers import list_column
from schemas.avro_columns import column_type
from schemas.avro_shapes import least_bytes
from schemas.avro_strict import ARRAY_MAX_ITEMS
from schemas.lockstep_cursors import Cursors, Integers, Reading

NEWEST = pl.CompatLevel.newest()
LAYOUTS_MAX_COUNT, LAYOUT_MAX_ITEMS = 1000, 1000
LONELY_COUNT = 100
"""So many of the longest arrays of a block are not awaited by the others..."""
SHORT_ARRAY = 64
"""...unless they are short."""


@dataclass(frozen=True)
class Layout:
    """Where the items of an array begin and end, from its first item on, and their size."""

    start: Integers
    end: Integers
    size_bytes: int


class ArrayReading:
    """How arrays are read; see `Reading`.

    Args:
        plain: the array.
        item: how its items are read.
    """

    stride_bytes = 0

    def __init__(self, plain: Any, item: Reading) -> None:
        self._item = item
        self._item_min_bytes = least_bytes(plain["items"])
        self._type = column_type(plain)
        self._layouts: dict[int, Layout] = {}

    @property
    def layout_count(self) -> int:
        """Return how many layouts are remembered."""
        return len(self._layouts)

    def skip(self, cursors: Cursors) -> None:
        """Move the cursors over an array."""
        count = self._counts(cursors)
        self._walk(cursors, count)
        self._finish(cursors, count)

    def read(self, cursors: Cursors) -> pl.Series:
        """Move the cursors over an array and return the arrays as a column of lists."""
        count = self._counts(cursors)
        if not count.any():
            return pl.Series([[]], dtype=self._type).new_from_index(0, len(count))
        start, end = self._find(cursors, count)
        self._finish(cursors, count)
        owner = cursors.some(np.repeat(np.arange(len(count)), count))
        owner.at = start
        items = self._item.read(owner)
        is_misguessed = owner.at != end
        owner.stop(is_misguessed)
        if is_misguessed.any():
            self._layouts.clear()  # or a rare layout would stand in the way of a usual one
        return list_column(items.to_arrow(compat_level=NEWEST), count)

    def _counts(self, cursors: Cursors) -> Integers:
        """Return the items of each array; those that are left to others have none."""
        count = cursors.number()
        if not count.any():
            return count
        fitting = np.minimum((cursors.end - cursors.at) // self._item_min_bytes, ARRAY_MAX_ITEMS)
        is_left = (count < 0) | (count > fitting)
        longest = np.sort(np.where(is_left, 0, count))[-LONELY_COUNT - 1 :]
        usual = longest[0] if len(count) > LONELY_COUNT else 0
        is_left |= count > max(usual, SHORT_ARRAY)
        cursors.stop(is_left)
        return np.where(is_left, 0, count)

    def _find(self, cursors: Cursors, count: Integers) -> tuple[Integers, Integers]:
        """Skip arrays; return where each item begins and ends.

        Arrays of as many items with as many bytes before them usually have the same layout. One of
        each kind is walked, the others are taken to be like it; whoever reads the items sees
        whether that was right.
        """
        if not cursors.body.is_guessing:
            return self._walk(cursors, count)
        key = np.where(count == 0, 0, (count << 32) + cursors.end - cursors.at)
        _, model, kind = np.unique(key, return_index=True, return_inverse=True)
        if 2 * len(model) > len(key):
            return self._walk(cursors, count)
        layouts = self._layouts_of(key[model], cursors.some(model), count[model])
        size = np.array([layout.size_bytes for layout in layouts])
        first = np.cumsum([0, *(len(layout.start) for layout in layouts)])[kind]
        item = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
        origin = np.repeat(cursors.at, count)
        start = np.concatenate([layout.start for layout in layouts])[item] + origin
        end = np.concatenate([layout.end for layout in layouts])[item] + origin
        cursors.at = cursors.at + size[kind]
        return start, end

    def _layouts_of(self, keys: Integers, models: Cursors, count: Integers) -> list[Layout]:
        """Return the layout of each model, that of an earlier block where there is one."""
        is_new = np.array([key not in self._layouts for key in keys.tolist()])
        found = {key: self._layouts[key] for key in keys[~is_new].tolist()}
        if is_new.any():
            fresh = models.some(is_new)
            walked = self._walked(fresh, count[is_new])
            found |= dict(zip(keys[is_new].tolist(), walked, strict=True))
            if len(self._layouts) > LAYOUTS_MAX_COUNT:
                self._layouts.clear()
            is_kept = ~fresh.are_stopped & (count[is_new] <= LAYOUT_MAX_ITEMS)
            self._layouts |= {key: found[key] for key in keys[is_new][is_kept].tolist()}
        return [found[key] for key in keys.tolist()]

    def _walked(self, models: Cursors, count: Integers) -> list[Layout]:
        """Walk arrays and return their layouts; of one that is stopped, one that fits nothing."""
        begin, items = models.at, np.concatenate([[0], np.cumsum(count)])
        start, end = self._walk(models, count)
        is_right = ~models.are_stopped
        size = np.where(is_right, models.at - begin, 0)
        is_item_right = np.repeat(is_right, count)
        start = np.where(is_item_right, start - np.repeat(begin, count), 0)
        end = np.where(is_item_right, end - np.repeat(begin, count), -1)
        return [
            Layout(start[a:b], end[a:b], size_bytes)
            for (a, b), size_bytes in zip(pairwise(items.tolist()), size.tolist(), strict=True)
        ]

    def _walk(self, cursors: Cursors, count: Integers) -> tuple[Integers, Integers]:
        """Skip arrays item by item, those of all datums together."""
        start, end = np.empty((2, count.sum()), np.int64)
        if not len(start):
            return start, end
        order = np.argsort(-count, kind="stable")[: np.count_nonzero(count)]
        place = (np.cumsum(count) - count)[order]
        # How many arrays have a first item, a second item...
        lengths = -count[order]
        waiting = np.searchsorted(lengths, -np.arange(-lengths[0]), side="left")
        at, walker = cursors.at.copy(), cursors.some(order)
        for number, waiting_count in enumerate(waiting.tolist()):
            if waiting_count < len(walker.at):
                at[order[waiting_count : len(walker.at)]] = walker.at[waiting_count:]
                walker = walker.some(slice(waiting_count))
            items = place[:waiting_count] + number
            start[items] = walker.at
            self._item.skip(walker)
            walker.stop_beyond_end()
            end[items] = walker.at
        at[order[: len(walker.at)]] = walker.at
        cursors.at = at
        return start, end

    def _finish(self, cursors: Cursors, count: Integers) -> None:
        """Skip the ends of those arrays that have items: no further block may come."""
        index = np.flatnonzero(count)
        ends = cursors.some(index)
        is_more = ends.octet() != 0
        ends.stop(is_more)
        at = cursors.at.copy()
        at[index] = ends.at
        cursors.at = at
