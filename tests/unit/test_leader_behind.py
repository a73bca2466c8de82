"""A partition whose new leader is 40 s behind: it speaks, so it is not silent (C1, C8)."""

import pytest

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from jobs.backtest_log import LineType, LogLine
from tests.strategies import NOON_MS
from udfs.offline_policy import OfflinePolicy


def told_in_blocks(block_max_lines: int) -> list[tuple[str, int]]:
    """Return id and time of all events of 20 min of ticks.

    p0  tick each 5 s
    p1  tick each 5 s | 300 s ... its times are 40 s behind ... 900 s |
    """
    lines = [
        LogLine(NOON_MS + s * 1000 - 40_000 * (p == 1 and 300 < s < 900), LineType.TICK, p, {})
        for s in range(0, 1200, 5)
        for p in (0, 1)
    ]
    backtest = Backtest(OfflinePolicy(), BacktestPlan(fine_ms=None))
    numbered, events = list(numbered_lines(lines)), []
    for begin in range(0, len(numbered), block_max_lines):
        events += backtest.take(numbered[begin : begin + block_max_lines])
    return [(event["id"], event["time"]) for event in [*events, *backtest.end()]]


def test_a_partition_that_speaks_40_s_behind_is_told_of_alike_however_its_log_is_cut():
    assert told_in_blocks(10) == told_in_blocks(10_000)
