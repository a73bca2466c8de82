"""What D1 remembers of a stream: one record, most of it the frozen baseline."""

from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udfs.drift.baselines import BIN_COUNT
from udfs.drift.e_sr import COMPONENT_COUNT

Table: TypeAlias = NDArray[Any]

RECENT_COUNT = 64
LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
NEVER_MS = np.iinfo(np.int64).min


class Phase(IntEnum):
    """How far a stream has come."""

    SAMPLING = 0
    CODING = 1
    PROVISIONAL = 2
    FROZEN = 3


SHIFT_ROW = np.dtype(
    [
        ("phase", np.uint8),
        ("slot", np.int32),  # of the warm-up, -1 without one
        ("observation_count", np.uint32),  # in the warm-up
        ("location", np.float64),  # median of the sample, unit of the metric
        ("scale", np.float64),  # rough standard deviation, unit of the metric
        ("expected_ms", np.int64),  # start of the window that would follow without a gap
        ("before_y", np.float64),  # value of the window before, in scales
        ("from_ms", np.int64),  # start of the first window of the baseline
        ("until_ms", np.int64),  # end of its last
        ("phi", np.float32),
        ("variance_ratio", np.float32),
        ("edges", np.float32, (BIN_COUNT - 1,)),
        ("counts", np.uint16, (BIN_COUNT,)),
        ("scores", np.float32, (BIN_COUNT,)),
        ("spreads", np.float32, (BIN_COUNT,)),
        ("psi", np.float32, (COMPONENT_COUNT,)),
        ("quantiles", np.float32, (len(LEVELS),)),  # of the baseline at LEVELS, in scales
        ("mean_y", np.float32),  # of the baseline, in scales
        ("evidence", np.float32, (COMPONENT_COUNT,)),
        ("onset", np.float32, (COMPONENT_COUNT,)),  # CUSUM of the log-factors
        ("starts_ms", np.int64, (COMPONENT_COUNT,)),  # where it left zero
        ("recent", np.uint8, (RECENT_COUNT,)),  # codes of the last windows, a ring
        ("recent_count", np.uint32),  # windows ever put into it
        ("opened_ms", np.int64),  # end of the window of the alarm that is open
        ("opened_rank", np.uint8),  # its severity, 0 when none is open
        ("calm_count", np.uint16),  # windows since the evidence was last strong
        ("calm_wanted", np.uint16),  # so many end the alarm
        ("quiet_until_ms", np.int64),  # no new page before
        ("is_watched", np.bool_),  # the watch level was told
    ]
)  # fmt: skip
"""843 bytes in memory, fewer in a state: see `shift_state`."""


MARKS = np.dtype([(name, SHIFT_ROW[name]) for name in ("evidence", "onset", "starts_ms")])
"""What every window changes; in `SHIFT_ROW` these fields lie together, in this order."""


def _place(row: np.dtype[Any], name: str) -> int:
    assert row.fields is not None
    return int(row.fields[name][1])


_MARKS_AT = _place(SHIFT_ROW, "evidence")
assert all(
    _place(SHIFT_ROW, name) == _MARKS_AT + _place(MARKS, name) for name in MARKS.names or ()
), "moved as one run of bytes"


def marks_view(table: Table) -> Table:
    """Return the marks of all streams, not copied: a run of bytes each, shape (n,).

    Field by field they are fetched from memory three times.

    >>> table = empty_shift_rows(2)
    >>> table["onset"][1] = 0.5
    >>> marks_view(table)[[1]].view(MARKS)["onset"][0, :2].tolist()
    [0.5, 0.5]
    """
    assert table.dtype == SHIFT_ROW
    run = np.dtype((np.void, MARKS.itemsize))
    return np.ndarray(table.shape, run, table, _MARKS_AT, table.strides)


def empty_shift_rows(count: int) -> Table:
    """Return records of streams of which nothing was seen, shape (count,)."""
    rows = np.zeros(count, SHIFT_ROW)
    rows["slot"] = -1
    for name in ("expected_ms", "from_ms", "until_ms", "opened_ms", "quiet_until_ms"):
        rows[name] = NEVER_MS
    return rows
