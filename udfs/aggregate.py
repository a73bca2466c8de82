"""The aggregation step of one shard: drop duplicates, then sum what is new into window deltas."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash

from udfs.accounts import Entry, shard_entries
from udfs.dedup import NO_SEQUENCE, SentBatches, mark_duplicates
from udfs.dedup_state import DedupShard, empty_dedup
from udfs.point_dedup import Buckets, PointStep, SentPoints, mark_points
from udfs.point_identity import IDENTITY
from udfs.shards import log_hashes
from udfs.windows import WindowPolicy, point_cells, window_deltas


@dataclass(frozen=True)
class AggregateState:
    """What a shard remembers of what has counted.

    Args:
        sequences: of batches with a sequence.
        points: of batches without.
    """

    sequences: DedupShard
    points: Buckets

    @classmethod
    def empty(cls) -> "AggregateState":
        """Return the state of a shard that has seen nothing."""
        return cls(empty_dedup(), {})


@dataclass(frozen=True)
class AggregateStep:
    """What one block did: the new state, the deltas to send, and what they are made of.

    Args:
        points: which buckets of the state have changed.
    """

    state: AggregateState
    points: PointStep
    deltas: pl.DataFrame
    entries: list[Entry]


def on_batches(
    state: AggregateState, batches: pl.DataFrame, points: pl.DataFrame, policy: WindowPolicy
) -> AggregateStep:
    """Apply one block of a shard.

    Args:
        state: of the shard.
        batches: as `udfs.telemetry_blocks.batch_sections` packs them, in log order per partition.
        points: their points, in the order of their batches.
        policy: of the windows.
    """
    batches = batches.with_columns(
        log=pl.Series(log_hashes(batches["topic"].to_list(), batches["partition"].to_list()))
    )
    sent = SentBatches(
        keys=_boot_keys(batches),
        sequences=batches["sequence"].fill_null(NO_SEQUENCE).to_numpy(),
        append_time_ms=batches["append_time_ms"].to_numpy(),
        partitions=batches["log"].to_numpy(),
    )
    sequences, is_duplicate = mark_duplicates(state.sequences, sent)
    marked = batches.with_columns(is_duplicate=pl.Series(is_duplicate, dtype=pl.Boolean))
    told, point_step = _told_points(state.points, batches, points)
    cells = point_cells(marked, told, policy)
    return AggregateStep(
        AggregateState(sequences, point_step.applied_to(state.points)),
        point_step,
        window_deltas(marked, cells, policy),
        shard_entries(marked, cells),
    )


def _told_points(
    buckets: Buckets, batches: pl.DataFrame, points: pl.DataFrame
) -> tuple[pl.DataFrame, PointStep]:
    """Return the points with `is_copy`: whether one of a batch without sequence counted before."""
    if IDENTITY not in points.columns:
        return points.with_columns(is_copy=pl.lit(value=False)), PointStep.nothing()
    own = points.with_row_index("index").drop_nulls(IDENTITY)
    of_batch = batches.select("row", "append_time_ms", "log")
    sent = own.select("index", "row", IDENTITY).join(of_batch, on="row", maintain_order="left")
    step = mark_points(
        buckets,
        SentPoints(
            sent[IDENTITY].to_numpy(),
            sent["append_time_ms"].to_numpy(),
            sent["log"].to_numpy(),
        ),
    )
    is_copy = np.zeros(points.height, np.bool_)
    is_copy[sent["index"].to_numpy()] = step.is_duplicate
    return points.drop(IDENTITY).with_columns(is_copy=pl.Series(is_copy)), step


def _boot_keys(batches: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return one key per (device, boot): the device's hash seeds the hash of its boot."""
    digest = xxhash.xxh3_64_intdigest
    pairs = zip(batches["device_hash"].to_list(), batches["boot_id"].to_list(), strict=True)
    return np.fromiter(
        (
            digest(b"" if boot is None else b"=" + boot.encode(), seed=device)
            for device, boot in pairs
        ),
        np.uint64,
        batches.height,
    )
