"""Telemetry becomes runs: what a message has of one metric, as one row with arrays.

    points   cpu 10:00:00 | ram 10:00:00 | cpu 10:00:01 | ram 10:00:01        of one message
    runs     cpu, first 10:00:00, + [0, 1000] ms, [..] | ram, first 10:00:00, + [0, 1000] ms, [..]

All points of a run are of one hour, so whoever looks for a time knows which runs can have it.
Decode and limits are those of the jobs. A message that is refused is no row; the aggregate job
tells of it in the dead letters. Nor are clock ticks, and points that no window counts: NaN,
infinite, out of range.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.arrow_numbers import arrow_numbers, list_column
from schemas.codec import SchemaOfId
from schemas.errors import Rejected
from schemas.heartbeats import may_have_points
from schemas.old_firmware import Arrivals, decode_firmware
from schemas.records import WIRE_HEADER_BYTES, WIRE_MAGIC
from schemas.shaped_points import ShapedReader, shaped_reader
from schemas.tables import HOUR_MS
from schemas.telemetry import VALUE_MAX, check_limits, is_skewed
from sinks.messages import Message
from sinks.shaped_runs import shaped_runs

Integers = npt.NDArray[np.int64]

RUN_COLUMNS = (
    "tenant_id",
    "metric",
    "device_id",
    "first_at",
    "offset_ms",
    "value",
    "tags",
    "is_skewed",
)


def run_frame(
    messages: Sequence[Message], topic_tenant: str | None, schema_of_id: SchemaOfId
) -> pl.DataFrame:
    """Return the points of a block of telemetry as columns of their table.

    Args:
        messages: of one topic.
        topic_tenant: whose topic it is; None: the shared one.
        schema_of_id: of the registry.

    Raises:
        Unavailable: the registry does not answer.
    """
    values = [message.value for message in messages]
    wanted = [messages[index] for index in may_have_points(values, schema_of_id)]
    frames, left = _shaped(wanted, topic_tenant, schema_of_id)
    if left:
        frames.append(decoded_runs([wanted[index] for index in left], topic_tenant, schema_of_id))
    return pl.concat(frames).rechunk() if frames else _no_runs()


@lru_cache
def _no_runs() -> pl.DataFrame:
    """Return the columns without a row; to make them takes as long as to read 4,000 heartbeats."""
    return decoded_runs((), None, lambda _: {})


def _shaped(
    messages: Sequence[Message], topic_tenant: str | None, schema_of_id: SchemaOfId
) -> tuple[list[pl.DataFrame], list[int]]:
    """Return the runs of messages of known shapes, and the indices of all others, ascending."""
    heads: dict[bytes, list[int]] = {}
    for index, message in enumerate(messages):
        heads.setdefault((message.value or b"")[:WIRE_HEADER_BYTES], []).append(index)
    frames, left = [], []
    for head, rows in heads.items():
        reader = _reader(head, schema_of_id)
        if reader is None:
            left += rows
            continue
        own = [messages[row] for row in rows]
        times_ms = np.array([message.timestamp_ms for message in own], np.int64)
        found, others = shaped_runs(
            reader, [message.value or b"" for message in own], times_ms, topic_tenant
        )
        frames += [frame.select(RUN_COLUMNS) for frame in found]
        left += [rows[index] for index in others]
    return frames, sorted(left)


def _reader(head: bytes, schema_of_id: SchemaOfId) -> ShapedReader | None:
    """Return the reader for messages that start like this; None leaves them to the codec."""
    if head[:1] != WIRE_MAGIC or len(head) < WIRE_HEADER_BYTES:
        return None
    try:
        return shaped_reader(schema_of_id(int.from_bytes(head[1:], "big")))
    except Rejected:
        return None  # the codec asks again and tells why


def decoded_runs(
    messages: Sequence[Message], topic_tenant: str | None, schema_of_id: SchemaOfId
) -> pl.DataFrame:
    """Return the runs of any messages, decoded as everywhere; arguments as of `run_frame`."""
    tenants = [topic_tenant] * len(messages)
    append_time_ms = np.array([message.timestamp_ms for message in messages], np.int64)
    arrivals = Arrivals([message.key for message in messages], tenants, append_time_ms)
    values = [message.value for message in messages]
    block = check_limits(decode_firmware(values, arrivals, schema_of_id), tenants)
    points = block.items.filter(pl.col("value").abs() <= VALUE_MAX)
    appended = pl.Series("append_time_ms", append_time_ms[points["row"].to_numpy()])
    runs = _runs(_clamped(points.hstack([appended])))
    sender = np.searchsorted(block.messages["row"].to_numpy(), runs["row"].to_numpy())
    identities = block.messages.select("tenant_id", "device_id")[sender]
    return runs.hstack(identities).select(RUN_COLUMNS)


def _clamped(points: pl.DataFrame) -> pl.DataFrame:
    """Put the append time where the device's clock is wrong, as windows do."""
    timestamp = pl.when(is_skewed()).then("append_time_ms").otherwise("timestamp")
    return points.select("row", "name", "value", "tags", timestamp=timestamp, is_skewed=is_skewed())


