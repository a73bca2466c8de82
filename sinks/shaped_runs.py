"""Runs of points whose messages have a known shape: numpy from the bytes to the columns.

What is unusual about a message's values or times (a wrong clock, a NaN) is left to the general way
(`point_runs.py`); what comes out is the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.arrow_numbers import arrow_numbers, list_column
from schemas.codec import DecodedBlock
from schemas.shaped_points import POINT_COLUMNS, ShapedPoints, ShapedReader
from schemas.tables import HOUR_MS
from schemas.telemetry import AHEAD_MAX_MS, EARLIEST_MS, VALUE_MAX, check_limits
from schemas.topics import CLOCK_TENANT_ID

Integers = npt.NDArray[np.int64]

CHUNK_MAX_BYTES = 16 * 1024 * 1024
"""Of messages that are read at once; a chunk of 2 MiB costs 1.5 times as much a point."""


def shaped_runs(
    reader: ShapedReader,
    values: Sequence[bytes],
    append_time_ms: Integers,
    topic_tenant: str | None,
) -> tuple[list[pl.DataFrame], list[int]]:
    """Return runs, and the indices of the messages that are left to others, ascending.

    Args:
        reader: of the messages' writer schema.
        values: with their wire headers.
        append_time_ms: of each message, UTC ms, shape (n,).
        topic_tenant: whose topic it is; None: the shared one.
    """
    frames: list[pl.DataFrame] = []
    left: list[int] = []
    for chunk in _chunks(values):
        block = reader.read(values[chunk])
        identities = _accepted(block.messages, len(values[chunk]), topic_tenant)
        times_ms = append_time_ms[chunk]
        left += (block.left + chunk.start).tolist()
        for points in block.points:
            accepted = points.only(np.isin(points.row, identities["row"].to_numpy()))
            is_odd = _are_odd(accepted, times_ms)
            left += (accepted.row[is_odd] + chunk.start).tolist()
            if not is_odd.all():
                frames.append(_runs(accepted.only(~is_odd), identities))
    return frames, sorted(left)


def _chunks(values: Sequence[bytes]) -> list[slice]:
    """Cut a block into chunks of about as many bytes: in a small one, few messages are alike."""
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    count = -(-int(ends[-1]) // CHUNK_MAX_BYTES)
    aims = np.arange(1, count) * ends[-1] // count
    cuts = [0, *np.unique(np.searchsorted(ends, aims)).tolist(), len(values)]
    return [slice(a, b) for a, b in pairwise(cuts) if a < b]


def _accepted(messages: pl.DataFrame, count: int, topic_tenant: str | None) -> pl.DataFrame:
    """Return row, tenant and device of the messages that keep the limits and are no ticks."""
    no_points = pl.DataFrame(schema=POINT_COLUMNS)
    checked = check_limits(DecodedBlock(messages, no_points, []), [topic_tenant] * count)
    named = checked.messages.select("row", "tenant_id", "device_id")
    # A tick has no points; one that has is refused.
    return named.filter(pl.col("tenant_id") != CLOCK_TENANT_ID)


def _are_odd(points: ShapedPoints, append_time_ms: Integers) -> npt.NDArray[np.bool_]:
    """Return which messages have a point whose time or value is not taken as it is."""
    latest_ms = append_time_ms[points.row] + AHEAD_MAX_MS
    is_skewed = (points.times_ms.max(axis=1) > latest_ms) | (
        points.times_ms.min(axis=1) < EARLIEST_MS
    )
    # NaN is the maximum of what it is among, and not within any limit.
    is_usable = np.abs(points.values).max(axis=1) <= VALUE_MAX
    odd: npt.NDArray[np.bool_] = is_skewed | ~is_usable
    return odd


def _runs(points: ShapedPoints, identities: pl.DataFrame) -> pl.DataFrame:
    """Cut the points of each message where their kind changes, and where the hour does."""
    shape, times_ms = points.shape, points.times_ms
    point_count = times_ms.shape[1]
    is_start = np.zeros(times_ms.shape, np.bool_)
    is_start[:, np.cumsum(shape.kind_counts) - shape.kind_counts] = True
    is_start[:, 1:] |= np.diff(times_ms // HOUR_MS, axis=1) != 0
    starts = np.flatnonzero(is_start)
    counts = np.diff(starts, append=times_ms.size)
    first_ms = np.minimum.reduceat(times_ms.ravel(), starts)
    offsets_ms = (times_ms.ravel() - np.repeat(first_ms, counts)).astype(np.uint32)
    kind = np.repeat(np.arange(len(shape.kind_counts)), shape.kind_counts)[starts % point_count]
    sender = np.searchsorted(identities["row"].to_numpy(), points.row[starts // point_count])
    runs: pl.DataFrame = shape.kinds[kind].select(
        "tags",
        metric="name",
        tenant_id=identities["tenant_id"].gather(sender),
        device_id=identities["device_id"].gather(sender),
        is_skewed=pl.lit(value=False),
        first_at=pl.Series(first_ms),
        offset_ms=list_column(arrow_numbers(offsets_ms), counts),
        value=list_column(arrow_numbers(points.values.ravel()), counts),
    )
    return runs
