"""What an insert adds to each roll-up, and tables that would lose a part of it."""

import pyarrow as pa

from schemas.tables import HOUR_MS, MINUTE_MS, WINDOWS, Rollup
from sinks.rollup_rows import landing_faults, partitions_of, rolled

TEN_MINUTES = Rollup("ten", span_ms=10 * MINUTE_MS, slot_ms=MINUTE_MS)
NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00Z


def windows(*starts_and_counts, window_ms=MINUTE_MS):
    """Return the columns that matter here."""
    starts, counts = zip(*starts_and_counts, strict=True)
    return pa.table(
        {
            "window_start": pa.array(starts, pa.timestamp("ms", tz="UTC")),
            "window_ms": pa.array([window_ms] * len(starts), pa.uint32()),
            "count": pa.array(counts, pa.uint64()),
        }
    )


def test_a_window_goes_to_the_span_it_starts_in_and_marks_its_slot():
    # span   |0 . . 3 . . . . . 9|0
    # window        x           -  x      -: without a point
    rows = windows(
        (NOON_MS + 3 * MINUTE_MS, 5), (NOON_MS + 9 * MINUTE_MS, 0), (NOON_MS + 10 * MINUTE_MS, 1)
    )
    found = rolled(rows, TEN_MINUTES).to_pydict()
    starts = [round(start.timestamp() * 1000) for start in found["window_start"]]
    assert starts == [NOON_MS, NOON_MS, NOON_MS + 10 * MINUTE_MS]
    assert found["covered_slots"] == [1 << 3, 0, 1]
    assert found["window_ms"] == [TEN_MINUTES.span_ms] * 3
    assert found["source_window_ms"] == [MINUTE_MS] * 3


def test_the_last_slot_of_every_rollup_has_a_bit():
    for rollup in WINDOWS.rollups:
        last = windows((NOON_MS - NOON_MS % (24 * HOUR_MS) + rollup.span_ms - MINUTE_MS, 1))
        (bits,) = rolled(last, rollup)["covered_slots"].to_pylist()
        assert bits == 1 << (rollup.span_ms // rollup.slot_ms - 1)


def test_a_span_lies_in_one_partition():
    december = windows((NOON_MS - 12 * HOUR_MS - MINUTE_MS, 1))
    for rollup in WINDOWS.rollups:
        spans = rolled(december, rollup)
        assert partitions_of(WINDOWS, spans).to_pylist() == ["202512"]


def test_what_views_would_leave_out_is_named():
    whole = [
        (table, column, kind)
        for target in ("windows", "windows_1h", "windows_1d")
        for table, kind in (
            (f"load_{target}", "UInt64"),
            (target, "SimpleAggregateFunction(sum, UInt64)"),
        )
        for column in ("count", "nan_count")
    ]
    whole += [("windows_landing", column, "UInt64") for column in ("count", "nan_count")]
    assert landing_faults(WINDOWS, whole) == []
    for gone in whole[:-2]:
        table, column, _ = gone
        faults = landing_faults(WINDOWS, [row for row in whole if row != gone])
        assert faults == [f"{table} has no column {column} of type UInt64"]
    narrowed = [(t, c, "UInt8" if t == "windows_1d" else kind) for t, c, kind in whole]
    assert len(landing_faults(WINDOWS, narrowed)) == 2
