"""Histograms of one fixed layout: log-linear, sign-aware, merged by adding integers.

Layout version 1. Each power of two from 2^-20 to 2^40 is cut into 64 bins of equal width; a bin is
the exponent and the first six mantissa bits of the float, so finding it is exact integer
arithmetic and the same on every machine:

      0        2^-20          2^-19                       2^39            2^40
      |  bin 0  | 1 | 2 |..| 64 | 65 | ...           ... | 3777 | .. | 3840 |

Negative values take the negated index; bin 0 holds every |value| < 2^-20. A bin is represented by
its middle, which is at most 1/128 (0.78 %) of the value away: a bin is 1/64 as wide as the power
of two it starts in. Values of bin 0 are off by at most 2^-20, about 1e-6. A middle may lie outside
of what was seen: a quantile is clamped into [min, max] of its window, which brings it nearer.

References:
    HdrHistogram (Tene): linear sub-buckets in each power of two.
    Masson et al. 2019, DDSketch, VLDB 12(12): relative error as the contract of a quantile sketch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Histogram: TypeAlias = Mapping[int, int]

LAYOUT_VERSION = 1
BINS_PER_OCTAVE = 64
SMALLEST = 2.0**-20
RELATIVE_ERROR = 1 / (2 * BINS_PER_OCTAVE)

BIN_MAX = 60 * BINS_PER_OCTAVE
"""Of values below 2^40."""

_MANTISSA_SHIFT = 52 - 6
_FIRST_BIN = (int(np.float64(SMALLEST).view(np.int64)) >> _MANTISSA_SHIFT) - 1


def bin_index(values: Floats) -> npt.NDArray[np.int32]:
    """Return the bin of each finite value.

    Args:
        values: shape (n,), finite.

    Returns:
        Shape (n,): 0 for |value| < 2^-20, else positive or negative as the value is.

    >>> bin_index(np.array([0.0, 1.0, 1.016, -1.0, 1e-9])).tolist()
    [0, 1281, 1282, -1281, 0]
    """
    magnitude = np.abs(values)
    index = (magnitude.view(np.int64) >> _MANTISSA_SHIFT) - _FIRST_BIN
    index = np.where(magnitude < SMALLEST, 0, index)
    return np.where(values < 0, -index, index).astype(np.int32)


def bin_value(index: npt.NDArray[Any]) -> Floats:
    """Return the value that represents each bin: the middle of its edges, 0 for bin 0.

    >>> bin_value(np.array([0, 1281, -1281])).tolist()
    [0.0, 1.0078125, -1.0078125]
    """
    magnitude = np.abs(index.astype(np.int64))
    lower = ((magnitude + _FIRST_BIN) << _MANTISSA_SHIFT).view(np.float64)
    upper = ((magnitude + _FIRST_BIN + 1) << _MANTISSA_SHIFT).view(np.float64)
    middle = np.where(magnitude == 0, 0.0, (lower + upper) / 2)
    return np.where(index < 0, -middle, middle)


def quantile(
    bins: Sequence[int], counts: Sequence[int], q: float, *, smallest: float, largest: float
) -> float | None:
    """Return the q-quantile of a window: the value of rank ceil(q * n), at least 1.

    Args:
        bins: indices of the bins that are not empty, ascending.
        counts: points in each, same order.
        q: 0 to 1.
        smallest: minimum of the window.
        largest: maximum of the window.

    Returns:
        A value in [smallest, largest], within `RELATIVE_ERROR` of the exact one, or within 2^-20
        where that one is smaller than 2^-20; None when the histogram is empty.

    >>> quantile([1281, 1345], [1, 1], 0.5, smallest=1.0, largest=2.0)
    1.0078125
    >>> quantile([1281], [7], 0.5, smallest=1.0, largest=1.0)
    1.0
    """
    assert 0 <= q <= 1
    cumulated = np.cumsum(np.asarray(counts, dtype=np.int64))
    if cumulated.size == 0:
        return None
    rank = max(1, int(np.ceil(q * int(cumulated[-1]))))
    found = int(np.searchsorted(cumulated, rank))
    middle = float(bin_value(np.asarray(bins[found : found + 1]))[0])
    return min(max(middle, smallest), largest)


def merge_histograms(left: Histogram, right: Histogram) -> Histogram:
    """Add two sparse histograms; commutative and associative, for counts are integers.

    Args:
        left: bin -> points in it, layout 1, every count above 0.
        right: as `left`.

    >>> merge_histograms({1: 2}, {1: 1, -4: 5})
    {-4: 5, 1: 3}
    """
    bins = sorted(left.keys() | right.keys())
    return {index: left.get(index, 0) + right.get(index, 0) for index in bins}
