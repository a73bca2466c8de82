"""Control events on their way: as records of the topic, and as a frame for the shards."""

from typing import Any

import polars as pl

CONTROL_SCHEMA: dict[str, Any] = {
    "append_time_ms": pl.Int64,
    "offset": pl.Int64,
    "event": pl.String,  # the JSON of `schemas.control.control_fields`
}


def no_controls() -> pl.DataFrame:
    """Return a frame without control events."""
    return pl.DataFrame(schema=CONTROL_SCHEMA)
