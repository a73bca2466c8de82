"""Seeded series for detectors of drift: laws without any change, and what a fault does to one.

a series    rows are streams, columns windows of 5 minutes, values of variance about 1
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from udfs.drift.observations import Observations
from udfs.histogram import Floats
from udfs.partition_clocks import Int64s

WINDOW_MS = 300_000
DAY_WINDOW_COUNT = 288

Rng: TypeAlias = np.random.Generator
Draw: TypeAlias = Callable[[int], Floats]
"""Return so many more windows of every stream, shape (n_streams, n_windows)."""
Law: TypeAlias = Callable[[Rng, int], Draw]
"""(generator, streams) -> their series from its beginning."""
Change: TypeAlias = Callable[[Floats, int], Floats]
"""(noise, windows since the change) -> what is seen."""


def independent(sample: Callable[[Rng, tuple[int, int]], Floats]) -> Law:
    """Return a law whose windows do not depend on each other."""
    return lambda rng, streams: lambda windows: sample(rng, (streams, windows))


def correlated(amount: float) -> Law:
    """Return a law whose windows are normal with a lag-1 correlation."""

    def begin(rng: Rng, streams: int) -> Draw:
        last = [rng.standard_normal(streams)]

        def draw(windows: int) -> Floats:
            noise = np.sqrt(1 - amount**2) * rng.standard_normal((streams, windows))
            for window in range(windows):
                noise[:, window] += amount * last[0]
                last[0] = noise[:, window]
            return noise

        return draw

    return begin


def daily(amplitude: float) -> Law:
    """Return a law with a sine of one day, each stream with a phase of its own."""

    def begin(rng: Rng, streams: int) -> Draw:
        phase, begun = rng.random((streams, 1)), [0]

        def draw(windows: int) -> Floats:
            day = (begun[0] + np.arange(windows)) / DAY_WINDOW_COUNT
            begun[0] += windows
            season = amplitude * np.sin(2 * np.pi * (day + phase))
            seen: Floats = season + rng.standard_normal((streams, windows))
            return seen

        return draw

    return begin


NORMAL = independent(lambda rng, shape: rng.standard_normal(shape))
LAWS: dict[str, Law] = {
    "normal": NORMAL,
    "t3": independent(lambda rng, shape: rng.standard_t(3, shape)),
    "lognormal(.5)": independent(lambda rng, shape: rng.lognormal(0, 0.5, shape)),
    "exponential": independent(lambda rng, shape: rng.exponential(1, shape)),
    "Bernoulli(.3)": independent(lambda rng, shape: (rng.random(shape) < 0.3).astype(np.float64)),  # noqa: PLR2004  # its name
    "five levels": independent(
        lambda rng, shape: np.clip(np.round(rng.standard_normal(shape)), -2, 2)
    ),
    "AR(.4)": correlated(0.4),
    "AR(.6)": correlated(0.6),
    "AR(.8)": correlated(0.8),
    "daily sine 0.5 sigma": daily(0.5),
    "daily sine 1 sigma": daily(1.0),
}
"""Laws of DRIFT.md 4b."""


def step_of(sigmas: float) -> Change:
    """Return a shift of the mean."""
    return lambda noise, _: noise + sigmas


def ramp_of(sigmas_per_window: float) -> Change:
    """Return a mean that moves away evenly."""
    return lambda noise, begun: noise + sigmas_per_window * (begun + 1 + np.arange(noise.shape[1]))


def spread_of(factor: float) -> Change:
    """Return a standard deviation that is multiplied; the mean stays."""
    return lambda noise, _: noise * factor


CHANGES: dict[str, Change] = {
    "shift 0.5": step_of(0.5),
    "shift 1": step_of(1),
    "shift 2": step_of(2),
    "shift 3": step_of(3),
    "ramp .01": ramp_of(0.01),
    "ramp .001": ramp_of(0.001),
    "spread x1.5": spread_of(1.5),
    "spread x2": spread_of(2),
    "variance x1.5": spread_of(1.5**0.5),
    "variance x2": spread_of(2**0.5),
}


def windows_of(values: Floats, first: int, streams: Int64s) -> Observations:
    """Return a series as detectors take it, by stream and then by time.

    Args:
        values: shape (n_streams, n_windows), all finite.
        first: number of the first window.
        streams: their rows in the tables of the detectors, ascending.
    """
    none = np.zeros(values.size, np.int64)
    start_ms = (first + np.arange(values.shape[1])) * WINDOW_MS
    return Observations(
        stream=np.repeat(streams, values.shape[1]),
        start_ms=np.tile(start_ms, len(values)),
        value=values.reshape(-1),
        count=none + 1,
        missing_count=none,
        nan_count=none,
        out_of_range_count=none,
        window_ms=none + WINDOW_MS,
    )
