"""The aggregation step of one shard: drop duplicates, then sum what is new into window deltas."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash

from udfs.accounts import Entry, shard_entries
from udfs.dedup import NO_SEQUENCE, SentBatches, mark_duplicates
from udfs.dedup_state import DedupShard
from udfs.windows import WindowPolicy, point_cells, window_deltas


@dataclass(frozen=True)
class AggregateStep:
    """What one block did: the new state, the deltas to send, and what they are made of."""

    state: DedupShard
    deltas: pl.DataFrame
    entries: list[Entry]


def on_batches(
    state: DedupShard, batches: pl.DataFrame, points: pl.DataFrame, policy: WindowPolicy
) -> AggregateStep:
    """Apply one block of a shard.

    Args:
        state: of the shard.
        batches: as `udfs.telemetry_blocks.batch_sections` packs them, in log order per partition.
        points: their points.
        policy: of the windows.
    """
    sent = SentBatches(
        keys=_boot_keys(batches),
        sequences=batches["sequence"].fill_null(NO_SEQUENCE).to_numpy(),
        append_time_ms=batches["append_time_ms"].to_numpy(),
        partitions=batches["partition"].to_numpy(),
    )
    state, is_duplicate = mark_duplicates(state, sent)
    marked = batches.with_columns(is_duplicate=pl.Series(is_duplicate, dtype=pl.Boolean))
    cells = point_cells(marked, points, policy)
    return AggregateStep(state, window_deltas(marked, cells, policy), shard_entries(marked, cells))


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
