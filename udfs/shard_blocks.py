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
from udfs.metric_codes import joint_names
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


PASSED_ON = ("batches", "points", "metrics")


@dataclass(frozen=True)
class MarkedBlock:
    """A shard's part of a block, judged.

    Args:
        shard: its number.
        batches: columns of `TOLD`, and is_duplicate.
        points: row (index of its batch), metric, value, timestamp (UTC ms), is_copy.
        metrics: names by number.
    """

    shard: int
    batches: pl.DataFrame
    points: pl.DataFrame
    metrics: pl.Series


def shard_parts(
    batches: pl.DataFrame, points: pl.DataFrame, metrics: pl.Series, shard_count: int
) -> Iterator[tuple[int, bytes]]:
    """Yield each shard and its part of a block, packed.

    Args:
        batches: in log order per partition: row (ascending), device_hash, boot_id, sequence and
            `TOLD`.
        points: in the order of their batches: row (of its batch), metric, value, timestamp, and
            identity where `udfs.point_identity` has told one.
        metrics: names by number.
        shard_count: fixed for the life of the state.
    """
    batches = _numbered(batches, shard_count)
    by_shard, ends = _by_shard(batches, points, shard_count)
    names = metrics.alias("name").to_frame()
    for (key,), part in batches.partition_by("shard", as_dict=True, include_key=False).items():
        shard = int(str(key))
        own = by_shard[ends[shard] : ends[shard + 1]]
        yield shard, pack_frames({**_frames(part, own), "metrics": names})


def _by_shard(
    batches: pl.DataFrame, points: pl.DataFrame, shard_count: int
) -> tuple[pl.DataFrame, list[int]]:
    """Return points by shard, with the place of their batch in it, and where each shard begins."""
    place = batches.select(pl.int_range(pl.len(), dtype=pl.UInt32).over("shard")).to_series()
    rows, of_point = (frame["row"].to_numpy().astype(np.int64) for frame in (batches, points))
    size = int(max(rows.max(initial=-1), of_point.max(initial=-1))) + 1
    shards = np.full(size, shard_count, np.int16 if shard_count < 2**15 else np.int32)
    places = np.zeros(size, np.uint32)
    shards[rows], places[rows] = batches["shard"].to_numpy(), place.to_numpy()
    shard = shards[of_point]
    # Those of no batch, of a tick of the clock, come last.
    order = np.argsort(shard, kind="stable")
    ends = np.searchsorted(shard[order], np.arange(shard_count + 1))
    placed = points.with_columns(row=pl.Series(places[of_point]))
    return placed[order], ends.tolist()


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
    return step, join_bodies({**verdicts, **{name: bodies[name] for name in PASSED_ON}})


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
        frames["metrics"]["name"],
    )


def joined_blocks(blocks: Sequence[MarkedBlock]) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Return the batches of many parts, with row and shard, their points, and names of metrics.

    A part may come twice, from one block or from several: rows are counted anew.
    """
    heights = [block.batches.height for block in blocks]
    firsts = np.cumsum([0, *heights[:-1]]).tolist()
    batches = pl.concat(block.batches for block in blocks)
    shards = np.repeat(np.array([block.shard for block in blocks], np.int32), heights)
    metrics, numbers = joint_names([block.metrics for block in blocks])
    points = pl.concat(
        block.points.with_columns(
            pl.col("row") + pl.lit(first, pl.UInt32), metric=number[block.points["metric"]]
        )
        for block, first, number in zip(blocks, firsts, numbers, strict=True)
    )
    return batches.with_columns(shard=pl.Series(shards)).with_row_index("row"), points, metrics
