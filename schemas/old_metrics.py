"""What every adapter of an old format gives: the metrics of some messages as columns."""

from dataclasses import dataclass

import polars as pl

from schemas.errors import Rejected

TAGS_TYPE = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))


@dataclass(frozen=True)
class OldMetrics:
    """Metrics of messages in an old format; messages are numbered as they were given.

    Args:
        accepted: the messages that are believed, ascending; one without metrics is a heartbeat.
        metrics: a row for each metric, in order: `index` of its message (u32), `name`, `value`
            (f64), `timestamp` (UTC ms, null when it has none), `tags` (`TAGS_TYPE`).
        rejected: the other messages, each with why.
    """

    accepted: list[int]
    metrics: pl.DataFrame
    rejected: list[tuple[int, Rejected]]
