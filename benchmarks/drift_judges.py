"""What is measured on series: D1 as it runs in the engine, and two that do not look at values.

Every figure is a count of alarms that came out; nothing is taken from a formula.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_series import WINDOW_MS, Change, Draw, Rng, windows_of
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shift_table import Phase
from udfs.drift.shifts import ShiftStreams
from udfs.histogram import Floats
from udfs.partition_clocks import Int64s

BLOCK_WINDOW_COUNT = 64
CUT_OFF_WINDOW_COUNT = 4_000
"""A delay beyond counts as so many windows."""

Alarms: TypeAlias = tuple[Int64s, Int64s]
"""Stream of each alarm, and in which column of the values it came."""


class Judge(Protocol):
    """What raises alarms."""

    def alarms(self, values: Floats, first: int, streams: Int64s) -> Alarms:
        """Take windows of some streams; arguments as of `windows_of`."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, both in windows; infinite where nothing came."""

    mean: float
    error: float


@dataclass
class D1:
    """The e-detector of the engine, through its own step."""

    streams: ShiftStreams

    def alarms(self, values: Floats, first: int, streams: Int64s) -> Alarms:
        """Return rows that were fired, whatever their severity."""
        fired = self.streams.observe(windows_of(values, first, streams)).fired
        return fired.stream, fired.detected_at_ms // WINDOW_MS - first - 1

    def again(self, gamma: float) -> "D1":
        """Return the same baselines without any evidence yet, with another budget."""
        copy = ShiftStreams(policy_of(gamma, self.streams.policy.window_count))
        copy.table, copy.seasons = self.streams.table.copy(), dict(self.streams.seasons)
        return D1(copy)


class Always:
    """Fires at every window."""

    def alarms(self, values: Floats, first: int, streams: Int64s) -> Alarms:  # noqa: ARG002  # looks at nothing
        """Return an alarm for each window."""
        return np.repeat(streams, values.shape[1]), np.tile(
            np.arange(values.shape[1]), len(streams)
        )


class Never:
    """Fires at none."""

    def alarms(self, values: Floats, first: int, streams: Int64s) -> Alarms:  # noqa: ARG002  # looks at nothing
        """Return no alarm."""
        return np.zeros(0, np.int64), np.zeros(0, np.int64)


def policy_of(gamma: float, window_count: int, *, has_season: bool = False) -> ShiftPolicy:
    """Return how D1 judges here: one budget, an alarm is over as soon as it can be."""
    return ShiftPolicy(
        gamma_page=gamma,
        gamma_watch=gamma,
        provisional_count=window_count,
        window_count=window_count,
        does_provisional_page=True,
        has_season=has_season,
        clear_windows=1,
        cooldown_ms=0,
    )


def learned(draw: Draw, stream_count: int, policy: ShiftPolicy) -> D1:
    """Return D1 whose baselines were learned from the first windows of a series."""
    streams = ShiftStreams(policy)
    streams.grow(stream_count)
    streams.observe(windows_of(draw(policy.window_count), 0, np.arange(stream_count)))
    assert (streams.table["phase"] == Phase.FROZEN).all()
    return D1(streams)


def false_alarms(judge: Judge, draw: Draw, first: int, shape: tuple[int, int]) -> Int64s:
    """Count the alarms of each stream over windows without a change.

    Args:
        judge: has learned.
        draw: goes on behind the baseline.
        first: number of the first window.
        shape: streams and windows.
    """
    counts = np.zeros(shape[0], np.int64)
    for begun in range(0, shape[1], BLOCK_WINDOW_COUNT):
        count = min(BLOCK_WINDOW_COUNT, shape[1] - begun)
        streams, _ = judge.alarms(draw(count), first + begun, np.arange(shape[0]))
        counts += np.bincount(streams, minlength=shape[0])
    return counts


def mean_between(counts: Int64s, window_count: int) -> Estimate:
    """Return the mean number of windows between alarms; its error is over streams.

    >>> mean_between(np.array([1, 1]), 100)
    Estimate(mean=100.0, error=0.0)
    """
    total = int(counts.sum())
    if total == 0:
        return Estimate(np.inf, np.inf)
    mean = len(counts) * window_count / total
    return Estimate(mean, float(mean * counts.std(ddof=1) * np.sqrt(len(counts)) / total))


def delays(judge: Judge, change: Change, rng: Rng, first: int, stream_count: int) -> Int64s:
    """Return the windows from a change up to each stream's first alarm, that one counted."""
    found = np.full(stream_count, CUT_OFF_WINDOW_COUNT)
    waiting = np.arange(stream_count)
    begun = 0
    while len(waiting) and begun < CUT_OFF_WINDOW_COUNT:
        noise = rng.standard_normal((len(waiting), BLOCK_WINDOW_COUNT))
        streams, columns = judge.alarms(change(noise, begun), first + begun, waiting)
        np.minimum.at(found, streams, begun + columns + 1)
        waiting = waiting[found[waiting] > begun + BLOCK_WINDOW_COUNT]
        begun += BLOCK_WINDOW_COUNT
    return found


def mean_delay(tries: Callable[[], Int64s], try_count: int) -> Estimate:
    """Return the mean delay; its error is over streams, as tries share their baselines."""
    each: NDArray[np.float64] = np.mean([tries() for _ in range(try_count)], axis=0)
    error = each.std(ddof=1) / np.sqrt(len(each))
    is_cut = each.min() >= CUT_OFF_WINDOW_COUNT
    return Estimate(np.inf if is_cut else float(each.mean()), float(error))
