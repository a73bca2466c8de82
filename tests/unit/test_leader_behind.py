"""A partition whose new leader is 40 s behind: it speaks, so it is not silent (C1, C8)."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from jobs.backtest_log import LineType, LogLine
from tests.alert_logs import at
from tests.alert_reference_turns import clocks_and_gaps
from tests.strategies import NOON_MS
from tests.unit.test_liveness_laws import SEEDS, START, facts, random_log, run, run_in_blocks
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import WAIT_MAX_MS

MINUTE_MS = 60_000
BEHIND_MS = [25_000, 40_000, 120_000, WAIT_MAX_MS - 30_000]
RECORDS = (LineType.CONTACT, LineType.TICK)


def told_in_blocks(block_max_lines: int, behind_ms: int) -> list[tuple[str, int]]:
    """Return id and time of all events of 20 min of ticks.

    p0  tick each 5 s
    p1  tick each 5 s | 300 s ... its times are 40 s behind ... 900 s |
    """
    lines = [
        LogLine(NOON_MS + s * 1000 - behind_ms * (p == 1 and 300 < s < 900), LineType.TICK, p, {})
        for s in range(0, 1200, 5)
        for p in (0, 1)
    ]
    backtest = Backtest(OfflinePolicy(), BacktestPlan(fine_ms=None))
    numbered, events = list(numbered_lines(lines)), []
    for begin in range(0, len(numbered), block_max_lines):
        events += backtest.take(numbered[begin : begin + block_max_lines])
    return [(event["id"], event["time"]) for event in [*events, *backtest.end()]]


@pytest.mark.parametrize("behind_ms", BEHIND_MS)
def test_a_partition_that_speaks_behind_is_told_of_alike_however_its_log_is_cut(behind_ms):
    in_one = told_in_blocks(10_000, behind_ms)
    assert told_in_blocks(10, behind_ms) == in_one
    assert told_in_blocks(1, behind_ms) == in_one
    # Where its leader has the right time again, its own log has a gap.
    assert len(in_one) == 2 * (behind_ms > 25_000)


def behind(lines: list[LogLine], partition: int, span_ms: tuple[int, int], by_ms: int):
    """Return a log in which the leader of a partition was behind for a while, as it arrived."""
    return [
        replace(line, at_ms=line.at_ms - by_ms)
        if line.type in RECORDS
        and line.partition == partition
        and span_ms[0] <= line.at_ms < span_ms[1]
        else line
        for line in lines
    ]


def random_leader_behind(seed: int) -> list[LogLine]:
    """Return a random log of two partitions; one leader is behind while nobody is silent."""
    lines, chance = random_log(seed, partition_count=2), random.Random(seed)
    _, gaps = clocks_and_gaps(lines)
    begin_ms = at(START) + chance.randrange(10, 60) * MINUTE_MS
    silent = [end_ms for spans in gaps.values() for span in spans for end_ms in span]
    later = [silent_ms for silent_ms in silent if silent_ms > begin_ms]
    end_ms = min([at(START) + 80 * MINUTE_MS, *(each - 5 * MINUTE_MS for each in later)])
    return behind(lines, chance.randrange(2), (begin_ms, end_ms), chance.choice(BEHIND_MS))


@given(SEEDS, st.lists(st.integers(0, 2**16), max_size=12), st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_blocks_shards_and_restarts_change_nothing_while_a_leader_is_behind(
    seed: int, cuts: list[int], shard_count: int
) -> None:
    lines = random_leader_behind(seed)
    note(f"{seed=}")
    assert facts(run_in_blocks(lines, cuts, shard_count)) == facts(run(lines))


def test_nobody_waits_for_a_leader_that_is_ten_minutes_behind() -> None:
    """A warning leaves soon after it is due.

    p0  d at 600 s | tick each 5 s                      warning at 900 s
    p1  tick each 5 s | 300 s ... its times are 600 s behind ... |
    """
    lines = [
        LogLine(NOON_MS + s * 1000 - 600_000 * (p == 1 and s > 300), LineType.TICK, p, {})
        for s in range(0, 910, 5)
        for p in (0, 1)
    ]
    said = {"tenant_id": "acme", "device_id": "d"}
    heard = LogLine(NOON_MS + 600_000, LineType.CONTACT, 0, said)
    place = next(n for n, line in enumerate(lines) if line.at_ms > heard.at_ms)
    backtest = Backtest(OfflinePolicy(), BacktestPlan(fine_ms=None))
    numbered = list(numbered_lines([*lines[:place], heard, *lines[place:]]))
    events = [e for n in range(0, len(numbered), 10) for e in backtest.take(numbered[n : n + 10])]
    warnings = [e["time"] for e in events if e["subject"] == "device/d" and e["seq"] == 1]
    assert NOON_MS + 900_000 in warnings
