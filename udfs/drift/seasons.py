"""Seasons: what repeats each day, each week, or with a period of its own, learned and taken out.

    value(t) = sum over bases of  a_k cos(2 pi k t / period) + b_k sin(2 pi k t / period)

How many harmonics a base has, and whether it is there at all, is decided by the Bayesian
information criterion on prewhitened values: a series that merely wanders has no season.

References:
    Schwarz 1978, Estimating the dimension of a model, Annals of Statistics 6(2).
    Cochrane, Orcutt 1949, Journal of the American Statistical Association 44(245) (prewhitening).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from udfs.drift.baselines import CORRELATION_CLIP, lag_correlation
from udfs.histogram import Floats
from udfs.offline_policy import DAY_MS, HOUR_MS
from udfs.partition_clocks import Bools, Int64s

WEEK_MS = 7 * DAY_MS
HARMONICS = (1, 2, 3, 4, 6, 8, 12)
CYCLES_MIN_COUNT = 2.0
"""A base must have been seen twice: once may be chance."""
OWN_CYCLES_MIN_COUNT = 4.0
"""As above, of a period that no calendar suggests."""
BASES_MAX_COUNT = 2
WINDOWS_PER_HARMONIC = 20
RIDGE = 1e-9
NEAR_RATIO = 1 / 8
LINES_MIN_COUNT = 3
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Base:
    """One period and the coefficients of its harmonics.

    Args:
        period_ms: above 0.
        cosines: of harmonics 1, 2, ..., in the unit of the values.
        sines: as many.
    """

    period_ms: float
    cosines: tuple[float, ...]
    sines: tuple[float, ...]


@dataclass(frozen=True)
class Season:
    """All that repeats in one stream; no base: nothing does."""

    bases: tuple[Base, ...] = ()

    def at(self, time_ms: Int64s) -> Floats:
        """Return what the season expects at some times, shape (n,)."""
        total = np.zeros(len(time_ms))
        for base in self.bases:
            columns = _columns(time_ms, base.period_ms, len(base.cosines))
            # Term by term: a matrix product rounds differently for one row and for many.
            for place, weight in enumerate((*base.cosines, *base.sines)):
                total += weight * columns[:, place]
        return total

    def to_values(self) -> list[Any]:
        """Return everything for the state's bytes."""
        return [[base.period_ms, list(base.cosines), list(base.sines)] for base in self.bases]

    @classmethod
    def from_values(cls, stored: list[Any]) -> "Season":
        """Return what `to_values` wrote."""
        return cls(tuple(Base(period, tuple(c), tuple(s)) for period, c, s in stored))


def learn_season(y: Floats, time_ms: Int64s, is_next: Bools) -> Season:
    """Return what repeats in a stream.

    Args:
        y: values, shape (n,).
        time_ms: start of each window, ascending.
        is_next: whether it follows the one before without a gap.
    """
    clipped = np.clip(y - np.median(y), -CORRELATION_CLIP, CORRELATION_CLIP)
    periods = _periods(clipped, time_ms)
    chosen: list[tuple[float, int]] = []
    score = _criterion(clipped, time_ms, is_next, chosen)
    for _ in range(BASES_MAX_COUNT):
        rivals = [
            [*chosen, (period, count)]
            for period in periods
            for count in HARMONICS
            if period not in {known for known, _ in chosen}
            and period / count >= 2.5 * _step_ms(time_ms)
            and 2 * count * WINDOWS_PER_HARMONIC <= len(y)
        ]
        scored = [(_criterion(clipped, time_ms, is_next, rival), rival) for rival in rivals]
        best = min(scored, default=(score, chosen), key=lambda each: each[0])
        if best[0] >= score:
            break
        score, chosen = best
    return _fitted(clipped, time_ms, chosen)


def _step_ms(time_ms: Int64s) -> float:
    return float(np.median(np.diff(time_ms)))


def _periods(y: Floats, time_ms: Int64s) -> list[float]:
    """Return the periods worth trying: of the calendar, and the strongest of the series' own."""
    span_ms = float(time_ms[-1] - time_ms[0])
    calendar = [
        float(each) for each in (HOUR_MS, DAY_MS, WEEK_MS) if span_ms >= CYCLES_MIN_COUNT * each
    ]
    own = _strongest_period(y, time_ms, span_ms)
    if own is None or any(abs(own / known - 1) < NEAR_RATIO for known in calendar):
        return calendar
    return [*calendar, _refined(y, time_ms, own, span_ms)]


