"""A shard's part of a block, and its way: numbers to judge by, and all else as it is.

decode step     sent, identities?  batches, points        packed once
shard           reads  │             │ passes on
                marks, copies?     batches, points
sum step                 reads all, of many shards at once
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.dedup import NO_SEQUENCE
from udfs.duplicates import MarkStep, SeenState, mark_block
from udfs.frame_bytes import frame_body, join_bodies, pack_frames, read_body, split_bodies
from udfs.point_identity import IDENTITY
from udfs.shards import boot_hashes, log_hashes, shard_of

TOLD = (
    "tenant_id",
    "device_id",
    "deployment_group",
    "model_version",
    "topic",
    "partition",
    "append_time_ms",
)
"""What windows and the account need of a batch."""


@dataclass(frozen=True)
class MarkedBlock:
    """A shard's part of a block, judged.

    Args:
        shard: its number.
        batches: columns of `TOLD`, and is_duplicate.
        points: row (index of its batch), name, value, timestamp (UTC ms), is_copy.
    """

    shard: int
    batches: pl.DataFrame
    points: pl.DataFrame


def shard_parts(
    batches: pl.DataFrame, points: pl.DataFrame, shard_count: int
) -> Iterator[tuple[int, bytes]]:
    """Yield each shard and its part of a block, packed.

    Args:
        batches: in log order per partition: row (ascending), device_hash, boot_id, sequence and
            `TOLD`.
        points: in the order of their batches: row (of its batch), name, value, timestamp, and
            identity where `udfs.point_identity` has told one.
        shard_count: fixed for the life of the state.
    """
    batches = _numbered(batches, shard_count)
    placed = batches.select(
        "row", "shard", place=pl.int_range(pl.len(), dtype=pl.UInt32).over("shard")
    )
    points = (
        points.join(placed, on="row", maintain_order="left").drop("row").rename({"place": "row"})
    )
    of_shard = points.partition_by("shard", as_dict=True, include_key=False)
    none = points.drop("shard").clear()
    for (shard,), part in batches.partition_by("shard", as_dict=True, include_key=False).items():
        yield int(str(shard)), pack_frames(_frames(part, of_shard.get((shard,), none)))


def _numbered(batches: pl.DataFrame, shard_count: int) -> pl.DataFrame:
    """Add what shards judge by: shard, boot, log, and a sequence for every batch."""
    hashes = batches["device_hash"]
    boots = boot_hashes(hashes.to_list(), batches["boot_id"].to_list())
    logs = log_hashes(batches["topic"].to_list(), batches["partition"].to_list())
    return batches.with_columns(
        pl.col("sequence").fill_null(NO_SEQUENCE),
        shard=pl.Series(shard_of(hashes.to_numpy(), shard_count), dtype=pl.Int32),
        boot=pl.Series(boots, dtype=pl.UInt64),
        log=pl.Series(logs, dtype=pl.Int32),
    )


def _frames(batches: pl.DataFrame, points: pl.DataFrame) -> dict[str, pl.DataFrame]:
    frames = {"sent": batches.select("boot", "sequence", "append_time_ms", "log")}
    if IDENTITY in points.columns:
        told = points.with_row_index("point").drop_nulls(IDENTITY)
        if not told.is_empty():
            frames["identities"] = told.select("point", "row", IDENTITY)
        points = points.drop(IDENTITY)
    return frames | {"batches": batches.select(TOLD), "points": points}


def mark_part(state: SeenState, payload: bytes) -> tuple[MarkStep, bytes]:
    """Judge a packed part; return what that did, and the part to send on.

    Args:
        state: of its shard.
        payload: as `shard_parts` packed it.
    """
    bodies = split_bodies(payload)
    identities = read_body(bodies["identities"]) if "identities" in bodies else None
    step = mark_block(state, read_body(bodies["sent"]), identities)
    verdicts = {"marks": frame_body(pl.DataFrame({"is_duplicate": step.is_duplicate}))}
    if len(step.copies) > 0:
        verdicts["copies"] = frame_body(pl.DataFrame({"point": step.copies}))
    return step, join_bodies({**verdicts, "batches": bodies["batches"], "points": bodies["points"]})


def marked_block(shard: int, payload: bytes) -> MarkedBlock:
    """Read a part that `mark_part` has sent on."""
    frames = {name: read_body(body) for name, body in split_bodies(payload).items()}
    points = frames["points"]
    is_copy = np.zeros(points.height, np.bool_)
    if "copies" in frames:
        is_copy[frames["copies"]["point"].to_numpy()] = True
    return MarkedBlock(
        shard,
        frames["batches"].hstack(frames["marks"]),
        points.with_columns(is_copy=pl.Series(is_copy)),
    )


def joined_blocks(blocks: Sequence[MarkedBlock]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the batches of many parts, with row and shard, and their points.

    A part may come twice, from one block or from several: rows are counted anew.
    """
    heights = [block.batches.height for block in blocks]
    firsts = np.cumsum([0, *heights[:-1]]).tolist()
    batches = pl.concat(block.batches for block in blocks)
    shards = np.repeat(np.array([block.shard for block in blocks], np.int32), heights)
    points = pl.concat(
        block.points.with_columns(pl.col("row") + pl.lit(first, pl.UInt32))
        for block, first in zip(blocks, firsts, strict=True)
    )
    return batches.with_columns(shard=pl.Series(shards)).with_row_index("row"), points
