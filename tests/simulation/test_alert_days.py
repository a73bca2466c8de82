"""Laws L2 and L4 at length: the alerts of half a day of faults are those of the oracle."""

import pytest

from tests.simulation.alert_days import Outcome, simulate
from tests.simulation.day_faults import DayPlan

SEED = 7
HAPPENED = (
    "all partitions silent", "one partition silent", "contacts with a clock behind",
    "contacts without ticks", "contacts after a move", "exact duplicates", "engine down",
    "devices decommissioned", "devices changed", "silences of 299999 ms", "silences of 300000 ms",
    "silences of 300001 ms", "silences of 1800000 ms",
    "device-offline warning firing", "device-offline warning resolved",
    "device-offline critical firing", "device-offline critical resolved",
    "flapping warning firing", "flapping warning resolved",
    "tenant emergency firing", "tenant emergency resolved",
    "site emergency firing", "site emergency resolved",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    print(f"seed {SEED}")
    return simulate(DayPlan(SEED, 300, 12, blocks_per_hour=5), shard_counts=(1, 4))


def test_every_fault_of_the_script_took_place(outcome):
    assert {name for name in HAPPENED if outcome.faults[name] == 0} == set()
    assert all(count > 0 for engine in outcome.engines for count in engine.cases.values())


def test_no_event_is_false_missing_or_different_at_any_cut_shard_count_or_restart(outcome):
    for verdict in outcome.verdicts:
        assert verdict.events > 300
        assert verdict.is_right, verdict
