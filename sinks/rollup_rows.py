"""What an insert adds to a table and to each of its roll-ups, and whether views can pass it on.

A roll-up's row has the columns of a window: its start is moved to that of its span, and a bit tells
in which slot of the span the window lies. So the same deltas can be given to a view, or to each
table by itself, and come to the same.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.tables import PartitionSpan, Rollup, TableSpec

VIEW_PREFIX = "load_"
"""A table behind a landing is filled by the view of its name with this before it."""

UNPARTITIONED = "all"
"""What the engine calls the one partition of a table that has none."""

_WRAPPED = re.compile(r"(?:SimpleAggregateFunction\(\w+, |LowCardinality\()(.*)\)")


def tables_of(spec: TableSpec, rows: pa.Table) -> dict[str, pa.Table]:
    """Return by name what each table gets of some rows; all in the same order.

    Args:
        spec: the table.
        rows: of an insert into it, with `load_batch`.
    """
    return {spec.name: rows} | {rollup.name: rolled(rows, rollup) for rollup in spec.rollups}


def rolled(rows: pa.Table, rollup: Rollup) -> pa.Table:
    """Return rows of windows as the rows of a roll-up.

    Args:
        rows: windows, with `load_batch`.
        rollup: the spans.
    """
    start_ms = rows["window_start"].cast(pa.int64()).to_numpy()
    into_span_ms = start_ms % rollup.span_ms
    bits = np.left_shift(np.uint64(1), (into_span_ms // rollup.slot_ms).astype(np.uint64))
    changed = {
        "window_start": pa.array(start_ms - into_span_ms).cast(
            rows.schema.field("window_start").type
        ),
        "window_ms": pa.array(np.full(len(rows), rollup.span_ms, np.uint32)),
    }
    table = rows
    for name, values in changed.items():
        table = table.set_column(table.column_names.index(name), name, values)
    has_points = rows["count"].to_numpy() > 0
    added = {
        "source_window_ms": rows["window_ms"],
        "covered_slots": pa.array(np.where(has_points, bits, np.uint64(0))),
    }
    for name, values in added.items():
        table = table.append_column(name, values)
    return table


def partitions_of(spec: TableSpec, rows: pa.Table) -> pa.ChunkedArray:
    """Return the name of the partition of each row: the same in a table and its roll-ups."""
    if spec.time_column is None:
        return pa.chunked_array([pa.repeat(UNPARTITIONED, rows.num_rows)])
    times = rows[spec.time_column]
    if spec.partition_span is PartitionSpan.WEEK:
        return week_starts(times)
    return month_numbers(times).cast(pa.string())


def week_starts(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the UTC Monday of each time as ClickHouse names a partition by toMonday.

    >>> week_starts(pa.chunked_array([pa.array([0], pa.timestamp("ms", tz="UTC"))])).to_pylist()
    ['19691229']
    """
    mondays = pc.floor_temporal(times, unit="week", week_starts_monday=True)
    return pc.strftime(mondays, format="%Y%m%d")


def month_numbers(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the UTC month of each time as ClickHouse's toYYYYMM does.

    >>> month_numbers(pa.chunked_array([pa.array([0], pa.timestamp("ms", tz="UTC"))])).to_pylist()
    [197001]
    """
    return pc.add(pc.multiply(pc.year(times), 100), pc.month(times))


def behind_landing(spec: TableSpec) -> list[str]:
    """Return a landing and every view and table that an insert into it reaches."""
    assert spec.landing is not None
    targets = [spec.name, *(rollup.name for rollup in spec.rollups)]
    return [spec.landing, *(VIEW_PREFIX + target for target in targets), *targets]


def landing_faults(spec: TableSpec, columns: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return what would keep a column of the landing from reaching a table, one line each.

    landing ⊆ view ⊆ target, by name and type: what a view has and its target has not, it drops.

    Args:
        spec: a table with a landing.
        columns: table, column and type, of the database.

    >>> spec = TableSpec("t", None, None, landing="in")
    >>> landing_faults(spec, [("in", "a", "Int8"), ("load_t", "a", "Int8"), ("t", "b", "Int8")])
    ['t has no column a of type Int8']
    """
    assert spec.landing is not None
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        found.setdefault(table, {})[column] = _plain_type(kind)
    faults = []
    for target in (spec.name, *(rollup.name for rollup in spec.rollups)):
        faults += _absent(found, spec.landing, VIEW_PREFIX + target)
        faults += _absent(found, VIEW_PREFIX + target, target)
    return faults


def _absent(found: Mapping[str, Mapping[str, str]], source: str, target: str) -> list[str]:
    there = found.get(target, {})
    return [
        f"{target} has no column {column} of type {kind}"
        for column, kind in found.get(source, {}).items()
        if there.get(column) != kind
    ]


def _plain_type(kind: str) -> str:
    """Return the type of the values themselves.

    >>> _plain_type("SimpleAggregateFunction(sum, UInt64)"), _plain_type("LowCardinality(String)")
    ('UInt64', 'String')
    """
    return _WRAPPED.sub(r"\1", kind)
