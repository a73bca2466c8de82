"""Streams that are near a page: little alone, much where others of their group are near it too."""

from typing import Any

import numpy as np
import polars as pl

from udfs.drift.observations import Observations
from udfs.drift.shift_alarms import first_seen_ms, shift_sigmas
from udfs.drift.shift_table import Phase
from udfs.drift.stream_detectors import StreamDetectors
from udfs.histogram import Floats
from udfs.partition_clocks import Int64s

NEAR_LOG10 = 4.0
"""So far below a page is near. By chance one stream in thousands is at any moment."""
EVIDENCE_SCHEMA: dict[str, Any] = {
    "stream": pl.Int64,
    "window_start": pl.Int64,
    "margin": pl.Float64,  # log10 of evidence over what pages, at least -`NEAR_LOG10`
    "shift_sigma": pl.Float64,
    "first_seen_ms": pl.Int64,
}


def near_pages(detectors: StreamDetectors, seen: Observations, log10_e: Floats) -> pl.DataFrame:
    """Return the windows after which a stream was near a page, and none that could not page.

    Args:
        detectors: after the windows were looked at.
        seen: the windows; of one stream the last counts.
        log10_e: evidence after each.

    Returns:
        Columns `EVIDENCE_SCHEMA`.
    """
    policy, table = detectors.policy.shifts, detectors.shifts.table
    level = np.log10(policy.gamma_page) - NEAR_LOG10
    places = np.flatnonzero(log10_e >= level)
    if not len(places):
        return pl.DataFrame(schema=EVIDENCE_SCHEMA)
    near, rows = seen.take(places), seen.stream[places]
    counts = table["counts"][rows].sum(axis=1, dtype=np.int64)
    margin = log10_e[places] - policy.log10_gamma(policy.gamma_page, counts)
    shift = shift_sigmas(table, near, np.ones(len(rows), np.int64))
    can_page = (
        (margin >= -NEAR_LOG10)
        & (table["phase"][rows] == Phase.FROZEN)
        & (near.start_ms >= table["quiet_until_ms"][rows])
        & (np.abs(shift) >= policy.min_shift_sigma)
        & ~detectors.has_flaw(rows)
        & _is_last(rows)
    )
    return pl.DataFrame(
        {
            "stream": rows,
            "window_start": near.start_ms,
            "margin": margin,
            "shift_sigma": shift,
            "first_seen_ms": first_seen_ms(table, rows),
        },
        schema=EVIDENCE_SCHEMA,
    ).filter(pl.Series(can_page))


def _is_last(rows: Int64s) -> Any:
    """Say of each row whether it is the last of its stream: the table knows no earlier moment."""
    last = {row: place for place, row in enumerate(rows.tolist())}
    return np.array([last[row] == place for place, row in enumerate(rows.tolist())], np.bool_)
