"""What D2 remembers of a stream: one record; the histograms lie beside it (`cells.py`)."""

import numpy as np

from udfs.drift.row_tables import Rows
from udfs.partition_clocks import Bools

CATEGORY_MAX = 12
"""Ten bins of equal share, or eleven classes and all others."""
NO_BIN = np.iinfo(np.int32).max
NEVER_MS = np.iinfo(np.int64).min

NULL_LAW = np.dtype(
    [
        ("block_count", "<u4"),  # blocks learned from
        ("points", "<f8"),  # in all of them
        ("psi_sum", "<f8"),
        ("psi_square", "<f8"),  # sum of squares
        ("psi_lag", "<f8"),  # sum of products of each with the one before
        ("psi_last", "<f4"),
        ("psi_max", "<f4"),
    ]
)
"""How much blocks of one length differ from the baseline while all is well: 44 bytes."""

DISTRIBUTION_ROW = np.dtype(
    [
        ("is_class", "?"),  # whether values are names of classes
        ("category_count", "u1"),  # of the baseline, 0 before there is one
        ("gathered_hours", "u1"),  # hours with a window, before there is one
        ("open_ms", "<i8"),  # start of the open hour
        ("open_windows", "<u2"),  # windows in it
        ("window_ms", "<i4"),  # length of the last window
        ("from_ms", "<i8"),  # start of the first hour of the baseline
        ("until_ms", "<i8"),  # end of its last one
        ("baseline_windows", "<u4"),  # windows in it
        ("upper", "<i4", (CATEGORY_MAX - 1,)),  # last bin of each category, or the class itself
        ("expected", "<f8", (CATEGORY_MAX,)),  # points of the baseline in each category
        ("figures", "<f4", (7,)),  # mean, sigma, least, p05, p50, p95, largest of the baseline
        ("hour", NULL_LAW),
        ("day", NULL_LAW),
        ("quarter_hours", "u1", (4,)),  # hours with a window, by number of the quarter modulo 4
        ("suspect_ms", "<i8"),  # start of the first hour of those that look odd, in a row
        ("is_partial", "?"),  # whether devices seem to be missing from the last hour, or new
        ("opened_rank", "u1"),  # place in RANKS of the worst finding of the open alarm; 0: none
        ("opened_ms", "<i8"),  # end of the block that opened it
        ("is_of_day", "?"),  # whether that was a day
        ("calm_count", "u1"),  # blocks of that length since that were calm
        ("quiet_until_ms", "<i8"),  # nobody is paged before
    ]
)
TIMES = ("open_ms", "from_ms", "until_ms", "suspect_ms", "opened_ms", "quiet_until_ms")


def empty_distributions(is_class: Bools) -> Rows:
    """Return records of streams of which nothing was seen.

    Args:
        is_class: whether the values of each are names of classes, shape (n,).
    """
    rows = np.zeros(len(is_class), DISTRIBUTION_ROW)
    rows["is_class"] = is_class
    rows["upper"] = NO_BIN
    for name in TIMES:
        rows[name] = NEVER_MS
    return rows
