"""Runs of equal neighbours in a column: where each begins and ends, and the ranks within it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from udfs.partition_clocks import Bools, Int64s


def run_starts(sorted_groups: NDArray[Any]) -> Bools:
    """Say which elements are the first of their run.

    >>> run_starts(np.array([4, 4, 7, 9, 9, 9])).tolist()
    [True, False, True, True, False, False]
    """
    is_first: Bools = np.ones(len(sorted_groups), np.bool_)
    is_first[1:] = sorted_groups[1:] != sorted_groups[:-1]
    return is_first


def run_ends(sorted_groups: NDArray[Any]) -> Bools:
    """Say which elements are the last of their run.

    >>> run_ends(np.array([4, 4, 7, 9, 9, 9])).tolist()
    [False, True, True, False, False, True]
    """
    return np.roll(run_starts(sorted_groups), -1)


def ranks_within(sorted_groups: NDArray[Any]) -> Int64s:
    """Return each element's position within its run.

    >>> ranks_within(np.array([4, 4, 7, 9, 9, 9])).tolist()
    [0, 1, 0, 0, 1, 2]
    """
    positions: Int64s = np.arange(len(sorted_groups), dtype=np.int64)
    first: Int64s = np.maximum.accumulate(np.where(run_starts(sorted_groups), positions, 0))
    return positions - first
