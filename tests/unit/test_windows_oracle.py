"""The batch oracle of the windows, on cases small enough to check by hand."""

import math

from tests.oracle.windows_oracle import (
    LogEntry,
    WindowKey,
    bin_index,
    fixed,
    square_fixed,
    windows_of,
)

T0 = 1_790_000_100_000
"""A multiple of 5 min."""
assert T0 % 300_000 == 0


def point(value, at_ms=T0, name="m", tags=None):
    return {"name": name, "value": value, "timestamp": at_ms, "tags": tags or {}}


def batch(*points, device="d", sequence=0, boot="b", **fields):
    return {
        "tenant_id": "t", "device_id": device, "boot_id": boot, "sequence": sequence,
        "model_version": None, "deployment_group": None, "points": list(points), **fields,
    }  # fmt: skip


def log_of(*batches, append_ms=T0 + 1000):
    return [LogEntry(append_ms, 0, offset, b) for offset, b in enumerate(batches)]


def device_row(rows, start_ms=T0, group="", model="", device="d"):
    return rows[WindowKey("t", "device", device, group, model, "m", start_ms, 300_000)]


def tenant_row(rows, start_ms=T0):
    return rows[WindowKey("t", "tenant", None, "", "", "m", start_ms, 60_000)]


def test_one_point_is_in_its_device_its_group_and_its_tenant():
    rows = windows_of(log_of(batch(point(1.5), deployment_group="canary", model_version="v3")))
    assert [key[:5] + key[6:] for key in rows] == [
        ("t", "device", "d", "canary", "v3", T0, 300_000),
        ("t", "group", None, "canary", "v3", T0, 60_000),
        ("t", "tenant", None, "", "", T0, 60_000),
    ]
    for row in rows.values():
        assert (row.count, row.min, row.max) == (1, 1.5, 1.5)
        assert row.sum_fixed == 3 * 2**49
        assert row.sum_sq_fixed == 9 * 2**78


def test_sums_are_exact_where_floats_would_depend_on_order():
    values = [1e12, 1e-6, -1e12, 0.1]
    forth = device_row(windows_of(log_of(batch(*map(point, values)))))
    back = device_row(windows_of(log_of(batch(*map(point, reversed(values))))))
    assert forth == back
    assert abs(forth.sum_fixed / 2**50 - 0.100001) < 1e-12


def test_fixed_point_truncates_toward_zero():
    assert fixed(2.0**-51) == fixed(-(2.0**-51)) == 0
    assert fixed(-1.0) == -(2**50)
    assert square_fixed(2.0**-41) == 0
    assert square_fixed(2.0**-40) == 1
    assert square_fixed(-1024.0) == 2**100
    assert square_fixed(1024.1) % 2**60 == 0


def test_windows_follow_the_point_not_the_arrival():
    #  window   |T0 ............ +5 min|+5 min .........|
    #  points    x                    x x                 arrive together at +6 min
    points = [point(1.0), point(2.0, T0 + 299_999), point(3.0, T0 + 300_000)]
    rows = windows_of(log_of(batch(*points), append_ms=T0 + 360_000))
    assert device_row(rows).count == 2
    assert device_row(rows, T0 + 300_000).count == 1
    assert tenant_row(rows).count == 1
    assert tenant_row(rows, T0 + 240_000).count == 1


def test_a_copy_of_a_batch_only_counts_duplicates():
    first = batch(point(1.0), point(math.nan), sequence=4)
    rows = windows_of(log_of(first, first, batch(point(5.0), sequence=4, boot="other")))
    row = device_row(rows)
    assert (row.count, row.nan_count, row.duplicate_count) == (2, 1, 2)
    assert row.max == 5.0


def test_batches_without_a_sequence_are_compared_point_by_point():
    superset = batch(point(1.0), point(2.0, T0 + 1), sequence=None)
    other_tags = batch(point(3.0, tags={"a": "b"}), sequence=None)
    rows = windows_of(log_of(batch(point(1.0), sequence=None), superset, other_tags))
    assert (device_row(rows).count, device_row(rows).duplicate_count) == (3, 1)


def test_values_that_are_not_finite_or_too_large_are_counted_apart():
    values = [math.nan, math.inf, -math.inf, 1.0000001e12, -2e12, 1e12]
    row = device_row(windows_of(log_of(batch(*map(point, values)))))
    assert (row.count, row.nan_count, row.out_of_range_count) == (1, 3, 2)
    assert row.histogram.total() == 1


def test_a_window_of_only_nan_still_has_a_row():
    row = device_row(windows_of(log_of(batch(point(math.nan)))))
    assert (row.count, row.min, row.max) == (0, math.inf, -math.inf)


def test_wrong_clocks_are_moved_to_the_append_time():
    #  append at T0 + 1 s; 120 s ahead is still believed
    append_ms = T0 + 1000
    times = [append_ms + 120_000, append_ms + 120_001, 0, -5, 1_420_070_399_999, 1_420_070_400_000]
    rows = windows_of(log_of(batch(*(point(1.0, at_ms) for at_ms in times)), append_ms=append_ms))
    assert (device_row(rows).count, device_row(rows).skewed_count) == (5, 4)
    assert tenant_row(rows).count == 4
    assert tenant_row(rows, 1_420_070_400_000).skewed_count == 0


def test_clock_ticks_are_no_telemetry():
    assert windows_of(log_of(batch(point(1.0), tenant_id="__clock__"))) == {}


def test_histogram_bins_are_narrow_and_symmetric():
    for value in (1e-5, 0.3, 1.0, 17.0, 9.99e11):
        assert bin_index(-value) == -bin_index(value)
        assert bin_index(value * 1.02) > bin_index(value)
        assert bin_index(value * 1.02) - bin_index(value) <= 3
    assert bin_index(1.0) == 20 * 64 + 1
    assert bin_index(1e-9) == bin_index(-0.0) == 0
