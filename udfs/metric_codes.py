"""Names of metrics as numbers: a block has many points and few names.

name     cpu  gpu  cpu  cpu        metric   0 1 0 0
names    cpu gpu
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from udfs.partition_clocks import Int64s


def with_metric_codes(points: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Replace the column name by metric, a number; return the names by number, too.

    >>> coded, names = with_metric_codes(pl.DataFrame({"name": ["gpu", "cpu", "gpu"]}))
    >>> coded["metric"].to_list(), names.to_list()
    ([1, 0, 1], ['cpu', 'gpu'])
    """
    # Their order in memory goes into the bytes of a section: a hash table's own is never the same.
    names = points["name"].unique(maintain_order=True).sort()
    # Of the names that occur: a table of all that ever occurred would grow for ever.
    metric = points["name"].cast(pl.Enum(names)).to_physical()
    return points.drop("name").with_columns(metric=metric), names


def joint_names(parts: Sequence[pl.Series]) -> tuple[pl.Series, list[Int64s]]:
    """Return the names of several parts, and for each part the new number of each of its names.

    >>> names, numbers = joint_names([pl.Series(["cpu", "gpu"]), pl.Series(["cpu", "fan", "gpu"])])
    >>> names.to_list(), [part.tolist() for part in numbers]
    (['cpu', 'fan', 'gpu'], [[0, 2], [0, 1, 2]])
    """
    names = pl.concat(parts).unique().sort()
    numbers = pl.Enum(names)
    return names, [part.cast(numbers).to_physical().to_numpy().astype(np.int64) for part in parts]
