"""Rates (D3): points that are missing, NaN or out of range; `shares.py` has the arithmetic."""

import numpy as np

from udfs.drift.alarms import Turns
from udfs.drift.observations import Observations
from udfs.drift.row_tables import Rows, gather, scatter
from udfs.drift.shares import SHARE_ROW, RatePolicy, Trials, judge_share

RATES = ("missing", "nan", "out_of_range")
RATES_ROW = np.dtype([(name, SHARE_ROW) for name in RATES])
"""The three rates that every window carries: 123 bytes."""


def empty_rates(count: int) -> Rows:
    """Return the state of streams of which nothing was seen, shape (count,), `RATES_ROW`."""
    return np.zeros(count, RATES_ROW)


def update_rates(table: Rows, seen: Observations, policy: RatePolicy) -> Turns:
    """Judge missing, NaN and out-of-range points of one window a stream.

    Args:
        table: `RATES_ROW` of all streams; the rows of `seen.stream` are changed.
        seen: at most one window a stream.
        policy: the budget.

    Returns:
        Alarms `missing_rate`, `nan_rate`, `out_of_range_rate`; before and after are shares, the
        latter since the rise began.
    """
    bad = {
        "missing": seen.missing_count,
        "nan": seen.nan_count,
        "out_of_range": seen.out_of_range_count,
    }
    expected = seen.count + sum(bad.values())
    rows = gather(table, seen.stream)
    turns = [
        judge_share(rows[name], Trials(seen, bad[name], expected, f"{name}_rate"), policy)
        for name in RATES
    ]
    scatter(table, seen.stream, rows)
    return Turns.of(turns)
