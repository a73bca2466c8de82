"""The first step of a shard: which of its messages and points have counted before.

Only this step remembers anything of the telemetry. It sees numbers alone; what the messages say
passes by unread (`udfs.shard_blocks`), to be summed for all shards at once (`udfs.block_sums`).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.dedup import Flags, SentBatches, mark_duplicates
from udfs.dedup_state import DedupShard, empty_dedup
from udfs.point_dedup import Buckets, PointStep, SentPoints, mark_points
from udfs.point_identity import IDENTITY


@dataclass(frozen=True)
class SeenState:
    """What a shard remembers of what has counted.

    Args:
        sequences: of batches with a sequence.
        points: of batches without.
    """

    sequences: DedupShard
    points: Buckets

    @classmethod
    def empty(cls) -> "SeenState":
        """Return the state of a shard that has seen nothing."""
        return cls(empty_dedup(), {})


@dataclass(frozen=True)
class MarkStep:
    """What one block did.

    Args:
        state: of the shard, after it.
        points: which buckets of the state have changed.
        is_duplicate: of each batch, shape (n,).
        copies: indexes of the points that have counted before, ascending.
    """

    state: SeenState
    points: PointStep
    is_duplicate: Flags
    copies: np.ndarray[tuple[int], np.dtype[np.intp]]


def mark_block(
    state: SeenState, sent: pl.DataFrame, identities: pl.DataFrame | None = None
) -> MarkStep:
    """Tell what of a block has counted before.

    Args:
        state: of the shard; not changed.
        sent: one row a batch, in the order of its log: boot (hash), sequence or `NO_SEQUENCE`,
            append_time_ms, log (number of the partition, unique over all topics).
        identities: of the points of batches without a sequence: point (index in the block), row
            (of `sent`), identity. None: every batch has a sequence.
    """
    columns = {name: sent[name].to_numpy() for name in ("append_time_ms", "log")}
    batches = SentBatches(
        sent["boot"].to_numpy(),
        sent["sequence"].to_numpy(),
        columns["append_time_ms"],
        columns["log"],
    )
    sequences, is_duplicate = mark_duplicates(state.sequences, batches)
    if identities is None:
        seen = SeenState(sequences, state.points)
        return MarkStep(seen, PointStep.nothing(), is_duplicate, np.empty(0, np.intp))
    rows = identities["row"].to_numpy()
    points = SentPoints(
        identities[IDENTITY].to_numpy(), columns["append_time_ms"][rows], columns["log"][rows]
    )
    step = mark_points(state.points, points)
    copies = identities["point"].to_numpy()[step.is_duplicate]
    return MarkStep(SeenState(sequences, step.applied_to(state.points)), step, is_duplicate, copies)