def _strongest_period(y: Floats, time_ms: Int64s, span_ms: float) -> float | None:
    """Return the period of the highest peak of the periodogram, refined between its lines."""
    count = len(y)
    even = np.interp(np.linspace(time_ms[0], time_ms[-1], count), time_ms, y)
    power = np.abs(np.fft.rfft((even - even.mean()) * np.hanning(count))) ** 2
    first = int(OWN_CYCLES_MIN_COUNT)
    inner = power[first : count // 3]
    if len(inner) < LINES_MIN_COUNT:
        return None
    line = first + int(inner.argmax())
    left, middle, right = np.log(power[line - 1 : line + 2] + _TINY)
    bend = left - 2 * middle + right
    shift = 0.0 if bend >= 0 else float(np.clip((left - right) / (2 * bend), -0.5, 0.5))
    length_ms = span_ms * count / (count - 1)
    return length_ms / (line + shift)


def _refined(y: Floats, time_ms: Int64s, period_ms: float, span_ms: float) -> float:
    """Return the period near another one that fits best; a whole number of windows if it may be."""
    for width in (0.5, 0.05, 0.005):
        tried = 1 / (1 / period_ms + np.linspace(-width, width, 21) / span_ms)
        period_ms = float(min(tried, key=lambda each: _rest_of(y, time_ms, each)))
    step_ms = _step_ms(time_ms)
    whole_ms = round(period_ms / step_ms) * step_ms
    worse = _rest_of(y, time_ms, whole_ms) / max(_rest_of(y, time_ms, period_ms), _TINY)
    # A worse fit by a factor of 1 + 9 / n is three standard errors.
    return whole_ms if worse <= 1 + 9 / len(y) else period_ms


def _rest_of(y: Floats, time_ms: Int64s, period_ms: float) -> float:
    design = _design(time_ms, [(period_ms, 1)])
    rest = y - design @ _solved(design, y)
    return float(rest @ rest)


def _columns(time_ms: Int64s, period_ms: float, count: int) -> Floats:
    phase = 2 * np.pi * (np.mod(time_ms.astype(np.float64), period_ms) / period_ms)
    angles = phase[:, None] * np.arange(1, count + 1)
    return np.hstack([np.cos(angles), np.sin(angles)])


def _design(time_ms: Int64s, chosen: list[tuple[float, int]]) -> Floats:
    parts = [_columns(time_ms, period, count) for period, count in chosen]
    return np.hstack([np.ones((len(time_ms), 1)), *parts])


def _criterion(
    y: Floats, time_ms: Int64s, is_next: Bools, chosen: list[tuple[float, int]]
) -> float:
    """Return the information criterion of a model with some harmonics; lower is better."""
    design = _design(time_ms, chosen)
    rest = y - design @ _solved(design, y)
    phi = float(lag_correlation(rest[None], is_next[None])[0])
    later = np.flatnonzero(is_next)
    white_y, white_design = y[later] - phi * y[later - 1], design[later] - phi * design[later - 1]
    rest = white_y - white_design @ _solved(white_design, white_y)
    count = len(white_y)
    variance = max(float(rest @ rest) / count, _TINY)
    return float(count * np.log(variance) + (design.shape[1] + 1) * np.log(count))


def _solved(design: Floats, y: Floats) -> Floats:
    """Return the least squares; harmonics are nearly orthogonal, so the normal equations do."""
    ridge = RIDGE * len(y) * np.eye(design.shape[1])
    found: Floats = np.linalg.solve(design.T @ design + ridge, design.T @ y)
    return found


def _fitted(y: Floats, time_ms: Int64s, chosen: list[tuple[float, int]]) -> Season:
    if not chosen:
        return Season()
    weights = _solved(_design(time_ms, chosen), y)[1:]
    bases, at = [], 0
    for period, count in chosen:
        cosines, sines = weights[at : at + count], weights[at + count : at + 2 * count]
        bases.append(Base(period, tuple(cosines.tolist()), tuple(sines.tolist())))
        at += 2 * count
    return Season(tuple(bases))
