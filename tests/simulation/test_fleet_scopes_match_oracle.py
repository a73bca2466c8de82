"""Laws of the emergencies of groups and sites, on random logs of devices that move between them."""

import random
from itertools import pairwise

from hypothesis import given, note, settings
from hypothesis import strategies as st

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from tests.oracle.alerts_oracle import OfflineRules
from tests.oracle.fleet_oracle import alerts_of
from tests.simulation.fleet_scope_logs import scope_log
from tests.simulation.test_alerts_match_oracle import (
    JUDGED_TYPES,
    Alert,
    judged,
    lines_of,
    settled,
    told_by_engine,
)
from udfs.fleet_keys import FleetKey
from udfs.offline_policy import FleetKind, OfflinePolicy

ALL = FleetKind.TENANT | FleetKind.DEPLOYMENT_GROUP | FleetKind.SITE
POLICY = OfflinePolicy(fleet_kinds=ALL)
RULES = OfflineRules(emergency_scopes=("tenant", "deployment_group", "site"))
SEEDS = st.integers(0, 2**32)


def by_tenant(events: list[Alert]) -> list[Alert]:
    """Return the events of each tenant in order: two tenants have nothing to do with each other."""
    return sorted(events, key=lambda event: str(event["tenant_id"]))


@given(seed=SEEDS, is_partial=st.booleans(), shard_count=st.sampled_from([1, 2, 4]))
@settings(max_examples=25, deadline=None)
def test_events_of_all_fleets_are_those_of_the_oracle(
    *, seed: int, is_partial: bool, shard_count: int
) -> None:
    log = scope_log(seed, has_partial_blindness=is_partial)
    note(f"{seed=} {is_partial=}")
    told = told_by_engine(log, BacktestPlan(shard_count, fine_ms=None), POLICY)
    assert by_tenant(settled(told, log)) == by_tenant(settled(alerts_of(log, RULES), log))


@given(seed=SEEDS, cut_seed=SEEDS, shard_count=st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None)
def test_blocks_shards_and_restarts_change_nothing_of_all_fleets(
    seed: int, cut_seed: int, shard_count: int
) -> None:
    log, chance = scope_log(seed), random.Random(cut_seed)
    lines = list(numbered_lines(lines_of(log)))
    cuts = sorted(chance.randrange(len(lines)) for _ in range(chance.randrange(12)))
    backtest = Backtest(POLICY, BacktestPlan(shard_count, fine_ms=None))
    events = []
    for begin, end in pairwise([0, *cuts, len(lines)]):
        events += backtest.take(lines[begin:end])
        backtest.restart()
    events += backtest.end()
    whole = told_by_engine(log, BacktestPlan(fine_ms=None), POLICY)
    assert [judged(e) for e in events if e["type"] in JUDGED_TYPES] == whole


def test_random_logs_have_emergencies_of_each_kind_told_and_suppressed() -> None:
    found = {
        (event["subject"].split("/")[0], event["status"], event["notify"])
        for seed in range(50)
        for event in alerts_of(scope_log(seed), RULES)
        if event["severity"] == "emergency"
    }
    assert len(found) == 10


@given(seed=SEEDS, cut_seed=SEEDS, shard_count=st.sampled_from([1, 2, 4]))
@settings(max_examples=25, deadline=None)
def test_fleets_that_are_watched_later_or_again_count_as_if_always(
    seed: int, cut_seed: int, shard_count: int
) -> None:
    #  tenant --- | tenant, group, site --- | tenant, site --- | ... | all three
    chance = random.Random(cut_seed)
    lines = list(numbered_lines(lines_of(scope_log(seed))))
    firsts = [chance.randrange(len(lines) - 9) for _ in range(chance.choice([1, 2, 5]))]
    # In a moment rows still wait for a clock when what is watched changes once more.
    cuts = sorted({cut + later for cut in firsts for later in (0, 3, 6)})
    plan = BacktestPlan(shard_count, fine_ms=None)
    backtest, whole = Backtest(OfflinePolicy(), plan), Backtest(POLICY, plan)
    told: list[Alert] = []
    for begin, end in pairwise([0, *cuts, len(lines)]):
        kinds = ALL if end == len(lines) else FleetKind(chance.choice([1, 3, 5, 7]))
        after = Backtest(OfflinePolicy(fleet_kinds=kinds), plan)
        after.shards, after.fleet = backtest.shards, backtest.fleet
        after.restart()
        for at in range(begin, end, 500):
            told += after.take(lines[at : min(end, at + 500)])
        backtest = after
    told += backtest.end()
    whole.take(lines)
    whole.end()
    assert homes(backtest) == homes(whole)
    ended = [e["episode_id"] for e in told if e["status"] == "resolved"]
    assert len(ended) == len(set(ended))


def homes(backtest: Backtest) -> dict[FleetKey, tuple[int, int, object]]:
    """Return N and M of all fleets, and where they are counted."""
    return {
        key: (fleet.monitored_count, fleet.offline_count, fleet.homes)
        for key, fleet in backtest.fleet.fleets.items()
        if fleet.homes
    }
