"""Saturation and resolution (D5): values that pile up at the edge, or come in other grains.

Both look at epochs of 288 windows: a day of five minutes, so that nights do not matter.

Saturation: a window whose mean is exactly the smallest or largest value of its epoch so far (in 32
bits) is bad; the share of such windows goes through the e-detector of `shares.py` with one trial a
window and p1 = max(5 p0, p0 + 5 percentage points). A new record is not at an edge, what comes back
to it is: a metric that climbs makes records, one that clips returns. The first 24 windows of an
epoch only find the range. Nights of zeros are learned, with their design effect.

Resolution: the share of windows that repeat the one before, over an epoch, against the share
learned. It is told when it is 4
times as large or small with both shares at their bounds, those of the epoch so far out that chance
gets there once in gamma windows. It stands for the number of distinct values, which it falls with.
"""

from dataclasses import replace

import numpy as np

from udfs.drift.alarms import Alarms, Turns, alarms_of
from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.drift.profiles import (
    HAS_NEW_RESOLUTION,
    IS_STUCK,
    QualityPolicy,
    Standing,
    has_flag,
    put_flag,
)
from udfs.drift.row_tables import Rows, gather, scatter
from udfs.drift.share_bounds import UPPER_99_SIGMA, share_bounds
from udfs.drift.stuck import repeat_probability, repeat_share
from udfs.histogram import Floats
from udfs.partition_clocks import Bools

EPOCH_WINDOWS = 288
RANGE_WINDOWS = 24
"""Before, a narrow range has many at its edges; with 5 levels that doubled the false alarms."""

CHANGE_FACTOR = 4.0


def on_edges(rows: Rows, value: Floats) -> tuple[Bools, Bools]:
    """Widen the ranges of the epochs by one window.

    Args:
        rows: `QUALITY_ROW` of the streams, changed; called before `on_epochs` counts the window.
        value: of the windows, cut to `VALUE_LIMIT`, shape (n,).

    Returns:
        Whether the range is wide enough to have edges, and whether the window is at one.
    """
    grain = value.astype(np.float32)
    is_first = rows["epoch_windows"] == 0
    has_range = rows["epoch_windows"] >= RANGE_WINDOWS
    is_edge = has_range & ((grain == rows["smallest"]) | (grain == rows["largest"]))
    rows["smallest"] = np.where(is_first, grain, np.minimum(rows["smallest"], grain))
    rows["largest"] = np.where(is_first, grain, np.maximum(rows["largest"], grain))
    return has_range, is_edge


def on_epochs(
    rows: Rows, seen: Observations, is_repeat: Bools, standing: Standing, policy: QualityPolicy
) -> Turns:
    """Count repeats by one window, and judge the epochs that it ends; after `on_run`.

    Args:
        rows: `QUALITY_ROW` of the streams, changed.
        seen: their windows, each with a value.
        is_repeat: whether each repeats the one before.
        standing: of the warm-up: an epoch that ends before its end is not judged.
        policy: the budget.

    Returns:
        Alarms `resolution`; before and after are shares of windows that repeat.
    """
    rows["epoch_windows"] += 1
    rows["epoch_repeats"] += is_repeat
    places = np.flatnonzero(rows["epoch_windows"] >= EPOCH_WINDOWS)
    if len(places) == 0:
        return Turns()
    ended = gather(rows, places)
    change = np.where(standing.is_learned[places], _changes(ended, policy), 0.0)
    was_told = has_flag(ended, HAS_NEW_RESOLUTION)
    put_flag(ended, HAS_NEW_RESOLUTION, change != 0)
    windows, shares = seen.take(places), (repeat_share(ended), ended["epoch_repeats"])
    fired = _grains(windows, shares, change, (change != 0) & ~was_told)
    over = _grains(windows, shares, change, (change == 0) & was_told)
    ended["epoch_windows"] = 0
    ended["epoch_repeats"] = 0
    scatter(rows, places, ended)
    return Turns(fired, replace(over, severity=np.full_like(over.severity, Severity.INFO.value)))


def _grains(
    windows: Observations, shares: tuple[Floats, Floats], change: Floats, is_told: Bools
) -> Alarms:
    windows, change = windows.take(is_told), change[is_told]
    return alarms_of(
        windows,
        "resolution",
        Severity.WATCH.value,
        direction=np.select([change > 0, change < 0], ["up", "down"], ""),
        # Where epochs have gaps it began earlier; a longer row for that is not worth its bytes.
        first_seen_ms=windows.start_ms - (EPOCH_WINDOWS - 1) * windows.window_ms,
        before=shares[0][is_told],
        after=shares[1][is_told] / EPOCH_WINDOWS,
        note=np.select([change > 0, change < 0], ["coarser", "finer"], ""),
    )


def _changes(rows: Rows, policy: QualityPolicy) -> Floats:
    """Return 1 for coarser, -1 for finer, 0 for as before; a run that is stuck is neither."""
    share = repeat_share(rows)
    usual_least, usual_most = share_bounds(
        share, rows["window_count"].astype(np.float64), UPPER_99_SIGMA
    )
    # Repeats come in runs: an epoch is worth as many free windows as a two-state chain says.
    chance = np.minimum(repeat_probability(rows), 0.99)
    free = EPOCH_WINDOWS * (1 - chance) / (1 + chance)
    sigma = float(np.sqrt(2 * max(policy.log_gamma - np.log(EPOCH_WINDOWS), 1.0)))
    now = rows["epoch_repeats"] / EPOCH_WINDOWS
    least, most = share_bounds(now, free, sigma)
    change = (least >= CHANGE_FACTOR * usual_most) * 1.0 - (CHANGE_FACTOR * most <= usual_least)
    return np.where(has_flag(rows, IS_STUCK), 0.0, change)
