"""What D2 learns: the baseline's categories, once, and how much blocks differ while all is well.

hours 1 ............ 24 | 25 ........ 48 | 49 ........ 72 | 73 ...... 168
      baseline, frozen  | no verdict yet | shown          | pages
                        | how far blocks are from it: learned ........ |
"""

from collections import Counter

import numpy as np

from udfs.drift.cells import Cells, category_counts
from udfs.drift.distances import mean_and_sigma, quantile_of
from udfs.drift.distribution_table import CATEGORY_MAX, NO_BIN
from udfs.drift.row_tables import Rows
from udfs.histogram import Floats, bin_value
from udfs.partition_clocks import Int64s

QUANTILE_BIN_COUNT = 10
CLASS_SHARE_MIN = 0.01
"""A class that is rarer belongs to the others: a few points of it would decide the index."""
LEVELS = (0.05, 0.5, 0.95)
FREEDOM_MIN = 0.5
CORRELATION_MAX = 0.9


def freeze(table: Rows, cells: Cells, stream: int) -> None:
    """Learn the baseline of one stream.

    Args:
        table: `DISTRIBUTION_ROW`; one of its rows is changed.
        cells: of the baseline of that stream, added up, at least one.
        stream: its row.
    """
    bins, points = cells.bin, cells.points
    upper = _classes(bins, points) if table["is_class"][stream] else _cuts(bins, points)
    table["upper"][stream] = NO_BIN
    table["upper"][stream, : len(upper)] = upper
    table["category_count"][stream] = len(upper) + 1
    counts = category_counts(cells, table, np.array([stream]))
    table["expected"][stream] = counts[0]
    table["figures"][stream] = _figures(bins, points)


def _classes(bins: Int64s, points: Int64s) -> list[int]:
    """Return the bins of the classes that are not rare, ascending; all else is `other`."""
    shares = Counter(dict(zip(bins.tolist(), (points / points.sum()).tolist(), strict=True)))
    common = [b for b, share in shares.most_common(CATEGORY_MAX - 1) if share >= CLASS_SHARE_MIN]
    return sorted(common)


def _cuts(bins: Int64s, points: Int64s) -> list[int]:
    """Return the last bin of each category but the last: about a tenth of the points in each."""
    below = np.cumsum(points)
    wanted = np.arange(1, QUANTILE_BIN_COUNT) / QUANTILE_BIN_COUNT * below[-1]
    places = np.unique(np.searchsorted(below, wanted))
    return [int(bins[place]) for place in places if place < len(bins) - 1]


def _figures(bins: Int64s, points: Int64s) -> list[float]:
    values = bin_value(bins)
    middle = [quantile_of(values, points, level) for level in LEVELS]
    return [*mean_and_sigma(bins, points), float(values[0]), *middle, float(values[-1])]


def learn_law(table: Rows, rows: Int64s, law: str, psi: Floats, points: Floats) -> None:
    """Add blocks to what is known of blocks while all is well.

    Args:
        table: `DISTRIBUTION_ROW`, changed.
        rows: streams, each once.
        law: hour or day.
        psi: index of each block, shape (n,).
        points: in each block.
    """
    known = table[law][rows]
    # A thin block differs more by chance: it counts as if it had as many points as others.
    usual = np.where(known["block_count"] > 0, usual_points(known), points)
    weighed = psi * np.minimum(1.0, points / np.maximum(usual, 1.0))
    known["block_count"] += 1
    known["points"] += points
    known["psi_sum"] += weighed
    known["psi_square"] += weighed**2
    known["psi_lag"] += weighed * known["psi_last"]
    known["psi_last"] = weighed
    known["psi_max"] = np.maximum(known["psi_max"], weighed)
    table[law][rows] = known


def usual_points(law: Rows) -> Floats:
    """Return the mean number of points of the blocks learned from, shape (n,)."""
    usual: Floats = law["points"] / np.maximum(law["block_count"], 1)
    return usual


def usual_psi(law: Rows, category_count: Int64s) -> Floats:
    """Return the mean index of blocks while all is well: at least that of independent points."""
    mean = law["psi_sum"] / np.maximum(law["block_count"], 1)
    of_chance = np.maximum(category_count - 1, 1) / np.maximum(usual_points(law), 1.0)
    found: Floats = np.maximum(mean, of_chance)
    return found


def freedom(law: Rows, category_count: Int64s) -> Floats:
    """Return the degrees of freedom of the index, by its mean and variance, shape (n,).

    Points that hang together move the shares together: the fewer ways there are, the longer the
    tail. A season looks like that too.
    """
    mean, variance = _moments(law)
    most = np.maximum(category_count - 1, 1)
    found: Floats = np.clip(2 * mean**2 / variance, FREEDOM_MIN, most)
    return found


def independent_blocks(law: Rows) -> Floats:
    """Return how many independent blocks those learned from are worth, shape (n,).

    Blocks that resemble the one before say less of how far blocks may go.
    """
    mean, variance = _moments(law)
    count = np.maximum(law["block_count"].astype(np.float64), 1)
    correlation = np.clip((law["psi_lag"] / count - mean**2) / variance, 0, CORRELATION_MAX)
    found: Floats = count * (1 - correlation) / (1 + correlation)
    return found


def _moments(law: Rows) -> tuple[Floats, Floats]:
    count = np.maximum(law["block_count"], 1)
    mean = law["psi_sum"] / count
    return mean, np.maximum(law["psi_square"] / count - mean**2, 1e-12)
