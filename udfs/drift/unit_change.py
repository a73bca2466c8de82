"""Unit change (D5): the same sensor in other units, told instead of drift.

A window that is more than 10 sigma (and 20 %) off its baseline is undone by each known map of
units. If one of them brings it back to within 4 sigma or 2 % of the mean, it is the candidate:

    baseline 21.0 +- 0.4    window 21300.0    x1000: 21.3 explains it    x60: 355.0 does not

Maps come in two kinds, for what a person must be told at once may also be a jump that means
something:

- far, by a factor of 1000 or more: one window is enough. Nothing else jumps by three decades to
  within 4 sigma of where it was.
- near (60, 100, 8, degrees): five windows, one after another. Their mean must be where the
  baseline's is, to 2 % or 3 sigma of a mean of five, and their steps from window to window as large
  as they were, to a factor of 2 up and 4 down. That is still before drift is sure, which takes 7
  windows at least. Steps that are smaller are no argument where values often repeat.

A baseline whose sigma is over a tenth of its mean has no unit that a factor could change, for noise
around zero is within 4 sigma of anything; nor one whose sigma is over a twentieth of the way that a
map with an offset moves it. Who jumps 36 to 97 degrees with equal steps is called Fahrenheit: an
alarm all the same, and the note says what was taken for what.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udfs.drift.alarms import Alarms, Turns, Words, alarms_of, highest_severity, no_alarms
from udfs.drift.findings import Severity
from udfs.drift.observations import Observations
from udfs.drift.profiles import (
    HAS_NEW_UNIT,
    VALUE_LIMIT,
    Standing,
    has_flag,
    put_flag,
    sigma_of,
)
from udfs.drift.row_tables import Rows, gather, scatter
from udfs.drift.stuck import repeat_share
from udfs.histogram import Floats
from udfs.partition_clocks import Bools


@dataclass(frozen=True)
class UnitMap:
    """How a value in old units is written in new ones: factor x value + offset.

    Args:
        name: for people.
        factor: not 0.
        offset: in the new unit.
    """

    name: str
    factor: float
    offset: float = 0.0

    @property
    def is_far(self) -> bool:
        """Say whether no jump but one of units comes this far."""
        return self.offset == 0 and max(self.factor, 1 / self.factor) >= FAR_FACTOR


FAR_FACTOR = 999.0
FACTORS = (1000, 1024, 3600, 1_000_000, 2**20, 60, 100, 8)
UNIT_MAPS = (
    *(UnitMap(f"x{factor}", factor) for factor in FACTORS),
    *(UnitMap(f"/{factor}", 1 / factor) for factor in FACTORS),
    UnitMap("Celsius to Fahrenheit", 1.8, 32.0),
    UnitMap("Fahrenheit to Celsius", 1 / 1.8, -32 / 1.8),
    UnitMap("Celsius to Kelvin", 1.0, 273.15),
    UnitMap("Kelvin to Celsius", 1.0, -273.15),
)
"""A row's candidate is 1 + the place of its map: new maps go to the end."""

JUMP_SIGMA = 10.0
OFFSET_SIGMA = 20.0
INLIER_SIGMA = 4.0
TOLERANCE = 0.02
NEAR_WINDOWS = 5
NEAR_MEAN_SIGMA = 3.0
STEPS_MOST = 4.0
STEPS_LEAST = 1 / 16
"""Mean squared steps over the baseline's: a factor of 2 up, 4 down, in the unit of the metric."""

REPEAT_SHARE_MAX = 0.1

_FACTOR = np.array([each.factor for each in UNIT_MAPS])
_OFFSET = np.array([each.offset for each in UNIT_MAPS])
_IS_FAR = np.array([each.is_far for each in UNIT_MAPS])
_NAME = np.array([each.name for each in UNIT_MAPS])
_SIGMA_LEAST = 1e-12

UNEXPLAINED = 255
"""Candidate of a jump that no map explains, as long as it lasts."""


