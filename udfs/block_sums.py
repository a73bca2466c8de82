"""The second step: sum the new points of many shards into window deltas, and account for them.

It remembers nothing, so it takes whatever parts of blocks happen to arrive together. The more of
them, the fewer rows: each group's window is told once, not once for every shard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from udfs.accounts import Entry, point_entries
from udfs.point_cells import point_cells
from udfs.shard_blocks import MarkedBlock, joined_blocks
from udfs.windows import WindowPolicy, window_deltas


@dataclass(frozen=True)
class BlockSums:
    """What some parts of blocks add up to.

    Args:
        deltas: of the windows, as `udfs.windows.window_deltas` returns them.
        entries: of the account.
    """

    deltas: pl.DataFrame
    entries: list[Entry]


def sum_blocks(blocks: Sequence[MarkedBlock], policy: WindowPolicy) -> BlockSums:
    """Sum judged parts of blocks, at least one.

    Args:
        blocks: of any shards, in any order.
        policy: of the windows.
    """
    batches, points, metrics = joined_blocks(blocks)
    cells = point_cells(batches, points, metrics, policy.ahead_max_ms)
    return BlockSums(window_deltas(batches, cells, policy), point_entries(batches, cells))
