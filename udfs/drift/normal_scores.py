"""Normal scores: what value a normal variable would have had at the rank of an observation.

A score depends on the order of values only, so heavy tails, skew, clipping and the unit of a metric
do not matter: its null law is the same for all, and so is the false-alarm rate.

References:
    Wichura 1988, Algorithm AS 241, Applied Statistics 37(3): the percentage points.
"""

import numpy as np

from udfs.histogram import Floats

_CENTRE_NUM = (
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
    1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
    3.3430575583588128105e4, 2.5090809287301226727e3,
)  # fmt: skip
_CENTRE_DEN = (
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
    5.2264952788528545610e3,
)  # fmt: skip
_TAIL_NUM = (
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
    3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
    2.27238449892691845833e-2, 7.74545014278341407640e-4,
)  # fmt: skip
_TAIL_DEN = (
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)  # fmt: skip
_CENTRE_MAX = 0.425
_SMALLEST_P = 1e-10
"""The tail's formula holds to exp(-25); no share that is learned is as small as this."""


def normal_quantile(p: Floats) -> Floats:
    """Return the standard normal quantile of each probability, to 1e-15 within [1e-10, 1 - 1e-10].

    Args:
        p: any shape; clipped into that span.

    >>> normal_quantile(np.array([0.5, 0.975, 0.001])).round(6).tolist()
    [0.0, 1.959964, -3.090232]
    """
    p = np.clip(p, _SMALLEST_P, 1 - _SMALLEST_P)
    q = p - 0.5
    centre = _ratio(_CENTRE_MAX**2 - q * q, _CENTRE_NUM, _CENTRE_DEN) * q
    depth = np.sqrt(-np.log(np.minimum(p, 1 - p))) - 1.6
    tail = np.sign(q) * _ratio(depth, _TAIL_NUM, _TAIL_DEN)
    return np.where(np.abs(q) <= _CENTRE_MAX, centre, tail)


def _ratio(x: Floats, above: tuple[float, ...], below: tuple[float, ...]) -> Floats:
    polynomial = np.polynomial.polynomial.polyval
    found: Floats = polynomial(x, above) / polynomial(x, below)
    return found


def normal_density(x: Floats) -> Floats:
    """Return the standard normal density, any shape.

    >>> normal_density(np.zeros(1)).round(6).tolist()
    [0.398942]
    """
    density: Floats = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    return density


def bin_scores(share: Floats) -> Floats:
    """Return the score of each bin: the mean of a normal variable within its span of ranks.

    Args:
        share: probability of each bin, shape (n, n_bins), each row's sum 1, all above 0.

    Returns:
        Shape (n, n_bins), ascending; mean 0 and variance 1 under `share`.

    >>> bin_scores(np.array([[0.5, 0.5]])).tolist()
    [[-1.0, 1.0]]
    """
    inner = np.cumsum(share, axis=1)[:, :-1]
    edge = np.zeros((len(share), 1))
    density = np.hstack([edge, normal_density(normal_quantile(inner)), edge])
    score = (density[:, :-1] - density[:, 1:]) / share
    return standardised(score, share)


def standardised(score: Floats, share: Floats) -> Floats:
    """Shift and scale scores to mean 0 and variance 1 under `share`; shapes (n, n_bins)."""
    score = score - (share * score).sum(axis=1, keepdims=True)
    spread = np.sqrt((share * score * score).sum(axis=1, keepdims=True))
    scaled: Floats = score / np.maximum(spread, np.finfo(np.float64).tiny)
    return scaled
