"""Laws of rules about silence on random logs: scopes, times, cuts, shards and restarts."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.backtest_log import LineType, LogLine
from schemas.control import OfflineRule, parse_control
from tests.alert_logs import TENANT, at
from tests.alert_reference import comparable, reference_events
from tests.rule_reference import rule_lines, thresholds
from tests.unit.test_liveness_laws import (
    ENDS_MS,
    SEEDS,
    START,
    facts,
    random_log,
    run,
    run_in_blocks,
)
from udfs.hushes import Subject
from udfs.liveness import LivenessShard
from udfs.offline_rules import OfflineRules

WARNINGS_S = [1, 60, 180, 300, 301, 600, 2400]
CRITICALS_S = [30, 600, 1800, 1801, 3600]
SCOPES: list[dict[str, str]] = [
    {},
    {},
    {"site": "s0"},
    {"site": "s1"},
    {"deployment_group": "g0"},
    {"deployment_group": "g1"},
    {"device_id": "d0"},
    {"device_id": "d3"},
]


def random_rule(chance: random.Random) -> dict[str, Any]:
    """Return one of a few rules, on or off, with one or two thresholds, for some scope."""
    fields: dict[str, Any] = {"type": "rule", "rule_id": f"r{chance.randrange(5)}"}
    fields["scope"] = {"tenant_id": TENANT} | chance.choice(SCOPES)
    if chance.random() < 0.15:
        return fields | {"enabled": False}
    if chance.random() < 0.8:
        fields["warning_after_s"] = chance.choice(WARNINGS_S)
    if chance.random() < 0.5:
        above = [s for s in CRITICALS_S if s > fields.get("warning_after_s", 0)]
        fields["critical_after_s"] = chance.choice(above)
    return fields


def ruled_log(seed: int, partition_count: int) -> list[LogLine]:
    """Return a random log whose devices have sites and groups, and move; with up to 12 rules."""
    chance = random.Random(seed)
    lines = [labelled(line, chance) for line in random_log(seed, partition_count)]
    for _ in range(chance.randrange(1, 13)):
        # An odd millisecond: what comes first within one is no fact of the log.
        time_ms = at(START) + chance.randrange(-60, ENDS_MS // 1000) * 1000 + 503
        lines.append(LogLine(time_ms, LineType.CONTROL, 0, {"event": random_rule(chance)}))
    return sorted(lines, key=lambda line: line.at_ms)


def labelled(line: LogLine, chance: random.Random) -> LogLine:
    """Return a line in which a device says its group, or the registry its group and site."""
    fields = dict(line.fields)
    if line.type == LineType.CONTACT and chance.random() < 0.9:
        fields["deployment_group"] = f"g{chance.randrange(10) // 7}"
    if line.type == LineType.DEVICE and fields["record"] is not None:
        site, group = f"s{chance.randrange(2)}", chance.choice(["", "", "g0", "g1"])
        fields["record"] = fields["record"] | {"site": site, "deployment_group": group}
    return replace(line, fields=fields)


def assert_as_reference(seed: int, partition_count: int) -> None:
    lines = ruled_log(seed, partition_count)
    events = [e for e in run(lines) if not e["subject"].startswith("partition/")]
    expected = reference_events(lines)
    assert [e["id"] for e in events] == [e["id"] for e in expected]
    assert [comparable(e, like) for e, like in zip(events, expected, strict=True)] == expected


@given(SEEDS, st.sampled_from([1, 2, 3]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_events_under_rules_are_those_of_the_simplest_reference(
    seed: int, partition_count: int
) -> None:
    assert_as_reference(seed, partition_count)


@pytest.mark.parametrize("seed", [160, 171, 301, 356])
def test_counts_agree_where_a_rule_and_the_registry_change_while_blind(seed: int) -> None:
    assert_as_reference(seed, partition_count=2)


@given(SEEDS, st.lists(st.integers(0, 2**16), max_size=12), st.sampled_from([1, 2, 4]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_blocks_shards_and_restarts_change_nothing_under_rules(
    seed: int, cuts: list[int], shard_count: int
) -> None:
    lines = ruled_log(seed, partition_count=2)
    assert facts(run_in_blocks(lines, cuts, shard_count)) == facts(run(lines))


@pytest.mark.parametrize("shard_count", [1, 4])
def test_the_finest_blocks_change_nothing_under_rules(shard_count: int) -> None:
    lines = ruled_log(11, partition_count=2)[:300]
    assert len(rule_lines(lines)) > 0
    each = list(range(1, len(lines)))
    assert facts(run_in_blocks(lines, each, shard_count)) == facts(run(lines))


def test_random_rules_have_something_to_tell() -> None:
    events = [event for seed in range(12) for event in run(ruled_log(seed, partition_count=2))]
    assert sum(e["reason"] == "rule_changed" for e in events) > 20
    assert len({e["threshold_s"] for e in events}) > 8


@given(SEEDS, st.sampled_from(["", "g0", "g1"]), st.sampled_from(["", "s0", "s1"]))
@settings(max_examples=100, deadline=None)
def test_thresholds_by_scope_and_time_are_those_of_the_simplest_reading(
    seed: int, group: str, site: str
) -> None:
    chance = random.Random(seed)
    events = [(chance.randrange(20), random_rule(chance)) for _ in range(12)]
    said = [
        LogLine(ms, LineType.CONTROL, 0, {"event": rule})
        for ms, rule in sorted(events, key=lambda e: e[0])
    ]
    rules = OfflineRules()
    for line in said:
        rule = parse_control(line.fields["event"])
        assert isinstance(rule, OfflineRule)
        rules = rules.with_rule(rule, line.at_ms)
    labels = {"device_id": "d0", "deployment_group": group, "site": site}
    stored = OfflineRules.from_values(json.loads(json.dumps(rules.to_values())))
    for at_ms in range(21):
        warning_ms, critical_ms, _ = rules.figures_of(Subject(TENANT, "d0", group, site), at_ms)
        found = 300_000 if warning_ms is None else warning_ms, critical_ms or 1_800_000
        assert found == thresholds(said, labels, at_ms)
        assert stored.figures_of(Subject(TENANT, "d0", group, site), at_ms)[:2] == (
            warning_ms,
            critical_ms,
        )


def test_thresholds_lie_in_the_state_and_a_state_without_rules_has_no_place_for_them() -> None:
    assert b"ladders" not in LivenessShard.empty(0).to_bytes()
