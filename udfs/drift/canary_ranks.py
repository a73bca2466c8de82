"""Sequential normal scores of devices: evidence that is exact whatever the values' distribution.

The devices of one stratum and one look stand in a row that does not depend on their values. Device
i is ranked among the i devices of the row so far, itself among them. While the two versions do the
same (the devices are exchangeable), these ranks are **independent of each other and uniform**,
whatever the distribution: no variance is estimated and no tail is assumed. Windows of one device
may be correlated as they like, for a device is one value. A rank becomes the mean of a normal
variable Z over the rank's share of probability, ties over the shares of all equal values:

    z_i = E[Z | lo/i < F(Z) <= hi/i] = i / (hi - lo) * (pdf(q(lo/i)) - pdf(q(hi/i)))

    lo = devices before that are smaller, hi = devices up to this one that are not larger

As z is a conditional mean of Z, Jensen gives E exp(s z_i) <= E exp(s Z) = exp(s^2 / 2): scores are
1-sub-Gaussian, with ties too. Each is weighted by what it can say, the share of the other version
among the devices before it:

    c_i = +share of control before i, of treatment      S = sum c_i z_i
          -share of treatment before i, of control      V = sum c_i^2

A shift of d standard deviations (of devices, within the stratum) moves z_i by about d c_i, so S is
about N(d V, V): V is the information, near n/2 of n devices per version. It is bounded by the
number of devices: more windows of the same devices add none.

References:
    Renyi 1962 (sequential ranks are independent); Barndorff-Nielsen 1963.
    Parent 1965, Sequential ranking procedures: no loss of efficiency against ranks of all.
"""

from dataclasses import dataclass

import numpy as np

from udfs.drift.normal_scores import normal_density, normal_quantile
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

_BLOCK = 256


@dataclass(frozen=True)
class Row:
    """Devices in the order in which they are looked at, each of shape (n,).

    Args:
        low: edge of its share of probability below, 0 to 1.
        high: edge above.
        weight: c_i above; 0 where nobody of the other version stands before it.
        place: position of its version that it completes, 0 to 1; orders rows of several strata.
    """

    low: Floats
    high: Floats
    weight: Floats
    place: Floats

    def scores(self) -> Floats:
        """Return z_i."""
        fall = _edge_density(self.low) - _edge_density(self.high)
        scores: Floats = fall / (self.high - self.low)
        return scores

    def square_scores(self) -> Floats:
        """Return the same mean of (Z^2 - 1) / sqrt 2: large at both ends."""
        rise = _edge_moment(self.low) - _edge_moment(self.high)
        scores: Floats = rise / (self.high - self.low) / np.sqrt(2)
        return scores


def row_of(values: Floats, is_treatment: Bools, hashes: Int64s) -> Row:
    """Line up the devices of one stratum and rank each among those before it.

    The two versions take turns in proportion, each in the order of its hashes: the order knows
    nothing of values, and every stretch of the row compares the two.

    Args:
        values: one of each device, finite, shape (n,).
        is_treatment: same shape.
        hashes: stable, different for each device, same shape.

    >>> row = row_of(np.array([3.0, 1.0]), np.array([True, False]), np.array([1, 2]))
    >>> row.scores().round(3).tolist(), row.weight.tolist()
    ([0.0, -0.798], [0.0, -1.0])
    """
    order, place = _taking_turns(is_treatment, hashes)
    is_treatment = is_treatment[order]
    below, equal = sequential_counts(values[order])
    count = np.arange(1, len(values) + 1)
    before = np.maximum(count - 1, 1)
    treatment_before: Int64s = np.cumsum(is_treatment) - is_treatment
    control_before = count - 1 - treatment_before
    weight = np.where(is_treatment, control_before, -treatment_before) / before
    return Row(below / count, (below + equal + 1) / count, weight, place)


def joined(rows: list[Row]) -> Row:
    """Merge the rows of strata into one: increments of all are independent, so their sums add."""
    place = np.concatenate([row.place for row in rows])
    order = np.argsort(place, kind="stable")
    low, high, weight = (
        np.concatenate([getattr(row, name) for row in rows])[order]
        for name in ("low", "high", "weight")
    )
    return Row(low, high, weight, place[order])


def sequential_counts(values: Floats) -> tuple[Int64s, Int64s]:
    """Count for each value how many before it are smaller, and how many are equal.

    >>> [counts.tolist() for counts in sequential_counts(np.array([2.0, 1.0, 2.0, 3.0]))]
    [[0, 0, 1, 3], [0, 0, 1, 0]]
    """
    distinct, code = np.unique(values, return_inverse=True)
    seen = np.zeros(len(distinct) + 1, np.int64)
    below, equal = np.zeros((2, len(values)), np.int64)
    for start in range(0, len(values), _BLOCK):
        block = code[start : start + _BLOCK]
        smaller = np.concatenate([[0], np.cumsum(seen)])
        is_before = np.tri(len(block), k=-1, dtype=bool)
        below[start : start + _BLOCK] = smaller[block] + (
            (block[None, :] < block[:, None]) & is_before
        ).sum(axis=1)
        equal[start : start + _BLOCK] = seen[block] + (
            (block[None, :] == block[:, None]) & is_before
        ).sum(axis=1)
        seen += np.bincount(block, minlength=len(seen))
    return below, equal


def _taking_turns(is_treatment: Bools, hashes: Int64s) -> tuple[Int64s, Floats]:
    """Return the order of the devices, and the places in it, ascending."""
    place = np.empty(len(hashes))
    for arm in (True, False):
        members = np.flatnonzero(is_treatment == arm)
        members = members[np.argsort(hashes[members], kind="stable")]
        place[members] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
    order = np.lexsort((hashes, ~is_treatment, place))
    return order, place[order]


def _edge_density(p: Floats) -> Floats:
    """Return the density at the quantile p, 0 at both ends."""
    inside = normal_density(normal_quantile(p))
    return np.where((p <= 0) | (p >= 1), 0.0, inside)


def _edge_moment(p: Floats) -> Floats:
    """Return x pdf(x) at the quantile p, 0 at both ends."""
    x = normal_quantile(p)
    return np.where((p <= 0) | (p >= 1), 0.0, x * normal_density(x))
