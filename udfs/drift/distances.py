"""How far two histograms are apart: PSI, Wasserstein distance, quantiles; and what chance allows.

    PSI = sum over categories of (q - p) log(q / p)     p before, q after, each count + 1/2

While all is well, n independent points in B categories have n PSI near chi-squared with B - 1
degrees of freedom; of points that hang together it is larger, and by how much must be learned.

References:
    Siddiqi 2006, Credit Risk Scorecards (the index, and 0.1 and 0.2).
    Yurdakul 2018, Statistical properties of the population stability index (its distribution).
    Rao, Scott 1984, Annals of Statistics 12(1); Thomas, Rao 1987, JASA 82(398) (chi-squared of
    clustered points as F).
"""

import math

import numpy as np

from udfs.histogram import Floats, bin_value
from udfs.partition_clocks import Int64s

SMOOTHING = 0.5
FRACTION_TERMS = 400
_TINY = 1e-300


def stability_index(before: Floats, after: Floats, category_count: Int64s) -> Floats:
    """Return the population stability index of each row, shape (n,).

    Args:
        before: points by category, shape (n, n_categories).
        after: same shape.
        category_count: categories that count, from the first on, shape (n,).

    >>> alike = np.array([[50.0, 50.0, 0.0]])
    >>> stability_index(alike, alike, np.array([2])).tolist()
    [0.0]
    >>> float(stability_index(alike, np.array([[90.0, 10.0, 0.0]]), np.array([2]))[0].round(2))
    0.85
    """
    total = np.zeros(len(before))
    smoothing = SMOOTHING * category_count
    n_before, n_after = _added(before) + smoothing, _added(after) + smoothing
    for place in range(before.shape[1]):
        p = (before[:, place] + SMOOTHING) / n_before
        q = (after[:, place] + SMOOTHING) / n_after
        total += np.where(place < category_count, (q - p) * np.log(q / p), 0.0)
    return total


def _added(counts: Floats) -> Floats:
    """Add columns one after the other: the rounding of numpy's own sum depends on the shape."""
    total = np.zeros(len(counts))
    for place in range(counts.shape[1]):
        total += counts[:, place]
    return total


def log10_tail_of_f(ratio: float, above: float, below: float) -> float:
    """Return log10 of the chance that an F-distributed ratio is larger.

    Args:
        ratio: above 0.
        above: degrees of freedom of its numerator.
        below: of its denominator.

    >>> round(10 ** log10_tail_of_f(4.256, 2, 9), 3)
    0.05
    >>> round(log10_tail_of_f(1.0, 1, 1), 3)
    -0.301
    >>> round(log10_tail_of_f(71.0, 4, 8), 2)
    -5.56
    """
    x = below / (below + above * ratio)
    return _log_beta_ratio(below / 2, above / 2, x) / math.log(10)


def _log_beta_ratio(a: float, b: float, x: float) -> float:
    """Return the natural log of the regularised incomplete beta function I_x(a, b)."""
    if x >= 1:
        return 0.0
    if x <= 0:
        return -math.inf
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front += a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return front + math.log(_continued_fraction(a, b, x) / a)
    other = math.exp(front) * _continued_fraction(b, a, 1 - x) / b
    return math.log(max(1 - other, _TINY))


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the fraction of the incomplete beta function (Lentz; DLMF 8.17.22)."""
    c, d = 1.0, 1.0 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, FRACTION_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-12:  # noqa: PLR2004 - rounding ends it
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def quantile_of(values: Floats, points: Int64s, level: float) -> float:
    """Return a quantile of a sparse histogram: the value of rank ceil(level * n), at least 1.

    >>> quantile_of(np.array([1.0, 2.0]), np.array([5, 5]), 0.5)
    1.0
    """
    cumulated = np.cumsum(points)
    rank = max(1, math.ceil(level * int(cumulated[-1])))
    return float(values[np.searchsorted(cumulated, rank)])


def mean_and_sigma(bins: Int64s, points: Int64s) -> tuple[float, float]:
    """Return mean and standard deviation of a sparse histogram, to its resolution.

    Args:
        bins: as in `udfs.histogram`, ascending.
        points: in each, above 0.
    """
    values = bin_value(bins)
    share = points / points.sum()
    mean = float((share * values).sum())
    return mean, float(np.sqrt((share * (values - mean) ** 2).sum()))


def wasserstein(edges: Floats, shares: Floats, values: Floats, points: Int64s) -> float:
    """Return the area between two distribution functions, in the unit of the values.

    Args:
        edges: of the histogram before, ascending, shape (n + 1,).
        shares: of its bins; within each all values are as likely, shape (n,).
        values: of the sample after, ascending.
        points: of each value.

    >>> wasserstein(np.array([0.0, 1.0]), np.array([1.0]), np.array([0.5]), np.array([9]))
    0.25
    """
    grid = np.unique(np.concatenate([edges, values]))
    before = np.interp(grid, edges, np.concatenate([[0.0], np.cumsum(shares)]), left=0.0)
    after = np.cumsum(points)[np.searchsorted(values, grid, side="right") - 1] / points.sum()
    after = np.where(grid < values[0], 0.0, after)
    left, right = before[:-1] - after[:-1], before[1:] - after[:-1]
    width = np.diff(grid)
    crosses = left * right < 0
    span = np.where(crosses, np.abs(left) + np.abs(right), 1.0)
    plain = (np.abs(left) + np.abs(right)) / 2
    cut = (left**2 + right**2) / (2 * span)
    return float((np.where(crosses, cut, plain) * width).sum())
