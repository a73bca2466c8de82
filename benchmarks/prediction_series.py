"""Hours of points of many streams, as histograms: calm in several ways, then with a named shift.

An hour of a stream is a distribution over levels (bins of confidence, or classes) and as many
points as were sent; what hangs together is in the distribution, the rest is multinomial.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from udfs.drift.distributions import BinnedWindows
from udfs.histogram import Floats, bin_index
from udfs.offline_policy import HOUR_MS
from udfs.partition_clocks import Int64s

Rng = np.random.Generator
START_MS = 1_767_225_600_000  # 2026-01-01, midnight
DAY_HOURS, WEEK_HOURS = 24, 168

CONFIDENCES = np.linspace(0.02, 0.98, 49)
CLASSES = np.arange(1.0, 9.0)
CLASS_SHARES = np.array([0.35, 0.25, 0.15, 0.1, 0.06, 0.05, 0.03, 0.01])

State = dict[str, Any]
Law = Callable[[Rng, int, int, State], Floats]
"""(generator, streams, hour, what is remembered) -> shares of each level, shape (streams, m)."""


@dataclass(frozen=True)
class Kind:
    """One way in which streams are calm.

    Args:
        levels: the values that occur.
        law: how likely each is.
        points: in an hour, on average.
    """

    levels: Floats
    law: Law
    points: int


def confidence(middle: Floats, spread: float = 0.6) -> Floats:
    """Return shares of confidences around logits, one row each."""
    logit = np.log(CONFIDENCES / (1 - CONFIDENCES))
    weight = np.exp(-0.5 * ((logit[None, :] - middle[:, None]) / spread) ** 2)
    shares: Floats = weight / (CONFIDENCES * (1 - CONFIDENCES))[None, :]
    return shares / shares.sum(axis=1, keepdims=True)


def steady(_: Rng, streams: int, __: int, ___: State) -> Floats:
    """Return the same confidences at any hour."""
    return confidence(np.full(streams, 2.0))


def wandering(rng: Rng, streams: int, _: int, state: State) -> Floats:
    """Return confidences whose level wanders by 0.3 sigma, slowly (phi = 0.9)."""
    before = state.get("level", np.zeros(streams))
    state["level"] = 0.9 * before + np.sqrt(1 - 0.9**2) * rng.normal(0, 0.18, streams)
    return confidence(2.0 + state["level"])


def daily(_: Rng, streams: int, hour: int, __: State) -> Floats:
    """Return confidences with a daily swing of one sigma each way."""
    return confidence(np.full(streams, 2.0 + 0.6 * np.sin(2 * np.pi * hour / DAY_HOURS)))


def weekly(_: Rng, streams: int, hour: int, __: State) -> Floats:
    """Return confidences that are lower by half a sigma at week ends."""
    is_week_end = hour // DAY_HOURS % 7 >= 5  # noqa: PLR2004 - days 5 and 6
    return confidence(np.full(streams, 2.0 - 0.3 * is_week_end))


def mixed(_: Rng, streams: int, __: int, ___: State) -> Floats:
    """Return the same class mix at any hour."""
    return np.tile(CLASS_SHARES, (streams, 1))


def scenes(rng: Rng, streams: int, _: int, __: State) -> Floats:
    """Return a class mix that each hour draws anew: as if 50 scenes were seen in it."""
    return rng.dirichlet(CLASS_SHARES * 50, streams)


def rush_hours(_: Rng, streams: int, hour: int, __: State) -> Floats:
    """Return a class mix that is another one for two hours a day."""
    is_rush = hour % DAY_HOURS in (7, 8)
    return np.tile(np.roll(CLASS_SHARES, 3) if is_rush else CLASS_SHARES, (streams, 1))


def bursts(rng: Rng, streams: int, _: int, __: State) -> Floats:
    """Return a class mix of which now and then one class takes a third."""
    has_burst = rng.random(streams) < 1 / 100
    third = np.eye(len(CLASSES))[rng.integers(0, len(CLASSES), streams)] / 3
    mix = np.tile(CLASS_SHARES, (streams, 1))
    return np.where(has_burst[:, None], third + mix * 2 / 3, mix)


CALM = {
    "confidence, independent points": Kind(CONFIDENCES, steady, 600),
    "confidence, 40,000 points an hour": Kind(CONFIDENCES, steady, 40_000),
    "confidence, 60 points an hour (a device)": Kind(CONFIDENCES, steady, 60),
    "confidence, level wanders 0.3 sigma": Kind(CONFIDENCES, wandering, 6_000),
    "confidence, daily swing of 1 sigma": Kind(CONFIDENCES, daily, 6_000),
    "confidence, week ends lower by 0.5 sigma": Kind(CONFIDENCES, weekly, 6_000),
    "class mix, independent points": Kind(CLASSES, mixed, 600),
    "class mix, an hour is worth 50 points": Kind(CLASSES, scenes, 6_000),
    "class mix, two rush hours a day": Kind(CLASSES, rush_hours, 600),
    "class mix, bursts of one class": Kind(CLASSES, bursts, 600),
}


def lower(sigma: float) -> Callable[[Floats], Floats]:
    """Return what lowers confidences by some standard deviations of their logit."""

    def change(shares: Floats) -> Floats:
        logit = np.log(CONFIDENCES / (1 - CONFIDENCES))
        tilted: Floats = shares * np.exp(-sigma / 0.6 * logit)[None, :]
        return tilted / tilted.sum(axis=1, keepdims=True)

    return change


def to_class(share: float) -> Callable[[Floats], Floats]:
    """Return what gives a share of all points to the rarest class."""
    return lambda shares: shares * (1 - share) + share * np.eye(shares.shape[1])[-1]


def wider(shares: Floats) -> Floats:
    """Let half of the confidences be any: the mean moves too, the shape more."""
    return shares / 2 + 0.5 / shares.shape[1]


def points_of(rng: Rng, kind: Kind, shares: Floats) -> Int64s:
    """Draw the points of one hour, shape (streams, m)."""
    count = rng.poisson(kind.points, len(shares))
    drawn: Int64s = rng.multinomial(count, shares)
    return drawn


def hour_of(points: Int64s, levels: Floats, hour: int) -> BinnedWindows:
    """Return one window of an hour of each stream."""
    stream, level = np.nonzero(points)
    each = np.arange(len(points))
    return BinnedWindows(
        stream=each,
        start_ms=np.full(len(points), START_MS + hour * HOUR_MS),
        window_ms=np.full(len(points), HOUR_MS),
        window=stream,
        bins=bin_index(levels)[level].astype(np.int64),
        points=points[stream, level],
    )
