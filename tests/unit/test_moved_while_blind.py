"""A device that moves away from a partition that was blind: that time is excused (C8)."""

import pytest

from jobs.backtest import BacktestPlan
from tests.oracle.alerts_oracle import Contact, Entry, Registration, Tick
from tests.simulation.test_alerts_match_oracle import told_by_engine
from tests.strategies import NOON_MS


def moving_log(heard_again_s: int = 800) -> list[Entry]:
    """Return a device that was unheard for 200 s beside the blind time.

    p0  d at 100 s | 200 s .. blind .. 800 s |
    p1                                         d at 900 s
    """
    log: list[Entry] = [Registration(NOON_MS + 1, "t", "d")]
    for partition, said_s in ((0, 100), (1, 900)):
        times = [s for s in range(0, 1000, 5) if partition == 1 or not 200 < s < heard_again_s]
        spoken = sorted([*((s, "") for s in times), (said_s, "d")])
        for offset, (at_s, device) in enumerate(spoken):
            place = (NOON_MS + at_s * 1000, partition, offset)
            log.append(Contact(*place, "t", device) if device else Tick(*place))
    return log


def test_a_move_after_blind_time_makes_nobody_offline_in_small_blocks():
    assert told_by_engine(moving_log(), BacktestPlan(1, 10, fine_ms=None)) == []


def test_a_move_after_blind_time_makes_nobody_offline_in_one_block():
    assert told_by_engine(moving_log(), BacktestPlan(1, 10_000, fine_ms=None)) == []


@pytest.mark.parametrize("block_max_lines", [10, 37, 10_000])
@pytest.mark.parametrize("heard_again_s", [800, 950, 2000])
def test_a_move_away_from_a_blind_partition_makes_nobody_offline(heard_again_s, block_max_lines):
    log = moving_log(heard_again_s)
    assert told_by_engine(log, BacktestPlan(1, block_max_lines, fine_ms=None)) == []
