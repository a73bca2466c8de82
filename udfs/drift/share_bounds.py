"""Bounds of a share that was counted, and how sure they are."""

import numpy as np

from udfs.histogram import Floats

UPPER_99_SIGMA = 2.3263


def upper_99(share: Floats, trials: Floats) -> Floats:
    """Return the upper 99 % bound of a share, short of 1; arguments as in `share_bounds`."""
    return np.minimum(share_bounds(share, trials, UPPER_99_SIGMA)[1], 1 - 1e-6)


def share_bounds(share: Floats, trials: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Return Wilson's bounds of a share, each one-sided.

    Args:
        share: of the trials that are bad, 0 to 1, shape (n,).
        trials: how many independent ones they are worth, shape (n,).
        sigma: how sure, in standard deviations of a normal.

    >>> least, most = share_bounds(np.array([0.5]), np.array([100.0]), 1.96)
    >>> round(float(least[0]), 3), round(float(most[0]), 3)
    (0.404, 0.596)
    """
    trials = np.maximum(trials, 1.0)
    square = sigma**2 / trials
    width = sigma * np.sqrt(share * (1 - share) / trials + square / (4 * trials))
    middle, scale = share + square / 2, 1 + square
    return np.maximum(middle - width, 0.0) / scale, (middle + width) / scale
