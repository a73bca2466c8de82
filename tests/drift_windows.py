"""Windows of streams for the tests of the detectors, one round at a time."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from udfs.drift.alarms import Turns
from udfs.drift.observations import Observations

WINDOW_MS = 300_000
START_MS = 1_767_225_600_000  # 2026-01-01

Update = Callable[[Any, Observations, Any], Turns]


def round_of(values: Any, at: int, **columns: Any) -> Observations:
    """Return window `at` of streams 0, 1, ..., with one point each unless it has no value.

    Args:
        values: of the windows, shape (n,); NaN for none.
        at: number of the window.
        **columns: columns of `Observations` that differ.
    """
    values = np.asarray(values, np.float64)
    none = np.zeros(len(values), np.int64)
    given = {
        "stream": np.arange(len(values)),
        "start_ms": none + START_MS + at * WINDOW_MS,
        "value": values,
        "count": (~np.isnan(values)).astype(np.int64),
        "missing_count": none,
        "nan_count": none,
        "out_of_range_count": none,
        "window_ms": none + WINDOW_MS,
    }
    return Observations(**(given | {name: np.asarray(it) for name, it in columns.items()}))


def judged(update: Update, table: Any, rounds: Iterable[Any], policy: Any, first: int = 0) -> Turns:
    """Return what a detector says of values, shape (n,) a round, the first round being `first`."""
    return Turns.of(
        [update(table, round_of(values, first + at), policy) for at, values in enumerate(rounds)]
    )


def window_of(time_ms: int) -> int:
    """Return the number of the window that starts at an instant."""
    return (int(time_ms) - START_MS) // WINDOW_MS
