"""What a person needs to judge a shift: both distributions, and how far they are apart.

before    quantiles of the baseline, in the unit of the metric: bins of known shares
after     the windows since the shift began (at most 64), counted in the same bins
"""

from dataclasses import dataclass

import numpy as np

from udfs.drift.findings import BaselineNote, Sample
from udfs.drift.shift_alarms import recent_windows
from udfs.drift.shift_table import LEVELS, Phase, Table
from udfs.histogram import Floats

SMOOTHING = 0.5
"""Added to the count of every bin, so that an empty one gives no infinite index."""
_P05, _P50, _P95 = (LEVELS.index(level) for level in (0.05, 0.5, 0.95))


@dataclass(frozen=True)
class ShiftPicture:
    """Two distributions of a stream and the distances between them.

    Args:
        before: of the baseline.
        after: since the shift began.
        psi: population stability index.
        w1_sigma: Wasserstein distance, in standard deviations of the baseline.
        baseline: what was judged against; its id lacks the name of the stream.
        opened_ms: when the first alarm of the incident fired, `NEVER_MS` for a watch.
        scale: standard deviation of the baseline, unit of the metric.
    """

    before: Sample
    after: Sample
    psi: float
    w1_sigma: float
    baseline: BaselineNote
    opened_ms: int
    scale: float


def picture_of(table: Table, stream: int, window_count: int) -> ShiftPicture:
    """Return before and after of one stream.

    Args:
        table: `SHIFT_ROW`.
        stream: its row.
        window_count: windows since the shift began.
    """
    row = table[stream]
    y, is_in = recent_windows(table, np.array([stream]), np.array([window_count]))
    after = np.sort(y[0][is_in[0]])
    levels = np.array(LEVELS)
    quantiles = row["quantiles"].astype(np.float64)
    learned = int(row["counts"].sum(dtype=np.int64))
    shares = np.diff(levels)
    found = _counts(after, quantiles)
    return ShiftPicture(
        before=_sample(row, quantiles, float(row["mean_y"]), np.rint(shares * learned), learned),
        after=_after_sample(row, after, quantiles, found),
        psi=population_stability_index(shares, found),
        w1_sigma=_distance(after, quantiles, levels),
        baseline=BaselineNote(
            f"{int(row['from_ms'])}-{int(row['until_ms'])}",
            learned, int(row["from_ms"]), int(row["until_ms"]),
            is_provisional=bool(row["phase"] != Phase.FROZEN),
        ),
        opened_ms=int(row["opened_ms"]),
        scale=float(row["scale"]),
    )  # fmt: skip


def population_stability_index(shares: Floats, counts: Floats) -> float:
    """Return the index of counts against the shares that were expected, with smoothing.

    >>> population_stability_index(np.array([0.5, 0.5]), np.array([50.0, 50.0]))
    0.0

    References:
        Siddiqi 2006, Credit Risk Scorecards (the index and its thresholds 0.1 and 0.2).
    """
    smoothed = counts + SMOOTHING
    now = smoothed / smoothed.sum()
    return float(((now - shares) * np.log(now / shares)).sum())


def _counts(after: Floats, quantiles: Floats) -> Floats:
    """Count windows between the quantiles; what is beyond belongs to the outermost bins."""
    places = np.searchsorted(quantiles[1:-1], after, side="left")
    return np.bincount(places, minlength=len(quantiles) - 1).astype(np.float64)


def _distance(after: Floats, quantiles: Floats, levels: Floats) -> float:
    """Return the area between the two quantile functions."""
    if not len(after):
        return 0.0
    grid = (np.arange(200) + 0.5) / 200
    now = after[np.minimum((grid * len(after)).astype(np.int64), len(after) - 1)]
    return float(np.abs(now - np.interp(grid, levels, quantiles)).mean())


def _sample(row: Table, quantiles: Floats, mean_y: float, counts: Floats, learned: int) -> Sample:
    values = row["location"] + row["scale"] * quantiles
    return Sample(
        learned, float(row["location"] + row["scale"] * mean_y),
        float(values[_P05]), float(values[_P50]), float(values[_P95]),
        tuple(values.tolist()), tuple(int(count) for count in counts),
    )  # fmt: skip


def _after_sample(row: Table, after: Floats, quantiles: Floats, counts: Floats) -> Sample:
    if not len(after):
        return Sample()
    location, scale = float(row["location"]), float(row["scale"])
    low, middle, high = (location + scale * np.quantile(after, (0.05, 0.5, 0.95))).tolist()
    edges = location + scale * quantiles
    return Sample(
        len(after), location + scale * float(after.mean()), low, middle, high,
        tuple(edges.tolist()), tuple(int(count) for count in counts),
    )  # fmt: skip
