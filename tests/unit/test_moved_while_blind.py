"""A device that moves away from a partition that was blind: that time is excused (C8)."""

import pytest

from jobs.backtest import BacktestPlan
from tests.oracle.alerts_oracle import Contact, Entry, Registration, Tick
from tests.simulation.test_alerts_match_oracle import told_by_engine
from tests.strategies import NOON_MS


def moving_log() -> list[Entry]:
    """Return a device that was unheard for 200 s beside the blind time.

    p0  d at 100 s | 200 s .. blind .. 800 s |
    p1                                         d at 900 s
    """
    log: list[Entry] = [Registration(NOON_MS + 1, "t", "d")]
    for partition, said_s in ((0, 100), (1, 900)):
        times = [s for s in range(0, 1000, 5) if partition == 1 or not 200 < s < 800]
        spoken = sorted([*((s, "") for s in times), (said_s, "d")])
        for offset, (at_s, device) in enumerate(spoken):
            place = (NOON_MS + at_s * 1000, partition, offset)
            log.append(Contact(*place, "t", device) if device else Tick(*place))
    return log


def test_a_move_after_blind_time_makes_nobody_offline_in_small_blocks():
    assert told_by_engine(moving_log(), BacktestPlan(1, 10, fine_ms=None)) == []


@pytest.mark.xfail(
    strict=True, reason="within one block the contact is applied before the gap of the old home"
)
def test_a_move_after_blind_time_makes_nobody_offline_in_one_block():
    assert told_by_engine(moving_log(), BacktestPlan(1, 10_000, fine_ms=None)) == []