def on_units(rows: Rows, seen: Observations, value: Floats, standing: Standing) -> Turns:
    """Look for values in other units; called before the anchors move to this window.

    Args:
        rows: `QUALITY_ROW` of the streams, changed.
        seen: their windows, each with a value.
        value: of the windows, cut to `VALUE_LIMIT`, shape (n,).
        standing: of the warm-up.

    Returns:
        Alarms `unit_change`, one as long as the candidate stays; before is the mean learned, after
        the value now, both in the unit of the metric; the note names the map.
    """
    width = np.maximum(sigma_of(rows), TOLERANCE / 2 * np.abs(rows["mean"]))
    has_jumped = standing.has_verdict & (np.abs(value - rows["mean"]) > JUMP_SIGMA * width)
    has_jumped |= standing.has_verdict & (width == 0) & (value != rows["mean"])
    ended = _ended(rows, seen, has_flag(rows, HAS_NEW_UNIT) & ~has_jumped)
    _end_candidates(rows, ~has_jumped)
    places = np.flatnonzero(has_jumped)
    if len(places) == 0:
        return Turns(ended=ended)
    jumped, windows = gather(rows, places), seen.take(places)
    _follow(jumped, windows, value[places])
    is_alarm = _is_confirmed(jumped) & ~has_flag(jumped, HAS_NEW_UNIT)
    put_flag(jumped, HAS_NEW_UNIT, has_flag(jumped, HAS_NEW_UNIT) | is_alarm)
    scatter(rows, places, jumped)
    is_learned = standing.is_learned[places][is_alarm]
    fired = _alarms(gather(jumped, is_alarm), windows.take(is_alarm), is_learned)
    return Turns(fired, ended)


def _ended(rows: Rows, seen: Observations, is_over: Bools) -> Alarms:
    over = gather(rows, is_over)
    return alarms_of(
        seen.take(is_over),
        "unit_change",
        Severity.INFO.value,
        first_seen_ms=over["candidate_start_ms"],
        before=over["mean"],
        after=seen.value[is_over],
    )


def best_maps(mean: Floats, sigma: Floats, value: Floats) -> NDArray[np.int64]:
    """Return which two maps of units explain each value best.

    Args:
        mean: of the baselines, shape (n,).
        sigma: of the baselines, shape (n,).
        value: in new units perhaps, shape (n,).

    Returns:
        1 + the place in `UNIT_MAPS`, or 0, shape (2, n), the better one first.

    >>> mean, sigma = np.array([21.0, 21.0, 0.0]), np.array([0.4, 0.4, 1.0])
    >>> places = best_maps(mean, sigma, np.array([21000.0, 40000.0, 60.0]))
    >>> [UNIT_MAPS[place - 1].name for place in places[:, 0]]
    ['x1000', 'x1024']
    >>> places[:, 1:].tolist()
    [[0, 0], [0, 0]]
    """
    olds = (value[:, None] - _OFFSET) / _FACTOR  # shape (n, maps)
    away = np.abs(olds - mean[:, None])
    width = np.maximum(INLIER_SIGMA * sigma, TOLERANCE * np.abs(mean))[:, None]
    moved = np.abs(mean[:, None] * (_FACTOR - 1) + _OFFSET)
    is_precise = np.where(
        _OFFSET == 0,
        ((JUMP_SIGMA * sigma <= np.abs(mean)) & (mean != 0))[:, None],
        OFFSET_SIGMA * sigma[:, None] <= moved,
    )
    fits = (away <= width) & is_precise
    away = np.where(fits, away, np.inf)
    found = np.argsort(away, axis=1, kind="stable")[:, :2]
    return np.where(np.take_along_axis(fits, found, axis=1), found + 1, 0).T


def _end_candidates(rows: Rows, is_over: Bools) -> None:
    rows["candidate"][is_over] = 0
    rows["candidate_count"][is_over] = 0
    put_flag(rows, HAS_NEW_UNIT, has_flag(rows, HAS_NEW_UNIT) & ~is_over)


