"""The e-detector of D1: a mixture of Shiryaev-Roberts recursions on normal scores.

For each shift that is looked for (a component), with score s, strength lambda and log-mean psi:

    R <- (1 + R) * exp(lambda * s - psi)          E = sum of weight * R       alarm: E >= gamma

While nothing has changed, a factor's mean is at most 1, so E grows by at most 1 a window in the
mean, and the mean time to a false alarm is at least gamma. Six components look for a shift of the
location (s = normal score z), three for a change of the dispersion (s = z^2, standardised).

References:
    Shin, Ramdas, Rinaldo 2024, E-detectors: a nonparametric framework for sequential change
    detection, New England Journal of Statistics in Data Science 2(2).
    Roberts 1966, A comparison of some control chart procedures, Technometrics 8(3).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from udfs.drift.normal_scores import standardised
from udfs.histogram import Floats
from udfs.partition_clocks import Int64s

Singles: TypeAlias = NDArray[np.float32]

SHIFTS = np.array([-2.5, -1.0, -0.5, 0.5, 1.0, 2.5])
"""Strengths of the components of location; a shift is found fastest by the strength it has."""
SPREADS = np.array([-0.5, 0.4, 0.8])
"""Strengths of the components of dispersion."""
COMPONENT_COUNT = len(SHIFTS) + len(SPREADS)
WEIGHTS = np.array([0.85 / len(SHIFTS)] * len(SHIFTS) + [0.15 / len(SPREADS)] * len(SPREADS))
DIRECTIONS = ("down",) * 3 + ("up",) * 3 + ("narrow", "wide", "wide")
"""What a component looks for, by its place."""
GUARD_SIGMAS = 0.5
"""How many standard errors of a learned mean are given away, as baselines are finite.

DECISIONS.md has the false-alarm rates and delays that were measured for 0, 0.5 and 1.
"""
R_MAX = 1e30
"""Evidence beyond it says no more; it keeps the recursion finite in 32 bits."""


def dispersion_scores(z: Floats, share: Floats) -> Floats:
    """Return the score by which a change of dispersion is seen; shapes (n, n_bins)."""
    return standardised(z * z, share)


def exponents(z: Floats, spread: Floats) -> Floats:
    """Return lambda * score of every component.

    Args:
        z: normal scores, any shape.
        spread: scores of dispersion, the same shape.

    Returns:
        That shape with one more axis, the components, at its end.
    """
    shifts = z[..., None] * SHIFTS
    return np.concatenate([shifts, spread[..., None] * SPREADS], axis=-1)


def log_means(z: Floats, spread: Floats, share: Floats, window_count: int) -> Floats:
    """Return psi of every component: the log-mean of its factor, with a guard for small baselines.

    The mean is learned from `window_count` windows; half a standard error is added to it, so that
    the mean time between false alarms is kept on average over baselines.

    Args:
        z: scores of the bins, shape (n, n_bins).
        spread: dispersion scores of the bins, same shape.
        share: of windows in each bin, same shape; rows add up to 1.
        window_count: from which the shares were learned.

    Returns:
        Shape (n, COMPONENT_COUNT).
    """
    factor = np.exp(exponents(z, spread))
    mean = (share[..., None] * factor).sum(axis=1)
    variance = (share[..., None] * factor * factor).sum(axis=1) - mean * mean
    error = np.sqrt(np.maximum(variance, 0.0) / window_count)
    psi: Floats = np.log(mean + GUARD_SIGMAS * error)
    return psi


def tempered(psi: Floats, variance_ratio: Floats) -> Floats:
    """Return psi for scores whose sums vary more than those of independent ones.

    The log-mean of a sum of n dependent scores is about n * ratio * lambda^2 / 2.

    Args:
        psi: shape (n, COMPONENT_COUNT).
        variance_ratio: long-run variance of the scores over their own, at least 1, shape (n,).
    """
    strengths = np.concatenate([SHIFTS, SPREADS])
    higher: Floats = psi + (variance_ratio[:, None] - 1.0) * strengths**2 / 2
    return higher


def log_factors(z: Singles, spread: Singles, psi: Singles) -> Singles:
    """Return lambda * score - psi of every component, all in 32 bits as the state keeps them.

    Args:
        z: normal scores, shape (n,).
        spread: scores of dispersion, same shape.
        psi: log-means, shape (n, COMPONENT_COUNT).
    """
    found = np.empty(psi.shape, np.float32)
    np.multiply(z[:, None], SHIFTS.astype(np.float32), out=found[:, : len(SHIFTS)])
    np.multiply(spread[:, None], SPREADS.astype(np.float32), out=found[:, len(SHIFTS) :])
    found -= psi
    return found


def advance(evidence: Singles, log_factor: Floats | Singles) -> Singles:
    """Return R of every component after one window; shapes (n, COMPONENT_COUNT)."""
    after: Singles = np.exp(log_factor.astype(np.float32, copy=False))
    after *= np.float32(1.0) + evidence
    return np.minimum(after, np.float32(R_MAX), out=after)


def onsets(
    onset: Singles, starts_ms: Int64s, log_factor: Floats | Singles, start_ms: Int64s
) -> tuple[Singles, Int64s]:
    """Return when each component's shift most likely began, and the statistic that says so.

    The most likely start is where the sum of log-factors up to now is largest: where a CUSUM
    last left zero.

    Args:
        onset: the CUSUM of each component, shape (n, COMPONENT_COUNT).
        starts_ms: where it left zero, same shape.
        log_factor: of one window, same shape.
        start_ms: of that window, shape (n,).

    References:
        Page 1954, Continuous inspection schemes, Biometrika 41.
    """
    since = np.where(onset > 0, starts_ms, start_ms[:, None])
    grown = onset + log_factor.astype(np.float32, copy=False)
    return np.maximum(grown, np.float32(0.0), out=grown), since


def mixture(evidence: Singles) -> Floats:
    """Return E: the evidence of all components together, shape (n,).

    The sum is taken component by component, so that its rounding is that of a single row.
    """
    total = np.zeros(len(evidence))
    for place, weight in enumerate(WEIGHTS):
        total += weight * evidence[:, place].astype(np.float64)
    return total


def log10_of(evidence: Singles) -> Floats:
    """Return log10 of E, shape (n,)."""
    log10_e: Floats = np.log10(np.maximum(mixture(evidence), np.finfo(np.float64).tiny))
    return log10_e