def _runs(points: pl.DataFrame) -> pl.DataFrame:
    """Put points of one message, metric and set of tags together, until the hour changes."""
    if points.is_empty():
        return points.select(
            "row",
            "tags",
            "is_skewed",
            metric="name",
            first_at="timestamp",
            offset_ms=pl.lit([], pl.List(pl.UInt32)),
            value=pl.lit([], pl.List(pl.Float64)),
        )
    key = _keys(points)
    order = np.argsort(key, kind="stable")
    key, times_ms = key[order], points["timestamp"].to_numpy()[order]
    is_next = np.diff(key) | np.diff(times_ms // HOUR_MS)
    starts = np.concatenate([[0], np.flatnonzero(is_next) + 1])
    first_ms = np.minimum.reduceat(times_ms, starts)
    counts = np.diff(starts, append=len(order))
    offsets_ms = (times_ms - np.repeat(first_ms, counts)).astype(np.uint32)
    heads: pl.DataFrame = points.select("row", "tags", "is_skewed", metric="name")[order[starts]]
    return heads.with_columns(
        pl.Series("first_at", first_ms),
        list_column(arrow_numbers(offsets_ms), counts).alias("offset_ms"),
        list_column(arrow_numbers(points["value"].to_numpy()[order]), counts).alias("value"),
    )


def _keys(points: pl.DataFrame) -> Integers:
    """Return a number that two points share when they may be in one run."""
    metric, tags = _codes(points["name"]), _tag_codes(points["tags"])
    # At most 2^32 messages of 10,000 points: what follows them has room for what a block can hold.
    key = points["row"].to_numpy().astype(np.int64)
    for codes in (metric, tags, points["is_skewed"].to_numpy().astype(np.int64)):
        key = key * (int(codes.max()) + 1) + codes
    return key


def _codes(texts: pl.Series) -> Integers:
    """Number texts: the same text, the same number."""
    return texts.unique().sort().search_sorted(texts).to_numpy().astype(np.int64)


def _tag_codes(tags: pl.Series) -> Integers:
    """Return a number for each set of tags, 0 for none; tags in another order are another set."""
    codes = np.zeros(len(tags), np.int64)
    has_tags = np.flatnonzero(tags.list.len().to_numpy())
    if len(has_tags):
        name, text = (pl.element().struct.field(part) for part in ("key", "value"))
        # Each with its size, so that no two sets read alike.
        parts = [
            part for each in (name, text) for part in (each.str.len_bytes(), pl.lit(":"), each)
        ]
        joined = tags.gather(has_tags).list.eval(pl.concat_str(parts)).list.join("")
        codes[has_tags] = 1 + _codes(joined)
    return codes
