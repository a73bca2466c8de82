"""Telemetry becomes rows of points: the same decode and limits as in the jobs.

A message that is refused is no row; the aggregate job tells of it in the dead letters. Nor are
clock ticks, and points that no window counts: NaN, infinite, out of range.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from schemas.codec import SchemaOfId
from schemas.old_firmware import Arrivals, decode_firmware
from schemas.telemetry import VALUE_MAX, check_limits, is_skewed
from schemas.topics import CLOCK_TENANT_ID
from sinks.messages import Message


def point_frame(
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
    tenants = [topic_tenant] * len(messages)
    append_time_ms = np.array([message.timestamp_ms for message in messages], np.int64)
    arrivals = Arrivals([message.key for message in messages], tenants, append_time_ms)
    values = [message.value for message in messages]
    block = check_limits(decode_firmware(values, arrivals, schema_of_id), tenants)
    points = block.items.filter(pl.col("value").abs() <= VALUE_MAX)
    rows = points["row"].to_numpy()
    place = np.searchsorted(block.messages["row"].to_numpy(), rows)
    appended = pl.Series("append_time_ms", append_time_ms[rows])
    sent = points.hstack(block.messages.select("tenant_id", "device_id")[place]).hstack([appended])
    return _clamped(sent.filter(pl.col("tenant_id") != CLOCK_TENANT_ID))


def _clamped(points: pl.DataFrame) -> pl.DataFrame:
    """Put the append time where the device's clock is wrong, as windows do."""
    return points.select(
        "tenant_id",
        "device_id",
        "value",
        "tags",
        metric="name",
        timestamp=pl.when(is_skewed()).then("append_time_ms").otherwise("timestamp"),
        is_skewed=is_skewed(),
    )
