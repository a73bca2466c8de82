"""Stuck (D5): a sensor that says the same again and again, longer than it is used to.

A window repeats when its value is within max(1e-8, 1e-5 |x|) of the first value of the run: a slow
ramp of tiny steps leaves it. The run is an alarm when its length reaches

    max(6, ln gamma / -ln p, 2 x the longest run learned)

p is how often windows repeat: the upper 99 % bound of their share, or, when repeats come in runs (a
night of zeros), the share of repeats that are followed by one. So a run by chance takes gamma
windows on average. A metric of which more than 99 % repeat is constant, and never stuck; nor is one
whose resolution changed (`saturation.py`): its repeats are no longer those learned.

    windows   21.4  21.5  -  21.5  21.5  NaN  21.5        a gap, or a window without a value,
    run          0     0       1     2           3        neither lengthens a run nor ends it
"""

import numpy as np

from udfs.drift.alarms import Turns, alarms_of, highest_severity
from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.drift.profiles import (
    HAS_ANCHOR,
    HAS_NEW_RESOLUTION,
    IS_STUCK,
    QualityPolicy,
    Standing,
    has_flag,
    put_flag,
)
from udfs.drift.row_tables import Rows
from udfs.drift.share_bounds import upper_99
from udfs.histogram import Floats
from udfs.partition_clocks import Bools

RUN_LEAST = 6
CONSTANT_SHARE = 0.99
STEP_LEAST = 1e-8
STEP_RELATIVE = 1e-5
PRIOR_REPEATS = 10.0
"""Until so many repeats were seen, they are taken for independent of each other."""


def run_needed(repeat_probability: Floats, log_gamma: float) -> Floats:
    """Return the length of a run that chance gives once in gamma windows, at least 6.

    Args:
        repeat_probability: of one window, 0 to 1, shape (n,).
        log_gamma: natural log of gamma.

    >>> run_needed(np.array([0.0, 0.5, 0.9]), np.log(1.15e8)).tolist()
    [6.0, 27.0, 177.0]
    """
    probability = np.clip(repeat_probability, 1e-9, CONSTANT_SHARE)
    by_chance: Floats = np.ceil(log_gamma / -np.log(probability))
    return np.maximum(float(RUN_LEAST), by_chance)


def repeats(rows: Rows, value: Floats) -> Bools:
    """Say of each window whether it repeats the run of its stream.

    Args:
        rows: `QUALITY_ROW` of the streams.
        value: of their windows, finite, shape (n,).
    """
    # Halves, for the distance of two values of 1e308 is no float.
    half_step = np.abs(value * 0.5 - rows["anchor"] * 0.5)
    close = half_step <= 0.5 * np.maximum(STEP_LEAST, STEP_RELATIVE * np.abs(value))
    repeated: Bools = has_flag(rows, HAS_ANCHOR) & close
    return repeated


def repeat_probability(rows: Rows) -> Floats:
    """Return how often a window repeats, on the safe side, 0 to 1, shape (n,)."""
    plain = repeat_share(rows)
    again = rows["again_count"] + PRIOR_REPEATS * plain
    in_runs = again / (rows["repeat_count"] + PRIOR_REPEATS)
    return np.maximum(upper_99(plain, rows["window_count"].astype(np.float64)), in_runs)


def repeat_share(rows: Rows) -> Floats:
    """Return the share of the windows learned that repeat the one before, shape (n,)."""
    share: Floats = rows["repeat_count"] / np.maximum(rows["window_count"].astype(np.float64), 1)
    return share


def on_run(
    rows: Rows, seen: Observations, is_repeat: Bools, standing: Standing, policy: QualityPolicy
) -> Turns:
    """Follow the runs by one window, and tell of those that are too long, once each.

    Args:
        rows: `QUALITY_ROW` of the streams, changed.
        seen: their windows, each with a value.
        is_repeat: as `repeats` says.
        standing: of the warm-up.
        policy: the budget.

    Returns:
        Alarms `stuck`, one a run; before is the longest run learned, after is this one, in windows.
    """
    is_over = has_flag(rows, IS_STUCK) & ~is_repeat
    ended = alarms_of(
        seen.take(is_over),
        "stuck",
        Severity.INFO.value,
        first_seen_ms=rows["run_start_ms"][is_over],
        before=rows["longest_run"][is_over],
        after=rows["run_count"][is_over],
    )
    rows["run_count"] = np.where(is_repeat, rows["run_count"] + 1, 0)
    rows["anchor"] = np.where(is_repeat, rows["anchor"], seen.value)
    rows["run_start_ms"] = np.where(is_repeat, rows["run_start_ms"], seen.start_ms)
    put_flag(rows, HAS_ANCHOR, np.ones(len(rows), np.bool_))
    can_be = standing.has_verdict & (rows["run_count"] >= RUN_LEAST)
    probability = repeat_probability(rows)
    needed = np.maximum(run_needed(probability, policy.log_gamma), 2.0 * rows["longest_run"])
    varies = (repeat_share(rows) <= CONSTANT_SHARE) & ~has_flag(rows, HAS_NEW_RESOLUTION)
    is_long = can_be & varies & (rows["run_count"] >= needed)
    is_stuck = is_repeat & (has_flag(rows, IS_STUCK) | is_long)
    is_alarm = is_stuck & ~has_flag(rows, IS_STUCK)
    put_flag(rows, IS_STUCK, is_stuck)
    fired = alarms_of(
        seen.take(is_alarm),
        "stuck",
        highest_severity(standing.is_learned[is_alarm]),
        first_seen_ms=rows["run_start_ms"][is_alarm],
        log10_e=(rows["run_count"] * -np.log10(np.maximum(probability, 1e-9)))[is_alarm],
        before=rows["longest_run"][is_alarm],
        after=rows["run_count"][is_alarm],
    )
    return Turns(fired, ended)


def learn_runs(rows: Rows, is_repeat: Bools, learns: Bools) -> None:
    """Add one window to what is known of repeats; after `on_run`.

    Args:
        rows: `QUALITY_ROW` of the streams, changed.
        is_repeat: as `repeats` says.
        learns: which rows do.
    """
    rows["repeat_count"] += learns & is_repeat
    rows["again_count"] += learns & is_repeat & (rows["run_count"] > 1)
    longest = np.where(learns, rows["run_count"], 0)
    rows["longest_run"] = np.maximum(rows["longest_run"], np.minimum(longest, 65_535))
