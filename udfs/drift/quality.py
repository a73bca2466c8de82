"""Data quality of values (D5): stuck, other units, saturation, resolution, one step a window.

windows ──> on_units ──> on_run ──> on_epochs ──> learn ──> the share at the edges ──> alarms
             (anchor of the window before)        (what nothing holds against)
"""

import numpy as np

from udfs.drift.alarms import Turns
from udfs.drift.observations import Observations
from udfs.drift.profiles import (
    HAS_ANCHOR,
    VALUE_LIMIT,
    QualityPolicy,
    Standing,
    has_flag,
    is_suspect,
    learn_values,
    standing_of,
)
from udfs.drift.row_tables import Rows, gather, scatter
from udfs.drift.saturation import on_edges, on_epochs
from udfs.drift.shares import Trials, judge_share
from udfs.drift.stuck import learn_runs, on_run, repeats
from udfs.drift.unit_change import on_units
from udfs.histogram import Floats
from udfs.partition_clocks import Bools


def update_quality(table: Rows, seen: Observations, policy: QualityPolicy) -> Turns:
    """Judge the values of one window a stream, then learn from them.

    Args:
        table: `QUALITY_ROW` of all streams; the rows of `seen.stream` are changed.
        seen: at most one window a stream; those without a value say nothing.
        policy: the budget and the warm-up.

    Returns:
        Alarms `stuck`, `unit_change`, `saturation` and `resolution`.
    """
    seen = seen.take(seen.has_value)
    if len(seen) == 0:
        return Turns()
    rows = gather(table, seen.stream)
    standing = standing_of(rows, seen.window_ms, policy)
    value = np.clip(seen.value, -VALUE_LIMIT, VALUE_LIMIT)
    has_range, is_edge = on_edges(rows, value)
    is_repeat = repeats(rows, seen.value)
    step = _steps(rows, value)
    edges = Trials(seen, is_edge.astype(np.int64), has_range.astype(np.int64), "saturation")
    turns = [
        on_units(rows, seen, value, standing),
        on_run(rows, seen, is_repeat, standing, policy),
        on_epochs(rows, seen, is_repeat, standing, policy),
        judge_share(rows["edge"], edges, policy.edges),
    ]
    _learn(rows, (value, step), is_repeat, standing)
    scatter(table, seen.stream, rows)
    return Turns.of(turns)


def _steps(rows: Rows, value: Floats) -> Floats:
    """Return how far each window is from the one before; 0 for the first."""
    before = np.clip(rows["anchor"], -VALUE_LIMIT, VALUE_LIMIT)
    return np.where(has_flag(rows, HAS_ANCHOR), value - before, 0.0)


def _learn(
    rows: Rows, value_and_step: tuple[Floats, Floats], is_repeat: Bools, standing: Standing
) -> None:
    learns = ~standing.is_learned & ~is_suspect(rows)
    if not learns.any():
        return
    learn_values(rows, *value_and_step, learns)
    learn_runs(rows, is_repeat, learns)