def _follow(rows: Rows, windows: Observations, value: Floats) -> None:
    """Count the windows that one map explains, and how far and how restless they are."""
    found = best_maps(rows["mean"], sigma_of(rows), value)[0]
    # A jump that a near map failed to explain once is none of units: another try would be luck.
    is_luck = (rows["candidate"] == UNEXPLAINED) & ~_IS_FAR[np.maximum(found - 1, 0)]
    found = np.where((found == 0) | is_luck, UNEXPLAINED, found)
    is_same = (found == rows["candidate"]) & (found != UNEXPLAINED)
    _add_shift(rows, value, np.where(found == UNEXPLAINED, 0, found - 1), is_same)
    # Once told, 1000 and 1024 may take turns as the nearest.
    has_begun = is_same | has_flag(rows, HAS_NEW_UNIT)
    started = np.where(has_begun, rows["candidate_start_ms"], windows.start_ms)
    rows["candidate_start_ms"] = started
    rows["candidate_count"] = np.where(is_same, np.minimum(rows["candidate_count"], 254) + 1, 1)
    rows["candidate"] = found


def _add_shift(rows: Rows, value: Floats, place: NDArray[np.int64], is_same: Bools) -> None:
    """Add a window in old units to its candidate, or begin one."""
    sigma = _sigma_above_0(rows)
    shift = ((value - _OFFSET[place]) / _FACTOR[place] - rows["mean"]) / sigma
    before = np.clip(rows["anchor"], -VALUE_LIMIT, VALUE_LIMIT)
    step = np.where(is_same, (value - before) / _FACTOR[place] / sigma, 0.0)
    for name, added in (("shift_sum", shift), ("shift_square", step * step)):
        total = np.where(is_same, rows[name], 0.0) + np.clip(added, -1e18, 1e18)
        rows[name] = np.clip(total, -1e30, 1e30)


def _sigma_above_0(rows: Rows) -> Floats:
    return np.maximum(sigma_of(rows), _SIGMA_LEAST * (1 + np.abs(rows["mean"])))


def _is_confirmed(rows: Rows) -> Bools:
    """Say of each candidate whether it is sure with this window."""
    is_explained = (rows["candidate"] != 0) & (rows["candidate"] != UNEXPLAINED)
    place = np.where(is_explained, rows["candidate"].astype(np.int64) - 1, 0)
    is_near = rows["candidate_count"] == NEAR_WINDOWS
    is_sure = _IS_FAR[place] | (is_near & _is_centred(rows) & _steps_as_before(rows))
    confirmed: Bools = is_explained & is_sure
    return confirmed


def _is_centred(rows: Rows) -> Bools:
    shift = np.abs(rows["shift_sum"]) / NEAR_WINDOWS
    relative = TOLERANCE * np.abs(rows["mean"]) / _sigma_above_0(rows)
    centred: Bools = shift <= np.maximum(NEAR_MEAN_SIGMA / np.sqrt(NEAR_WINDOWS), relative)
    return centred


def _steps_as_before(rows: Rows) -> Bools:
    """Compare steps from window to window: serial correlation does not change them."""
    freedom = np.maximum(rows["window_count"].astype(np.float64) - 1, 1)
    usual = rows["step_square"] / freedom / _sigma_above_0(rows) ** 2
    now = rows["shift_square"] / (NEAR_WINDOWS - 1)
    may_repeat = repeat_share(rows) > REPEAT_SHARE_MAX
    is_calm: Bools = now <= STEPS_MOST * usual + 1e-6
    is_restless: Bools = may_repeat | (now >= STEPS_LEAST * usual)
    return is_calm & is_restless


def _alarms(rows: Rows, windows: Observations, is_learned: Bools) -> Alarms:
    if len(rows) == 0:
        return no_alarms()
    return alarms_of(
        windows,
        "unit_change",
        highest_severity(is_learned),
        first_seen_ms=rows["candidate_start_ms"],
        before=rows["mean"],
        after=windows.value,
        note=_names(rows, windows.value),
    )


def _names(rows: Rows, value: Floats) -> Words:
    """Name the maps: both, where the baseline is too wide to tell 1000 from 1024."""
    value = np.clip(value, -VALUE_LIMIT, VALUE_LIMIT)
    second = best_maps(rows["mean"], sigma_of(rows), value)[1]
    names: Words = _NAME[rows["candidate"].astype(np.int64) - 1]
    both: Words = np.char.add(np.char.add(names, " or "), _NAME[np.maximum(second - 1, 0)])
    return np.where((second > 0) & (rows["candidate_count"] == 1), both, names)
