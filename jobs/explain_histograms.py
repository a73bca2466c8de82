"""From the bins of a finding to pieces that can be drawn: bars whose area is a share of windows.

Bins of a baseline hold known shares, so they are of unequal width, and where values repeat some
have none. In the sample after, the outermost bins are open: they hold all that is beyond.

    edges   1     2  2     3               pieces   [1, 2) 40 %, with what sits on 2
    before    20   20   60                          [2, 3) 60 %
    after     0     0   10 (p50 7, p95 9)           [2, 7) 50 %  [7, 9) 45 %  [9, 10) 5 %
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from udfs.drift.findings import Sample

LEVELS = (0.05, 0.5, 0.95)
MOVED_COUNT = 3
HALF = 0.5
SMOOTHING = 0.5
"""Added to both counts of a bin, so that an empty one has a weight too."""


@dataclass(frozen=True)
class Piece:
    """A part of a distribution.

    Args:
        low: its least value, unit of the metric.
        high: its greatest; the same as `low` where one value repeats.
        share: of the windows, 0-1.
    """

    low: float
    high: float
    share: float


@dataclass(frozen=True)
class MovedBin:
    """A bin that has gained or lost.

    Args:
        low: its lower edge, None when it is open.
        high: its upper edge, None when it is open.
        before: share of the windows of the baseline, 0-1.
        after: share since.
    """

    low: float | None
    high: float | None
    before: float
    after: float


def has_histogram(sample: Sample) -> bool:
    """Return whether there is something to draw.

    >>> has_histogram(Sample()), has_histogram(Sample(2, edges=(0.0, 1.0), counts=(2,)))
    (False, True)
    """
    fits = len(sample.edges) == len(sample.counts) + 1
    return fits and sum(sample.counts) > 0 and bool(np.isfinite(sample.edges).all())


def pieces_before(sample: Sample) -> list[Piece]:
    """Return the pieces of a baseline; see the head of this file."""
    return _closed(_bins(sample, is_open=False), sum(sample.counts))


def pieces_after(sample: Sample, before: Sample) -> list[Piece]:
    """Return the pieces of what came after; open bins are cut at the known quantiles.

    >>> before = Sample(100, edges=(1.0, 2.0, 2.0, 3.0), counts=(20, 20, 60))
    >>> after = Sample(10, 7.0, 6.0, 7.0, 9.0, before.edges, (0, 0, 10))
    >>> [(p.low, p.high, round(p.share, 2)) for p in pieces_after(after, before)]
    [(2.0, 6.0, 0.05), (6.0, 7.0, 0.45), (7.0, 9.0, 0.45), (9.0, 10.0, 0.05)]
    """
    is_open = sample.edges == before.edges
    bins, total = _bins(sample, is_open=is_open), sum(sample.counts)
    p05, p50, p95 = sample.p05, sample.p50, sample.p95
    if not is_open or p05 is None or p50 is None or p95 is None:
        return _closed(bins, total)
    left: list[Piece] = []
    right: list[Piece] = []
    (low, high), count = bins[-1]
    if count > 0 and p95 > high:
        right = _beyond((p05, p50, p95), low, 1 - count / total)
        bins.pop()
    if bins and bins[0][1] > 0 and p05 < bins[0][0][0]:
        (low, high), count = bins.pop(0)
        mirrored = _beyond((-p95, -p50, -p05), -high, 1 - count / total)
        left = [Piece(-piece.high, -piece.low, piece.share) for piece in reversed(mirrored)]
    return [*left, *_closed(bins, total), *right]


def _bins(sample: Sample, *, is_open: bool) -> list[tuple[tuple[float, float], int]]:
    """Return the bins; one without width joins the one before, to whose upper edge it belongs."""
    bins: list[tuple[tuple[float, float], int]] = []
    pairs = list(pairwise(sample.edges))
    for place, (pair, count) in enumerate(zip(pairs, sample.counts, strict=True)):
        is_last = place == len(pairs) - 1
        if bins and pair[0] == pair[1] and not (is_open and is_last):
            known, already = bins[-1]
            bins[-1] = known, already + count
        else:
            bins.append((pair, count))
    return bins


def _closed(bins: Sequence[tuple[tuple[float, float], int]], total: int) -> list[Piece]:
    return [Piece(low, high, count / total) for (low, high), count in bins if count > 0]


def _beyond(quantiles: tuple[float, float, float], low: float, share_below: float) -> list[Piece]:
    """Cut what is above `low` at the known quantiles; nobody knows the greatest value."""
    _, p50, p95 = quantiles
    known = zip(quantiles, LEVELS, strict=True)
    inside = [(value, level) for value, level in known if value > low and level > share_below]
    points = [(low, share_below), *inside, (p95 + (p95 - max(p50, low)) / 2, 1.0)]
    levels = dict(points)  # of values that are the same the highest level holds
    return [
        Piece(left, right, level - below)
        for (left, below), (right, level) in pairwise(_steps(points, levels))
        if level > below
    ]


def _steps(
    points: Sequence[tuple[float, float]], levels: dict[float, float]
) -> list[tuple[float, float]]:
    """Return each value once before and once behind its step, which is where values repeat."""
    firsts = dict(reversed(points))
    return [
        (value, level)
        for value, last in levels.items()
        for level in dict.fromkeys((firsts[value], last))
    ]


def density(piece: Piece, least_width: float) -> float:
    """Return the height of a bar whose area is the share, per unit of the metric."""
    return piece.share / max(piece.high - piece.low, least_width)


def usual_density(pieces: Sequence[Piece], least_width: float) -> float:
    """Return the density that half of the windows lie below: single high bars do not move it.

    >>> usual_density([Piece(0, 1, 0.4), Piece(1, 1.01, 0.1), Piece(1.01, 2, 0.5)], 0.01) < 1
    True
    """
    heights = sorted((density(piece, least_width), piece.share) for piece in pieces)
    reached = 0.0
    for height, share in heights:
        reached += share
        if reached >= HALF:
            return height
    return heights[-1][0]


def moved_bins(before: Sample, after: Sample) -> list[MovedBin]:
    """Return the bins that add most to the stability index, the first one most."""
    if before.edges != after.edges or not has_histogram(before) or not has_histogram(after):
        return []
    rows = list(_paired(before, after))
    rows.sort(key=lambda row: row[0], reverse=True)
    return [moved for weight, moved in rows[:MOVED_COUNT] if weight > 0]


def _paired(before: Sample, after: Sample) -> Iterator[tuple[float, MovedBin]]:
    olds, news = _bins(before, is_open=False), _bins(after, is_open=True)
    if len(olds) < len(news):  # the last open bin has no width in the baseline
        edge = before.edges[-1]
        olds = [*olds, ((edge, edge), 0)]
    old_total, new_total, last = sum(before.counts), sum(after.counts), len(olds) - 1
    for place, ((pair, old), (_, new)) in enumerate(zip(olds, news, strict=True)):
        was, now = (old + SMOOTHING) / old_total, (new + SMOOTHING) / new_total
        low, high = (None if place == 0 else pair[0]), (None if place == last else pair[1])
        weight = float((now - was) * np.log(now / was))
        yield weight, MovedBin(low, high, old / old_total, new / new_total)
