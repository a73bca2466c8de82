"""What a person sees of windows, hours and days, against figures worked out from the points."""

import math

import numpy as np
import pytest

from schemas.tables import HOUR_MS, WINDOWS
from schemas.topics import Topic
from sinks.table_rows import rows_of
from tests.integration.chdb_database import database_address, open_database
from tests.integration.rollup_reading import SPAN_MS, TABLES, SpreadInput, entry, rolled_up
from tests.loader_input import KEY, message, schema_of_id
from tests.oracle.windows_oracle import fixed, square_fixed
from udfs.histogram import RELATIVE_ERROR, SMALLEST, bin_index

pytestmark = pytest.mark.integration

SEED = 20260102


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="module")
def opened(folder):
    with open_database(database_address(folder)) as database:
        yield database


@pytest.fixture
def database(opened):
    for table in TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


QUANTILES = (0.5, 0.9, 0.95, 0.99)


@pytest.mark.parametrize("span", ["1h", "1d"])
def test_views_of_hours_and_days_give_the_figures_of_their_points(database, span):
    print("seed", SEED)
    deltas = SpreadInput(SEED)
    for number in range(1, 6):
        database.writer.load(WINDOWS, entry(number), deltas.rows(80))
    expected = rolled_up(deltas.expected, SPAN_MS[f"windows_{span}"])
    keys = ", ".join(KEY).replace("window_start", "toUnixTimestamp64Milli(window_start)")
    columns = "count, covered_ratio, nan_count, min, max, mean, stddev, p50, p90, p95, p99"
    found = database.rows(f"SELECT {keys}, {columns} FROM v_windows_{span}")
    assert {row[: len(KEY)] for row in found} == expected.keys()
    for row in found:
        total, length_ms, slots = expected[row[: len(KEY)]]
        count, covered, nan_count, *figures = row[len(KEY) :]
        slot_count = HOUR_MS // length_ms if span == "1h" else 24
        assert (count, nan_count) == (total.count, total.counters["nan_count"])
        assert covered == pytest.approx(len(slots) / slot_count)
        assert_figures(figures, np.array(total.values))
    assert any(total.count == 0 for total, _, _ in expected.values())
    views = (f"v_device_{span}", f"v_group_{span}")
    assert sum(database.value(f"SELECT count() FROM {view}") for view in views) == len(found)


def assert_figures(figures, exact):
    if len(exact) == 0:
        assert set(figures) == {None}
        return
    smallest, largest, mean, stddev, *quantiles = figures
    assert (smallest, largest) == (exact.min(), exact.max())
    assert mean == pytest.approx(exact.mean(), rel=1e-9, abs=1e-14)
    assert stddev == pytest.approx(exact.std(), rel=1e-6, abs=1e-7 * np.abs(exact).max() + 1e-9)
    for q, found in zip(QUANTILES, quantiles, strict=True):
        wanted = np.quantile(exact, q, method="inverted_cdf")
        assert abs(found - wanted) <= max(abs(wanted) * RELATIVE_ERROR, SMALLEST)
        assert smallest <= found <= largest


NEARLY_CONSTANT = {
    "zero": [0.0] * 7,
    "one third": [1 / 3] * 1000,
    "below the histogram": [3e-7] * 3,
    "a large one": [999_999_999.999] * 1000,
    "the largest": [1e12] * 10,
    "negative": [-1234.567] * 10,
    "two neighbours": [1e9, np.nextafter(1e9, 2e9)] * 5,
    "one that differs": [1e6] * 999 + [1e6 + 1e-4],
}


@pytest.mark.parametrize("values", NEARLY_CONSTANT.values(), ids=NEARLY_CONSTANT.keys())
@pytest.mark.parametrize("view", ["v_windows", "v_windows_1h", "v_windows_1d"])
def test_figures_of_values_that_hardly_differ_stay_between_the_extremes(database, view, values):
    """The squares were rounded before they were added: their difference is noise here."""
    database.writer.load(WINDOWS, entry(), rows_of_values(values))
    columns = "min, max, mean, stddev, p50, p90, p95, p99"
    ((smallest, largest, mean, stddev, *quantiles),) = database.rows(
        f"SELECT {columns} FROM {view}"
    )
    assert (smallest, largest) == (min(values), max(values))
    assert all(smallest <= value <= largest for value in (mean, *quantiles))
    width = largest - smallest
    assert width / math.sqrt(2 * len(values)) * 0.999 <= stddev <= width / 2
    if width == 0:
        assert (mean, stddev, *quantiles) == (smallest, 0.0, *[smallest] * 4)


def rows_of_values(values):
    """Return a window of values, summed as `udfs/windows.py` sums them: squares are floats."""
    bins, counts = np.unique(bin_index(np.array(values, dtype=float)), return_counts=True)
    delta = SpreadInput(SEED).deltas(1)[0] | {
        "count": len(values),
        "sum_fixed": sum(map(fixed, values)).to_bytes(16, "little", signed=True),
        "sum_sq_fixed": sum(map(square_fixed, values)).to_bytes(32, "little", signed=True),
        "min": min(values),
        "max": max(values),
        "histogram": {"bins": bins.tolist(), "counts": counts.tolist()},
    }
    block = message(Topic.WINDOWS, {"rows": [delta]})
    return rows_of(Topic.WINDOWS, [block], schema_of_id(Topic.WINDOWS)).table
