"""Windows that lie in many hours and days, and what hours and days must be: their plain sums."""

from collections import defaultdict

from schemas.tables import HOUR_MS, MINUTE_MS
from schemas.topics import Topic
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.table_rows import rows_of
from tests.loader_input import KEY, ExpectedWindow, WindowInput, schema_of_id

DAY_MS = 24 * HOUR_MS
SPAN_MS = {"windows_1h": HOUR_MS, "windows_1d": DAY_MS}
TABLES = ("windows", *SPAN_MS)


class SpreadInput(WindowInput):
    """Window deltas that lie anywhere in the first days of three months."""

    def _delta(self):
        delta, values = super()._delta()
        slots = 3 * DAY_MS // delta["window_ms"]
        delta["window_start"] += int(self.random.integers(slots)) * delta["window_ms"]
        return delta, values

    def rows(self, count):
        return rows_of(Topic.WINDOWS, [self.message(count)], schema_of_id(Topic.WINDOWS)).table


def entry(number=1):
    return LedgerEntry("windows", number, (OffsetRange(0, 10 * number, 10 * number + 9),), 1)


def stored(database, table):
    """Return a table's rows, merged as far as they have to be, without what only counts loads."""
    span_columns = (
        "" if table == "windows" else ", max(source_window_ms), groupBitOr(covered_slots)"
    )
    keys = ", ".join(KEY).replace("window_start", "toUnixTimestamp64Milli(window_start)")
    # As text and as plain arrays: these are the same through the driver and through a question.
    rows = database.rows(
        f"SELECT {keys}, sum(count), toString(sum(sum_fixed)), toString(sum(sum_sq_fixed)), "
        "min(min), max(max), tupleElement(sumMap(histogram), 1), "
        "tupleElement(sumMap(histogram), 2), sum(missing_count), sum(nan_count), "
        "sum(out_of_range_count), sum(skewed_count), sum(duplicate_count)"
        f"{span_columns} FROM {table} GROUP BY {keys}"
    )
    return {row[: len(KEY)]: _sums(*row[len(KEY) :]) for row in rows}


def _sums(count, total, total_sq, smallest, largest, bins, counts, *rest):  # noqa: PLR0913, PLR0917 - a row
    sums = count, int(total), int(total_sq), smallest, largest
    return (*sums, (list(bins), list(counts)), *rest)


def rolled_up(windows, span_ms):
    """Add windows up in plain Python: key -> (sums, length of the windows, slots with a point)."""
    sums, lengths, slots = defaultdict(ExpectedWindow), {}, defaultdict(set)
    for key, window in windows.items():
        *identity, window_ms, start_ms = key
        span = (*identity, span_ms, start_ms - start_ms % span_ms)
        total = sums[span]
        total.count += window.count
        total.sum_fixed += window.sum_fixed
        total.sum_sq_fixed += window.sum_sq_fixed
        total.min, total.max = min(total.min, window.min), max(total.max, window.max)
        for index, count in window.bins.items():
            total.bins[index] += count
        for name, count in window.counters.items():
            total.counters[name] += count
        total.values += window.values
        lengths[span] = window_ms
        if window.count > 0:
            slots[span].add(start_ms % span_ms // (MINUTE_MS if span_ms == HOUR_MS else HOUR_MS))
    return {span: (total, lengths[span], slots[span]) for span, total in sums.items()}


def plain_windows(windows):
    return {key: _expected_sums(window) for key, window in windows.items()}


def _expected_sums(total):
    return (
        total.count,
        total.sum_fixed,
        total.sum_sq_fixed,
        total.min,
        total.max,
        (sorted(total.bins), [total.bins[index] for index in sorted(total.bins)]),
        *total.counters.values(),
    )


def expected_rows(windows, span_ms):
    return {
        span: (*_expected_sums(total), length_ms, sum(1 << slot for slot in slots))
        for span, (total, length_ms, slots) in rolled_up(windows, span_ms).items()
    }


def assert_rollups_are_the_windows(database, windows):
    for table, span_ms in SPAN_MS.items():
        assert stored(database, table) == expected_rows(windows, span_ms), table
    total = sum(window.count for window in windows.values())
    assert database.value("SELECT sum(count) FROM windows") == total
