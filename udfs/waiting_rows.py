"""Which rows of the fleet stage may leave, and in what order.

A row leaves when every shard's clock has passed its instant. What says that an unregistered device
sends waits a minute longer: the registry is another topic, and its record may be read a little
after the device's first batch. A record that arrives within the minute takes the row back. So does
a partition that was only read later than the others, while what calls it silent still waits.
"""

from typing import NamedTuple

import polars as pl

from schemas.topics import CLOCK_TENANT_ID
from udfs.transitions import TRANSITION_SCHEMA, Kind, no_transitions

STRANGER_PATIENCE_MS = 60_000
DEVICE = ("tenant_id", "device_id")
SPAN = ("device_id", "start_ms")
"""Names a silence of a partition."""


def with_all_columns(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows that an earlier release wrote, with what it did not know yet."""
    left = [] if "left_partition" in rows else [pl.col("partition").alias("left_partition")]
    missing = [n for n in TRANSITION_SCHEMA if n not in rows.columns and n != "left_partition"]
    nulls = [pl.lit(None, TRANSITION_SCHEMA[name]).alias(name) for name in missing]
    whole = rows.with_columns(*left, *nulls)
    return whole.select(pl.col(name).cast(kind) for name, kind in TRANSITION_SCHEMA.items())


class Silence(NamedTuple):
    """A partition (code), when it spoke last, and from when on it counts as silent, UTC ms."""

    partition: int
    start_ms: int
    time_ms: int


def take_ripe(waiting: pl.DataFrame, below_ms: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split the waiting rows into those that may leave, in order, and the rest.

    Args:
        waiting: `TRANSITION_SCHEMA`, the rows of one device in order.
        below_ms: no later row lies below it.
    """
    if waiting.is_empty():
        return no_transitions(), waiting
    rows = _without_late_readings(_without_premature(waiting))
    is_ripe = rows.select(_leaves_ms() < below_ms).to_series()
    is_device = pl.col("tenant_id") != CLOCK_TENANT_ID
    ripe = rows.filter(is_ripe).sort(_leaves_ms(), is_device, *DEVICE, maintain_order=True)
    return ripe, rows.filter(~is_ripe)


def silences_in(ripe: pl.DataFrame, waiting: pl.DataFrame) -> list[Silence]:
    """Return which partitions fall silent, of rows that leave and, when any does, of the rest."""
    is_blind = pl.col("kind") == Kind.BLIND.value
    leaving = ripe.filter(is_blind)
    if leaving.is_empty():
        return []
    columns = ("partition", "start_ms", "time_ms")
    found = [frame.select(*columns).rows() for frame in (leaving, waiting.filter(is_blind))]
    return [Silence(*row) for rows in found for row in rows]


def _without_late_readings(rows: pl.DataFrame) -> pl.DataFrame:
    """Drop what calls a partition silent that had no gap, and what says that it speaks again."""
    is_heard = pl.col("kind") == Kind.HEARD.value
    had_no_gap = pl.col("ends_ms") - pl.col("start_ms") <= pl.col("threshold_ms")
    heard = rows.filter(is_heard & had_no_gap).select(*SPAN)
    if heard.is_empty():
        return rows
    told_silent = rows.filter(pl.col("kind") == Kind.BLIND.value).select(*SPAN)
    unfounded = heard.join(told_silent, on=SPAN, how="semi")
    kinds = pl.DataFrame({"kind": [Kind.BLIND.value, Kind.HEARD.value]})
    dropped = unfounded.join(kinds, how="cross")
    return rows.join(dropped, on=("kind", *SPAN), how="anti", maintain_order="left")


def _is_stranger() -> pl.Expr:
    return pl.col("kind") == Kind.UNREGISTERED.value


def _leaves_ms() -> pl.Expr:
    return pl.col("time_ms") + pl.when(_is_stranger()).then(STRANGER_PATIENCE_MS).otherwise(0)


def _without_premature(rows: pl.DataFrame) -> pl.DataFrame:
    """Drop what says unregistered of a device whose record came within the patience."""
    registered = rows.filter(pl.col("kind") == Kind.REGISTERED.value)
    if registered.is_empty():
        return rows
    numbered = rows.with_row_index("place")
    known = registered.select(*DEVICE, registered_ms="time_ms")
    delay_ms = pl.col("registered_ms") - pl.col("time_ms")
    premature = (
        numbered.filter(_is_stranger())
        .join(known, on=DEVICE)
        .filter(delay_ms.is_between(0, STRANGER_PATIENCE_MS))
        .select("place")
    )
    return numbered.join(premature, on="place", how="anti", maintain_order="left").drop("place")
