"""How `fleetpulse detect` reads a series: how much of it is the baseline.

A quarter of the rows, at most 1,000 of them; more where that spans two days, or two weeks, as a
season must have been seen twice.
"""

from dataclasses import dataclass

from jobs.detect_input import Series
from udfs.drift.budget import Budget
from udfs.drift.seasons import WEEK_MS
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.stream_detectors import StreamPolicy, stream_policy
from udfs.drift.warm_ups import SAMPLE_COUNT
from udfs.offline_policy import DAY_MS

BASELINE_RATIO = 0.25
SEASON_RATIO_MAX = 0.4
"""A baseline may take so much of a series to see its day twice."""
BASELINE_WINDOW_COUNT = 1_000
WINDOWS_MAX_COUNT = 20_000
NEEDED_COUNT = SAMPLE_COUNT + 20


@dataclass(frozen=True)
class DetectPlan:
    """Series with the same plan are read together.

    Args:
        window_ms: distance of two rows.
        baseline_count: rows of the baseline.
        needed_count: rows without which there is no verdict.
        is_short: there are fewer.
    """

    window_ms: int
    baseline_count: int
    needed_count: int
    is_short: bool

    def policy(self, budget: Budget) -> StreamPolicy:
        """Return how the series are judged."""
        shifts = ShiftPolicy(
            provisional_count=self.baseline_count,
            window_count=self.baseline_count,
            does_provisional_page=True,
            has_season=True,
        )
        return stream_policy(budget, self.window_ms, 1, shifts, learn_ms=0)


def plan_of(series: Series) -> DetectPlan:
    """Return how to read one series."""
    window_ms = series.window_ms
    count = int((series.value == series.value).sum())
    if count < NEEDED_COUNT:
        return DetectPlan(window_ms, 0, NEEDED_COUNT, is_short=True)
    baseline = max(min(int(count * BASELINE_RATIO), BASELINE_WINDOW_COUNT), SAMPLE_COUNT)
    for span_ms, share in ((2 * DAY_MS, SEASON_RATIO_MAX), (2 * WEEK_MS, BASELINE_RATIO)):
        wanted = span_ms // window_ms + 1
        if baseline < wanted <= count * share:
            baseline = min(wanted, WINDOWS_MAX_COUNT)
    return DetectPlan(window_ms, baseline, NEEDED_COUNT, is_short=False)
