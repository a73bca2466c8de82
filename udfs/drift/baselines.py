"""A baseline: what is normal for a stream, learned from its first windows and then frozen.

    values y ── season, lag-1 correlation taken out ──> innovations e ── 32 bins by rank ──> scores

    e      | below all seen | 8 windows | ... | 8 windows | above all seen |
    bin            0              1       ...       30            31

The bins are narrow at both ends: what is rare says most. A share of one window is given to what was
never seen; that is its chance for a variable of which n were drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udfs.drift.e_sr import (
    COMPONENT_COUNT,
    advance,
    dispersion_scores,
    exponents,
    log_means,
    mixture,
    tempered,
)  # fmt: skip
from udfs.drift.normal_scores import bin_scores
from udfs.histogram import Floats
from udfs.partition_clocks import Bools, Int64s

BIN_COUNT = 32
TAIL_WINDOW_COUNT = 8
"""Windows in the outermost bin that was seen: fewer say too little about its share."""
TAIL_BIN_COUNT = 5
"""Bins at each end that are narrower than those in the middle."""
TAIL_SHARE_MAX = 1 / 24
EDGE_MARGIN = 1e-6
EMPTY_SHARE = 1e-9
PHI_MAX = 0.98
CORRELATION_CLIP = 4.0
"""One far value must not decide what the correlation of all is."""
BLOCK_WINDOW_COUNT = 25
VARIANCE_RATIOS = np.array([1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 25.0, 40.0])
CALM_FACTOR = 10.0
"""E over a baseline of n windows stays below 10 n with a chance of at least 9 in 10."""


@dataclass(frozen=True)
class Baselines:
    """Frozen baselines as columns, one row each.

    Args:
        phi: lag-1 correlation, shape (n,).
        variance_ratio: by how much sums of scores vary more than independent ones, shape (n,).
        edges: upper edge of each bin but the last, ascending, shape (n, BIN_COUNT - 1).
        scores: normal score of each bin, shape (n, BIN_COUNT).
        spreads: dispersion score of each bin, same shape.
        psi: log-means, shape (n, COMPONENT_COUNT).
        counts: windows in each bin, shape (n, BIN_COUNT).
    """

    phi: NDArray[np.float32]
    variance_ratio: NDArray[np.float32]
    edges: NDArray[np.float32]
    scores: NDArray[np.float32]
    spreads: NDArray[np.float32]
    psi: NDArray[np.float32]
    counts: NDArray[np.uint16]


def learn(y: Floats, is_next: Bools) -> Baselines:
    """Learn baselines from windows.

    Args:
        y: values in rough standard deviations, season taken out, shape (n, n_windows).
        is_next: whether a value's window follows the one before without a gap, same shape.
    """
    phi = lag_correlation(y, is_next)
    e = innovations(y, np.roll(y, 1, axis=1), is_next, phi[:, None])
    edges, counts = _bins(e)
    share = _shares(counts)
    scores, spreads = _scores(share)
    psi = log_means(scores, spreads, share, y.shape[1])
    places = bins_of(e.reshape(-1), np.repeat(edges, y.shape[1], axis=0)).reshape(e.shape)
    z, d = (np.take_along_axis(each, places, axis=1) for each in (scores, spreads))
    ratio = np.maximum(_block_variance(z), _calm_ratio(z, d, psi))
    return Baselines(
        phi.astype(np.float32),
        ratio.astype(np.float32),
        edges,
        scores.astype(np.float32),
        spreads.astype(np.float32),
        tempered(psi, ratio).astype(np.float32),
        counts.astype(np.uint16),
    )


def lag_correlation(y: Floats, is_next: Bools) -> Floats:
    """Return the lag-1 correlation of each row; 0 where it may be chance, shape (n,)."""
    clipped = np.clip(y - np.median(y, axis=1, keepdims=True), -CORRELATION_CLIP, CORRELATION_CLIP)
    clipped = clipped - clipped.mean(axis=1, keepdims=True)
    pairs = np.where(is_next[:, 1:], clipped[:, 1:] * clipped[:, :-1], 0.0)
    count = np.maximum(is_next[:, 1:].sum(axis=1), 1)
    variance = np.maximum((clipped * clipped).mean(axis=1), np.finfo(np.float64).tiny)
    found = pairs.sum(axis=1) / count / variance
    # The estimate of a short series is too small by about (1 + 3 phi) / n.
    unbiased = np.clip(found + (1 + 3 * found) / count, -PHI_MAX, PHI_MAX)
    return np.where(np.abs(found) < 2 / np.sqrt(count), 0.0, unbiased)


def innovations(y: Floats, before: Floats, is_next: Bools, phi: Floats) -> Floats:
    """Return what a value has that the one before does not explain; all shapes alike.

    After a gap nothing is known of the value before: the value is shrunk to the same spread.
    """
    alone = y * np.sqrt(1 - phi * phi)
    return np.where(is_next, y - phi * np.where(is_next, before, 0.0), alone)


def bins_of(e: Floats, edges: NDArray[np.float32]) -> Int64s:
    """Return the bin of each innovation; shapes (n,) and (n, BIN_COUNT - 1)."""
    is_above = e.astype(np.float32)[:, None] > edges
    # Added as bytes: numpy would turn each into 8 first.
    places = np.add.reduce(is_above.view(np.uint8), axis=1, dtype=np.uint8)
    found: Int64s = places.astype(np.int64)
    return found


def _bins(e: Floats) -> tuple[NDArray[np.float32], Int64s]:
    """Return edges that no atom lies on, and how many windows are in each bin."""
    ordered = np.sort(e, axis=1)
    count = e.shape[1]
    wanted = np.clip(np.rint(_levels(count) * count), 1, count).astype(np.int64)
    last = _ends_of_runs(ordered)[:, wanted - 1]
    upper = np.minimum(last + 1, count - 1)
    middle = (np.take_along_axis(ordered, last, 1) + np.take_along_axis(ordered, upper, 1)) / 2
    lowest, highest = ordered[:, :1] - EDGE_MARGIN, ordered[:, -1:] + EDGE_MARGIN
    inner = np.where(last == count - 1, highest, middle)
    edges = np.hstack([lowest, inner, highest])
    below = np.hstack([np.zeros_like(last[:, :1]), last + 1, np.full_like(last[:, :1], count)])
    counts = np.diff(below, axis=1, prepend=0, append=count)
    return edges.astype(np.float32), counts


def _levels(count: int) -> Floats:
    """Return the shares below the inner edges: narrow steps at both ends, even ones between."""
    smallest = TAIL_WINDOW_COUNT / count
    has_tails = smallest < TAIL_SHARE_MAX
    tail = np.geomspace(smallest, TAIL_SHARE_MAX, TAIL_BIN_COUNT) if has_tails else np.zeros(0)
    start = float(tail[-1]) if len(tail) else 0.0
    inner_count = BIN_COUNT - 2 - 2 * len(tail)
    even = np.linspace(start, 1 - start, inner_count + 1)[1:-1]
    return np.concatenate([tail, even, 1 - tail[::-1]])


def _ends_of_runs(ordered: Floats) -> Int64s:
    """Return for each place the last place that holds an equal value; shape (n, n_windows)."""
    count = ordered.shape[1]
    places = np.broadcast_to(np.arange(count), ordered.shape)
    is_last = np.ones(ordered.shape, np.bool_)
    is_last[:, :-1] = ordered[:, 1:] > ordered[:, :-1] + 2 * EDGE_MARGIN
    ends = np.where(is_last, places, count)
    nearest: Int64s = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return nearest


def scores_of(counts: Int64s) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scores of bins, of location and of dispersion, that follow from their counts.

    Args:
        counts: windows in each bin, shape (n, BIN_COUNT).
    """
    scores, spreads = _scores(_shares(counts))
    return scores.astype(np.float32), spreads.astype(np.float32)


