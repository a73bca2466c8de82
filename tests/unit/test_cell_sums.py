"""The sums of points, against integers of Python without a limit."""

import math
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest

from udfs.cell_sums import (
    RUN_MAX_COUNT,
    SMALL_BELOW,
    SQUARE_LARGE_SCALE,
    SQUARE_SCALE,
    SUM_SCALE,
    joined_key,
    merge_owners,
    sum_cells,
)
from udfs.histogram import bin_index
from udfs.point_cells import PointCells

SEED = 20_261_123
WINDOW_MS = 60_000
HARD = [1e12, -1e12, 1023.999, -1024.0, 1024.0, 2.0**-60, -(2.0**-51), 0.1, -7.3, 1e-300, 0.0]


def cells_of(value, metric, time_ms, is_counted):
    no = np.zeros(len(value), np.bool_)
    value = np.where(is_counted, value, 0.0)
    return PointCells(
        row=np.arange(len(value), dtype=np.uint32),
        metric=metric,
        time_ms=time_ms,
        value=value,
        bin=bin_index(value),
        is_counted=is_counted,
        is_duplicate=~is_counted,
        is_nan=no,
        is_out_of_range=no,
        is_skewed=no,
        metrics=pl.Series(["a", "b", "c"]),
    )


def random_cells(random, count):
    value = np.where(
        random.random(count) < 0.3, random.choice(HARD, count), random.standard_normal(count) * 100
    )
    times = random.choice([-5, 0, 59_999, 60_000, 4_000_000_000_000], count)
    return cells_of(value, random.integers(0, 3, count), times, random.random(count) < 0.9)


def expected_windows(cells, owner):
    """Add the points up one by one."""
    sums, bins = defaultdict(lambda: [0, 0, 0, 0, 0, math.inf, -math.inf]), defaultdict(Counter)
    for i in range(len(cells)):
        key = int(owner[i]), int(cells.metric[i]), int(cells.time_ms[i]) // WINDOW_MS
        mine, value = sums[key], float(cells.value[i])
        mine[4] += int(cells.is_duplicate[i])
        if not cells.is_counted[i]:
            continue
        is_small = abs(value) < SMALL_BELOW
        mine[0] += 1
        mine[1] += math.trunc(value * SUM_SCALE)
        mine[2] += math.trunc(value * value * SQUARE_SCALE) if is_small else 0
        mine[3] += 0 if is_small else math.trunc(value * value * SQUARE_LARGE_SCALE)
        mine[5], mine[6] = min(mine[5], value), max(mine[6], value)
        bins[key][int(cells.bin[i])] += 1
    return {key: (*mine, sorted(bins[key].items())) for key, mine in sums.items()}


def found_windows(sums):
    """The same of what was summed."""
    measures = ("count", "sum_fixed", "square_small", "square_large", "duplicate_count")
    bins = defaultdict(list)
    for window, bin_number, count in zip(
        sums.of_bin.tolist(), sums.bin.tolist(), sums.bin_count.tolist(), strict=True
    ):
        bins[window].append((bin_number, count))
    return {
        (row["owner"], row["metric"], row["window"]): (
            *(row[name] for name in measures), row["min"], row["max"], bins[index]
        )
        for index, row in enumerate(sums.windows.iter_rows(named=True))
    }  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 50, 3 * RUN_MAX_COUNT])
def test_sums_are_exact_whatever_the_values_and_however_many_share_a_window(count):
    print(f"seed {SEED}")
    random = np.random.default_rng(SEED)
    cells = random_cells(random, count)
    owner = random.integers(0, 2, count)
    assert found_windows(sum_cells(cells, owner, WINDOW_MS)) == expected_windows(cells, owner)


def test_more_points_of_the_largest_values_than_64_bits_hold_are_summed_exactly():
    count = 5 * RUN_MAX_COUNT
    one = np.ones(count, np.int64)
    cells = cells_of(np.full(count, -1e12), 0 * one, one, one > 0)
    row = sum_cells(cells, 0 * one, WINDOW_MS).windows.row(0, named=True)
    assert row["sum_fixed"] == count * -(10**12) * 2**50
    assert row["square_large"] == count * math.trunc(1e24 * SQUARE_LARGE_SCALE)


def test_coarser_owners_have_the_sums_of_the_finer_ones_together():
    random = np.random.default_rng(SEED)
    cells = random_cells(random, 2_000)
    owner = random.integers(0, 6, 2_000)
    coarser = np.array([0, 1, 0, 1, 1, 0])
    merged = merge_owners(sum_cells(cells, owner, WINDOW_MS), coarser)
    assert found_windows(merged) == expected_windows(cells, coarser[owner])


def test_keys_of_columns_that_together_span_more_than_64_bits_keep_their_order():
    random = np.random.default_rng(SEED)
    columns = [random.choice([-(2**62), 0, 7, 2**62 - 1], 500) for _ in range(4)]
    order = np.argsort(joined_key(columns), kind="stable").tolist()
    assert order == sorted(range(500), key=lambda row: [int(column[row]) for column in columns])
