"""Rules that say which share of a fleet is an emergency: from their append time on, exactly.

M = offline, N = monitored; need(N) = max(min(3, N), share of N, rounded up).
"""

import pytest

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from tests.alert_logs import AlertLog, clock_of, every
from tests.unit.test_alert_operators import FLEET, names, scoped
from tests.unit.test_offline_rules import rule
from udfs.fleet import FleetState
from udfs.offline_policy import FleetKind, OfflinePolicy

EACH = FleetKind.TENANT | FleetKind.DEPLOYMENT_GROUP | FleetKind.SITE


def fleet_of(count, last_of, **labels):
    """Return a log of a fleet in which some devices are heard for the last time at an instant.

    Args:
        count: of devices.
        last_of: by number of the device; the others are heard until the end.
        labels: of all devices, in the registry.
    """
    log = AlertLog(until="12:40:00").register(*names(count), **labels)
    for number, name in enumerate(names(count)):
        log.contact(name, *every(60, "12:00:00", last_of.get(number, "12:40:00")))
    return log


def fleet_events(log, **policy):
    return [(e["status"], e["subject"], clock_of(e["time"])) for e in log.of(FLEET, **policy)]


#  10 of 40 would be 25 %: none at 9, an emergency at the tenth
@pytest.mark.parametrize(("offline_count", "is_reached"), [(9, False), (10, True)])
def test_a_rule_says_how_many_offline_devices_are_an_emergency(offline_count, is_reached):
    log = fleet_of(40, dict.fromkeys(range(offline_count), "12:00:00"))
    rule(log, "12:01:00", emergency_ratio=0.25)
    assert (len(log.of(FLEET)) == 1) is is_reached


def test_a_share_is_exactly_as_it_was_written():
    """0.07 of 100 are 7: as a binary fraction it would be 7.000000000000001, hence 8."""
    assert 0.07 * 100 > 7
    log = fleet_of(100, dict.fromkeys(range(7), "12:00:00"))
    assert len(rule(log, "12:01:00", emergency_ratio=0.07).of(FLEET)) == 1


#  12:05 6 of 40   12:10 rule: 15 %   12:20 the seventh
def test_a_lower_share_fires_nothing_by_itself_only_on_the_next_rise_of_m():
    log = fleet_of(40, {**dict.fromkeys(range(6), "12:00:00"), 6: "12:15:00"})
    rule(log, "12:01:00", "usual", emergency_ratio=0.5)
    rule(log, "12:10:00", "usual", emergency_ratio=0.15)
    assert fleet_events(log) == [("firing", "tenant/acme", "12:20:00")]


#  12:05 4 of 40 fire   12:10 rule: 50 %, so clear at 18 of 40   12:15 resolved
def test_a_higher_share_lets_an_emergency_clear_after_the_usual_wait():
    log = fleet_of(40, dict.fromkeys(range(4), "12:00:00"))
    rule(log, "12:10:00", emergency_ratio=0.5)
    assert fleet_events(log) == [
        ("firing", "tenant/acme", "12:05:00"),
        ("resolved", "tenant/acme", "12:15:00"),
    ]
    back = rule(log, "12:13:00", enabled=False)
    assert [clock_of(e["time"]) for e in back.of(FLEET)] == ["12:05:00"], "the wait is broken"


def test_a_rule_of_another_tenant_changes_nothing():
    log = fleet_of(40, dict.fromkeys(range(4), "12:00:00"))
    rule(log, "12:01:00", emergency_ratio=1.0, **scoped(tenant_id="other"))
    assert fleet_events(log) == [("firing", "tenant/acme", "12:05:00")]


def test_a_group_or_site_has_its_own_share_or_that_of_its_tenant():
    log = fleet_of(40, dict.fromkeys(range(4), "12:00:00"), site="s", deployment_group="g")
    rule(log, "12:01:00", "all", emergency_ratio=0.5)
    rule(log, "12:01:00", "site", emergency_ratio=0.1, **scoped(site="s"))
    assert fleet_events(log, fleet_kinds=EACH) == [("firing", "site/s", "12:05:00")]


def test_a_rule_of_one_device_is_no_share_of_any_fleet():
    log = fleet_of(40, dict.fromkeys(range(4), "12:00:00"))
    rule(log, "12:01:00", emergency_ratio=1.0, **scoped(device_id="d00"))
    assert fleet_events(log) == [("firing", "tenant/acme", "12:05:00")]


@pytest.mark.parametrize("shard_count", [1, 4])
@pytest.mark.parametrize("size", [1, 37, 400])
def test_cuts_shards_and_restarts_change_no_emergency_under_rules(shard_count, size):
    last_of = {number: f"12:{number:02d}:00" for number in range(12)}
    log = fleet_of(16, last_of, site="s")
    for minute, ratio in ((3, 0.5), (8, 0.2), (14, 0.75), (20, 0.4), (31, 0.05)):
        rule(log, f"12:{minute:02d}:00", emergency_ratio=ratio)
    policy = OfflinePolicy(fleet_kinds=EACH)
    whole = [e["id"] for e in log.events(policy=policy)]
    backtest = Backtest(policy, BacktestPlan(shard_count, fine_ms=None))
    lines = list(numbered_lines(log.records()))
    parts = []
    for first in range(0, len(lines), size):
        parts += backtest.take(lines[first : first + size])
        if first % 5 == 0:
            backtest.restart()
    assert [e["id"] for e in parts + backtest.end()] == whole
    assert sum(e["type"].endswith(FLEET) for e in log.events(policy=policy)) > 1


def test_rules_lie_in_the_state_of_the_fleet_stage():
    log = rule(fleet_of(3, {}), "12:01:00", emergency_ratio=0.25)
    backtest = Backtest(OfflinePolicy(), BacktestPlan(fine_ms=None))
    backtest.take(list(numbered_lines(log.records())))
    restored = FleetState.from_bytes(backtest.fleet.to_bytes())
    assert len(restored.rules.spans) == 1
    assert restored.rules == backtest.fleet.rules