def _scores(share: Floats) -> tuple[Floats, Floats]:
    scores = bin_scores(share)
    return scores, dispersion_scores(scores, share)


def _shares(counts: Int64s) -> Floats:
    weights = np.maximum(counts.astype(np.float64), EMPTY_SHARE)
    weights[:, [0, -1]] += 1.0
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _block_variance(z: Floats) -> Floats:
    """Return the long-run variance of scores, where it is surely above 1, shape (n,)."""
    block_count = z.shape[1] // BLOCK_WINDOW_COUNT
    blocks = z[:, : block_count * BLOCK_WINDOW_COUNT].reshape(len(z), block_count, -1)
    found = (blocks.sum(axis=2) ** 2).mean(axis=1) / BLOCK_WINDOW_COUNT
    surely: Floats = found * (1 - 2 * np.sqrt(2 / block_count))
    return np.maximum(1.0, surely)


def _calm_ratio(z: Floats, d: Floats, psi: Floats) -> Floats:
    """Return the smallest variance ratio under which the baseline itself looks calm, shape (n,)."""
    row_count, window_count = z.shape
    ratio = np.tile(VARIANCE_RATIOS, row_count)
    each = tempered(np.repeat(psi, len(VARIANCE_RATIOS), axis=0), ratio)
    evidence = np.zeros((len(ratio), COMPONENT_COUNT), np.float32)
    peak = np.zeros(len(ratio))
    for window in range(window_count):
        exponent = exponents(z[:, window], d[:, window])
        evidence = advance(evidence, np.repeat(exponent, len(VARIANCE_RATIOS), axis=0) - each)
        peak = np.maximum(peak, mixture(evidence))
    is_calm = (peak < CALM_FACTOR * window_count).reshape(row_count, -1)
    is_calm[:, -1] = True
    smallest: Floats = VARIANCE_RATIOS[is_calm.argmax(axis=1)]
    return smallest
