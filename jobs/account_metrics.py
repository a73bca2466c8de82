"""The account of messages and points as Prometheus metrics, from the rows that the loader loads."""

from collections.abc import Iterable

import polars as pl

from schemas.metrics import MESSAGES, MISSING, POINTS, REJECTED
from sinks.prometheus_endpoint import PrometheusEndpoint

MISSING_SQL = "SELECT topic, partition, missing FROM v_accounts"

METRIC_OF_UNIT = {"message": MESSAGES, "point": POINTS}


def count_entries(metrics: PrometheusEndpoint, entries: pl.DataFrame) -> None:
    """Add the rows of the table `accounts` that were loaded."""
    sums = entries.group_by("topic", "partition", "unit", "outcome").agg(pl.col("count").sum())
    for topic, partition, unit, outcome, count in sums.iter_rows():
        metric = METRIC_OF_UNIT[unit]
        metrics.add(metric, count, topic=topic, partition=str(partition), outcome=outcome)
    rejected = entries.filter(pl.col("outcome") == "rejected")
    sums = rejected.group_by("topic", "unit", "reason").agg(pl.col("count").sum())
    for topic, unit, reason, count in sums.iter_rows():
        metrics.add(REJECTED, count, topic=topic, unit=unit, reason=reason)


def show_missing(metrics: PrometheusEndpoint, rows: Iterable[tuple[object, ...]]) -> None:
    """Show what the answer to `MISSING_SQL` says."""
    for topic, partition, missing in rows:
        assert isinstance(missing, int)
        metrics.set(MISSING, missing, topic=str(topic), partition=str(partition))
