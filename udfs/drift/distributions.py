"""D2: distributions of points against a baseline that was learned and frozen, many streams at once.

    windows   | | | | | |  ... |            histograms, added to the open hour
    hours     |    h   |   h   |   h  ...   judged when a window of a later hour comes
    quarters  |           q           |     six hours; the last four are judged as a day

What a stream says depends on its own windows alone, in the order of their starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from udfs.drift.cells import Cells, category_counts
from udfs.drift.distribution_alarms import DistributionTurn, turns_of
from udfs.drift.distribution_judging import DAY, HOUR, MAJOR, MINOR, Verdicts, is_young, judge
from udfs.drift.distribution_learning import freeze, learn_law
from udfs.drift.distribution_policy import QUARTER_COUNT, QUARTER_MS, DistributionPolicy
from udfs.drift.distribution_table import NEVER_MS, empty_distributions
from udfs.drift.row_tables import Rows
from udfs.offline_policy import DAY_MS, HOUR_MS
from udfs.partition_clocks import Bools, Int64s

OPEN, BASELINE, FIRST_QUARTER = 0, 1, 8
"""Parts of time of the cells: the open hour, the baseline, quarters of days since 1970."""
DAY_HOURS_MIN = 20
"""A day with fewer hours is none: the hours that are missing may be the other half of a season."""
COUNT_MAX = 65_535


@dataclass(frozen=True)
class BinnedWindows:
    """Complete windows with their histograms.

    Args:
        stream: of each window, shape (n,).
        start_ms: first instant of each.
        window_ms: length of each.
        window: of each cell, the place of its window, shape (n_cells,).
        bins: of each cell, as in `udfs.histogram`.
        points: of each cell, above 0.
    """

    stream: Int64s
    start_ms: Int64s
    window_ms: Int64s
    window: Int64s
    bins: Int64s
    points: Int64s

    def hours(self) -> Iterator[tuple[int, Bools]]:
        """Yield each hour that has windows, in order, and which they are."""
        hour_ms = self.start_ms // HOUR_MS * HOUR_MS
        return ((start_ms, hour_ms == start_ms) for start_ms in np.unique(hour_ms).tolist())


@dataclass
class Distributions:
    """The distributions of many streams; a step changes them in place.

    Args:
        policy: how to judge.
        table: `DISTRIBUTION_ROW`, one record a stream.
        cells: their histograms.
    """

    policy: DistributionPolicy
    table: Rows = field(default_factory=lambda: empty_distributions(np.zeros(0, np.bool_)))
    cells: Cells = field(default_factory=Cells)

    def grow(self, is_class: Bools) -> None:
        """Make room for streams that are new, whose values are names of classes, or not."""
        self.table = np.concatenate([self.table, empty_distributions(is_class)])

    def forget(self, rows: Int64s) -> None:
        """Let streams learn anew."""
        self.table[rows] = empty_distributions(self.table["is_class"][rows])
        self.cells.settle()
        self.cells.drop(np.isin(self.cells.stream, rows))

    def observe(self, seen: BinnedWindows) -> list[DistributionTurn]:
        """Take windows, any number of each stream, in the order of their starts."""
        turns: list[DistributionTurn] = []
        for hour_ms, is_mine in seen.hours():
            rows = np.unique(seen.stream[is_mine])
            before_ms = self.table["open_ms"][rows]
            due = rows[(before_ms != NEVER_MS) & (before_ms < hour_ms)]
            if len(due):
                turns += self._close(due, hour_ms)
            self.table["open_ms"][rows] = np.maximum(before_ms, hour_ms)
            self._add(seen, is_mine)
        return turns

    def _add(self, seen: BinnedWindows, is_mine: Bools) -> None:
        """Add windows to the open hours of their streams."""
        streams = seen.stream[is_mine]
        more = np.bincount(streams, minlength=len(self.table))
        windows = np.minimum(self.table["open_windows"] + more, COUNT_MAX)
        self.table["open_windows"] = windows
        self.table["window_ms"][streams] = seen.window_ms[is_mine]
        is_cell = is_mine[seen.window]
        stream = seen.stream[seen.window[is_cell]]
        part = np.full(len(stream), OPEN)
        self.cells.add(stream, part, seen.bins[is_cell], seen.points[is_cell])

    def _close(self, due: Int64s, next_ms: int) -> list[DistributionTurn]:
        """Let the open hours of some streams end, as a window of a later one has come."""
        self.cells.settle()
        has_baseline = self.table["category_count"][due] > 0
        self._gather(due[~has_baseline])
        turns = self._judge_hours(due[has_baseline])
        is_last = _quarter(self.table["open_ms"][due]) < next_ms // QUARTER_MS
        turns += self._judge_days(due[has_baseline & is_last], next_ms)
        self.table["open_windows"][due] = 0
        return turns

    def _gather(self, rows: Int64s) -> None:
        """Add hours to the baselines of streams that have none; freeze those that are whole."""
        if not len(rows):
            return
        table = self.table
        start_ms = table["open_ms"][rows]
        is_first = table["gathered_hours"][rows] == 0
        table["from_ms"][rows] = np.where(is_first, start_ms, table["from_ms"][rows])
        table["until_ms"][rows] = start_ms + HOUR_MS
        table["gathered_hours"][rows] = np.minimum(table["gathered_hours"][rows] + 1.0, 255)
        table["baseline_windows"][rows] += table["open_windows"][rows]
        self._move_open(rows, np.full(len(rows), BASELINE))
        long_enough = rows[table["gathered_hours"][rows] >= self.policy.gather_hours]
        for row in long_enough.tolist():
            own = self._cells_of(np.array([row]), BASELINE, BASELINE)
            if own.points.sum() >= self.policy.gather_points:
                freeze(table, own, row)
                self._drop(np.array([row]), BASELINE)

    def _judge_hours(self, rows: Int64s) -> list[DistributionTurn]:
        if not len(rows):
            return []
        end_ms = self.table["open_ms"][rows] + HOUR_MS
        after = self._cells_of(rows, OPEN, OPEN)
        found = self._judged(rows, after, HOUR)
        is_odd, before = found.is_odd, self.table["suspect_ms"][rows]
        began = np.where(before == NEVER_MS, end_ms - HOUR_MS, before)
        self.table["suspect_ms"][rows] = np.where(is_odd, began, NEVER_MS)
        self.table["is_partial"][rows] = found.is_partial(self.policy)
        self._learn(found, HOUR, np.ones(len(rows), np.bool_))
        turns = turns_of(self.table, found, after, HOUR, end_ms, self.policy)
        quarter = _quarter(end_ms - HOUR_MS)
        self._move_open(rows, quarter + FIRST_QUARTER)
        self.table["quarter_hours"][rows, quarter % QUARTER_COUNT] += 1
        assert self.table["quarter_hours"].max() <= QUARTER_MS // HOUR_MS
        self._forget_days(turns)
        return turns

    def _judge_days(self, rows: Int64s, next_ms: int) -> list[DistributionTurn]:
        """Judge the last four quarters of streams whose quarter is over, and begin the next."""
        if not len(rows):
            return []
        quarter = _quarter(self.table["open_ms"][rows])
        end_ms = (quarter + 1) * QUARTER_MS
        is_whole = self.table["quarter_hours"][rows].sum(axis=1, dtype=np.int64) >= DAY_HOURS_MIN
        turns: list[DistributionTurn] = []
        whole = rows[is_whole]
        if len(whole):
            after = self._cells_of(whole, FIRST_QUARTER, None)
            found = self._judged(whole, after, DAY)
            is_midnight = end_ms[is_whole] % DAY_MS == 0  # so that no two days overlap
            self._learn(found, DAY, is_midnight)
            turns = turns_of(self.table, found, after, DAY, end_ms[is_whole], self.policy)
            self._forget_days(turns)
        self._begin_quarter(rows, quarter, next_ms // QUARTER_MS)
        return turns

    def _judged(self, rows: Int64s, after: Cells, law: str) -> Verdicts:
        counts = category_counts(after, self.table, rows)
        return judge(self.table, rows, counts, law, self.policy)

    def _learn(self, found: Verdicts, law: str, is_asked: Bools) -> None:
        """Learn for a week how blocks differ, from all but what looks like a major shift."""
        rows = found.rows
        is_well = (found.rank < MAJOR) & (self.table["opened_rank"][rows] < MINOR)
        learns = is_asked & is_well & is_young(self.table, rows, law, self.policy)
        learn_law(self.table, rows[learns], law, found.psi[learns], found.points[learns])

    def _begin_quarter(self, rows: Int64s, quarter: Int64s, new_quarter: int) -> None:
        """Forget the quarters that are no part of the last day any more."""
        for step in range(1, QUARTER_COUNT + 1):
            is_begun = quarter + step <= new_quarter
            at = (quarter[is_begun] + step) % QUARTER_COUNT
            self.table["quarter_hours"][rows[is_begun], at] = 0
        oldest = new_quarter - QUARTER_COUNT + 1 + FIRST_QUARTER
        part = self.cells.part
        is_old = (part >= FIRST_QUARTER) & (part < oldest) & np.isin(self.cells.stream, rows)
        self.cells.drop(is_old)

    def _forget_days(self, turns: list[DistributionTurn]) -> None:
        """Forget the last day of streams whose alarm has ended: it holds what the alarm was of."""
        rows = np.array([turn.stream for turn in turns if turn.is_over], np.int64)
        if len(rows):
            self._drop(rows, FIRST_QUARTER, None)
            self.table["quarter_hours"][rows] = 0

    def _move_open(self, rows: Int64s, part: Int64s) -> None:
        """Let the cells of the open hours of some streams belong to other parts."""
        is_moved = (self.cells.part == OPEN) & np.isin(self.cells.stream, rows)
        at = np.searchsorted(rows, self.cells.stream[is_moved])
        self.cells.move(is_moved, part[at])

    def _cells_of(self, rows: Int64s, first: int, last: int | None) -> Cells:
        return self.cells.take(self._is_of(rows, first, last))

    def _drop(self, rows: Int64s, first: int, last: int | None = BASELINE) -> None:
        self.cells.drop(self._is_of(rows, first, last))

    def _is_of(self, rows: Int64s, first: int, last: int | None) -> Bools:
        """Say which cells are of some streams and parts."""
        part = self.cells.part
        is_in = part >= first if last is None else (part >= first) & (part <= last)
        found: Bools = is_in & np.isin(self.cells.stream, rows)
        return found


def _quarter(time_ms: Int64s) -> Int64s:
    """Return the number of the quarter of a day that holds each instant."""
    number: Int64s = time_ms // QUARTER_MS
    return number
