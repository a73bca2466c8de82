"""When every partition falls silent, nobody is blind, whichever spoke last (C5, C8)."""

import pytest

from jobs.backtest import BacktestPlan
from tests.oracle.alerts_oracle import Contact, Entry, Registration, Tick
from tests.oracle.fleet_oracle import alerts_of
from tests.simulation.test_alerts_match_oracle import settled, told_by_engine
from tests.strategies import NOON_MS


def silent_log(lead_ms: int) -> list[Entry]:
    """Return three devices of p0 that are gone when, `lead_ms` apart, both partitions fall silent.

    p0  a b c | dead: emergency at 310 s | tick 600 s ...................... 1,200 s
    p1                                   | tick 600 s + lead ............... 1,200 s
    """
    log: list[Entry] = [Registration(NOON_MS + 1, "t", device) for device in "abc"]
    for partition in (0, 1):
        times = [s * 1000 for s in range(0, 1800, 5) if not 600 < s < 1200]
        times += [600_000 + lead_ms] if partition == 1 else []
        spoken = [(at_ms, "") for at_ms in times]
        spoken += [(10_000, device) for device in "abc" if partition == 0]
        for offset, (at_ms, device) in enumerate(sorted(spoken)):
            place = (NOON_MS + at_ms, partition, offset)
            log.append(Contact(*place, "t", device) if device else Tick(*place))
    return log


@pytest.mark.parametrize("lead_ms", [1, 1_500, 29_999, 30_000])
@pytest.mark.parametrize("block_max_lines", [15, 10_000])
def test_an_emergency_goes_on_while_nothing_at_all_is_heard(lead_ms, block_max_lines):
    log = silent_log(lead_ms)
    told = told_by_engine(log, BacktestPlan(2, block_max_lines, fine_ms=None))
    emergencies = [event for event in told if event["severity"] == "emergency"]
    if lead_ms < 30_000:
        assert [event["status"] for event in emergencies] == ["firing"]
    assert settled(told, log) == settled(alerts_of(log), log)
