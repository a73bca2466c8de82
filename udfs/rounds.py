"""The rounds of a block: the first atom of every device, then the second, and so on."""

import numpy as np
from numpy.typing import NDArray

from udfs.partition_clocks import Bools, Int64s
from udfs.runs import ranks_within


def rounds_of(
    row: Int64s, time_ms: Int64s, *, is_change: Bools, is_last: Bools
) -> list[NDArray[np.int64]]:
    """Split atoms into rounds with at most one of each device, in the order of its time.

    What falls on one instant: changes, then those that come last of them, then contacts.

    Args:
        row: number of each atom's device, shape (n,).
        time_ms: where it falls on the clock of its partition.
        is_change: whether it is no contact.
        is_last: which changes come after the other ones.

    Returns:
        The places of the atoms, round by round.

    >>> no = np.zeros(3, np.bool_)
    >>> rounds = rounds_of(np.array([7, 7, 8]), np.array([5, 4, 6]), is_change=no, is_last=no)
    >>> [places.tolist() for places in rounds]
    [[1, 2], [0]]
    """
    order = np.lexsort((np.arange(len(row)), is_last, ~is_change, time_ms, row))
    rank = ranks_within(row[order])
    by_rank = order[np.argsort(rank, kind="stable")]
    return np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])
