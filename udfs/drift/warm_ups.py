"""Windows that are kept until a stream's baseline can be learned from them.

    windows      1 ........ 100 ................ 250 .................. 1000
                 kept as    scale is known:      a provisional          the baseline,
                 they are   kept as codes        baseline               nothing is kept

A stream in its warm-up takes 800 bytes at first, then one byte a window; afterwards none.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udfs.drift.value_codes import NO_VALUE, Y_OF_CODE, Codes, codes_of
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s
from udfs.runs import run_starts

SAMPLE_COUNT = 100
"""Windows from which a stream's location and scale are learned."""
NORMAL_QUARTILE_SPAN = 1.349
GAP_SLOTS_RATIO = 0.25
NO_SLOT = -1
SMALLEST_SCALE = 1e-6
SCALE_OF_CONSTANT = 1e-3


def location_and_scale(sample: Floats) -> tuple[Floats, Floats]:
    """Return median and rough standard deviation of each row; the latter is above 0.

    Args:
        sample: shape (n, n_windows).

    >>> [each.tolist() for each in location_and_scale(np.array([[7.0, 7.0, 7.0]]))]
    [[7.0], [0.007]]
    """
    location = np.median(sample, axis=1)
    lower, upper = np.quantile(sample, [0.25, 0.75], axis=1)
    by_quartiles = (upper - lower) / NORMAL_QUARTILE_SPAN
    # Deviations are scaled before they are squared: a value of 1e300 must not overflow.
    reach = np.maximum(np.abs(sample - location[:, None]).max(axis=1), np.finfo(np.float64).tiny)
    by_squares = reach * ((sample - location[:, None]) / reach[:, None]).std(axis=1)
    of_constant = np.maximum(np.abs(location) * SCALE_OF_CONSTANT, SMALLEST_SCALE)
    smallest = np.abs(location) * np.finfo(np.float64).eps * 4
    scale = np.where(by_quartiles > smallest, by_quartiles, by_squares)
    return location, np.where(scale > smallest, scale, of_constant)


@dataclass
class WarmUps:
    """A slot for each stream that still learns.

    Args:
        slot_size: codes that a slot holds, gaps included.
        has_times: whether the start of each window is kept too: a season needs it.
    """

    slot_size: int
    has_times: bool
    sample: Floats = field(init=False)
    codes: NDArray[np.uint8] = field(init=False)
    times_ms: Int64s = field(init=False)
    used: Int64s = field(init=False)
    free: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sample = np.zeros((0, SAMPLE_COUNT))
        self.codes = np.zeros((0, self.slot_size), np.uint8)
        self.times_ms = np.zeros((0, self.slot_size if self.has_times else 0), np.int64)
        self.used = np.zeros(0, np.int64)

    def take_slots(self, count: int) -> Int64s:
        """Return slots that are empty now."""
        missing = count - len(self.free)
        if missing > 0:
            self._grow(max(missing, len(self.used) // 2))
        slots = np.array([self.free.pop() for _ in range(count)], np.int64)
        self.used[slots] = 0
        return slots

    def _grow(self, count: int) -> None:
        first = len(self.used)
        for name in ("sample", "codes", "times_ms", "used"):
            column: NDArray[Any] = getattr(self, name)
            more = np.zeros((count, *column.shape[1:]), column.dtype)
            setattr(self, name, np.concatenate([column, more]))
        self.free.extend(range(first + count - 1, first - 1, -1))

    def release(self, slots: Int64s) -> None:
        """Give slots back."""
        self.free.extend(slots.tolist())

    def add_codes(self, slots: Int64s, codes: Codes, start_ms: Int64s, is_next: Bools) -> None:
        """Keep windows, each behind a mark where windows are missing before it.

        Args:
            slots: of each window; those of one slot lie together, in the order of time.
            codes: of their values.
            start_ms: of each window.
            is_next: whether it follows the one before without a gap.
        """
        is_first = run_starts(slots)
        has_mark = ~is_next & ~(is_first & (self.used[slots] == 0))
        taken = np.cumsum(1 + has_mark)
        before = np.maximum.accumulate(np.where(is_first, taken - 1 - has_mark, 0))
        at = self.used[slots] + taken - before - 1
        fits = at < self.slot_size
        marks = has_mark & (at - 1 < self.slot_size)
        self.codes[slots[marks], at[marks] - 1] = NO_VALUE
        self.codes[slots[fits], at[fits]] = codes[fits]
        if self.has_times:
            self.times_ms[slots[fits], at[fits]] = start_ms[fits]
        np.maximum.at(self.used, slots, np.minimum(at + 1, self.slot_size))

    def recode(self, slots: Int64s, location: Floats, scale: Floats) -> None:
        """Turn the windows of full samples into codes."""
        y = (self.sample[slots] - location[:, None]) / scale[:, None]
        self.codes[slots[:, None], np.arange(SAMPLE_COUNT)] = codes_of(y)

    def values_of(self, slot: int) -> tuple[Floats, Int64s, Bools]:
        """Return values, times (none without seasons), and which have no gap before them."""
        codes = self.codes[slot, : self.used[slot]]
        has_value = codes != NO_VALUE
        is_next = np.concatenate([[False], has_value[:-1]])[has_value]
        times = self.times_ms[slot, : self.used[slot]][has_value] if self.has_times else np.zeros(0)
        return Y_OF_CODE[codes[has_value]], times.astype(np.int64), is_next
