"""Rollouts through the whole drift job without Flink: noticed, judged, told, ended.

minute    0         30              60 (5-minute steps)
d1 d3 ..  v1 v1 v1 v1 v1 v1 v1 v1 v1 v1 v1 ...            control
d0 d2 ..  v1 v1 v1 v2 v2 v2 v2 v2 v2 v2 v2 ...            treatment
                   ^ noticed 10 min after its first window
                      |<- look 0: 4 windows ->| + 15 min: judged
"""

from dataclasses import replace

import polars as pl
import pytest

from tests.alert_logs import TENANT, at
from tests.drift_chain import MINUTE_MS, DriftChain
from tests.oracle.threshold_oracle import Heard
from tests.rollout_logs import CANARY, Rollout, policy, rollout_log
from tests.rules_chain import Aggregate, controls_of
from tests.unit.test_rules_laws import muted
from udfs.drift.canary import WINDOW_SCHEMA, on_windows
from udfs.drift.canary_state import ROLLOUT_SCHEMA, empty_state

BEGIN_MS = at("12:00:00")
SEED = 20_261_123
WINDOW_MS = 5 * MINUTE_MS


def told(log: list[Heard], chain: DriftChain | None = None) -> DriftChain:
    chain = DriftChain(policy=policy()) if chain is None else chain
    until_ms = max(h.at_ms for h in log) + 5 * MINUTE_MS
    chain.windows(Aggregate(60_000, is_gathered=True).windows(log, until_ms))
    return chain


def verdicts(chain: DriftChain) -> list[tuple[str, str, int, bool]]:
    return [(v["verdict"], v["reason"], v["look"], v["is_final"]) for v in chain.verdicts]


def canary_alerts(chain: DriftChain) -> list[dict]:
    return [e for e in chain.alerts if e["type"] == "fleetpulse.alert.canary"]


@pytest.fixture(scope="module")
def harmful() -> DriftChain:
    return told(rollout_log(BEGIN_MS, Rollout(back_minute=85), 130, SEED))


def test_a_harmful_rollout_is_noticed_and_rolled_back_without_any_configuration(harmful):
    assert verdicts(harmful) == [
        ("CONTINUE", "noticed", -1, False),
        ("ROLLBACK", "level", 0, True),
    ]
    noticed, rollback = harmful.verdicts
    assert noticed["rollout_id"] == rollback["rollout_id"] == "g/v2/2026-01-01T12:30:00.000Z"
    assert (rollback["treatment_version"], rollback["control_version"]) == ("v2", "v1")
    assert (rollback["deciding_metric"], rollback["treatment_devices"]) == ("latency_ms", 12)
    # Noticed when the minute's window is complete; judged when 4 windows of 5 min have ended.
    assert noticed["decided_at"] == at("12:41:00")
    assert rollback["decided_at"] == at("13:05:00") + CANARY.lateness_ms
    metric = next(m for m in rollback["metrics"] if m["metric"] == "latency_ms")
    assert metric["treatment_mean"] - metric["control_mean"] == pytest.approx(30, abs=8)


def test_its_alert_fires_once_and_ends_when_the_version_has_left_the_group(harmful):
    firing, over = canary_alerts(harmful)
    subject = "rollout/g/v2/2026-01-01T12:30:00.000Z"
    assert (firing["subject"], firing["status"], firing["severity"]) == (
        subject, "firing", "critical",
    )  # fmt: skip
    assert (firing["notify"], firing["labels"]["group"], firing["labels"]["model"]) == (
        True, "g", "v2",
    )  # fmt: skip
    assert "ROLLBACK of v2" in firing["summary"]
    assert (over["status"], over["seq"], over["episode_id"]) == (
        "resolved", 2, firing["episode_id"],
    )  # fmt: skip
    found = [f for f in harmful.findings if f.rule == "canary"]
    assert [(f.state, f.reason.split(":")[0]) for f in found] == [
        ("firing", "ROLLBACK of v2, level"),
        ("resolved", "rolled_back"),
    ]
    assert found[0].changed_tags == ("model_version: v1 -> v2",)


def test_a_harmless_rollout_is_promoted_and_nobody_is_told():
    chain = told(rollout_log(BEGIN_MS, Rollout(harm_ms=0.0), 100, SEED))
    assert verdicts(chain)[-1] == ("PROMOTE", "within_tolerance", 0, True)
    assert canary_alerts(chain) == []


def test_a_version_that_sends_a_metric_no_more_is_not_promoted():
    chain = told(rollout_log(BEGIN_MS, Rollout(harm_ms=0.0, is_mute=True), 125, SEED))
    assert verdicts(chain)[1:] == [
        ("NODATA", "metric_absent", 0, False),
        ("NODATA", "metric_absent", 1, True),
    ]


def test_a_rollout_that_ends_before_its_look_has_no_verdict():
    chain = told(rollout_log(BEGIN_MS, Rollout(back_minute=45), 100, SEED))
    assert verdicts(chain)[1:] == [("NODATA", "rolled_back", -1, True)]


def test_a_group_that_changes_as_a_whole_or_begins_is_no_rollout():
    everyone = [h._replace(model="v2" if h.at_ms >= at("12:30:00") else "v1")
                for h in rollout_log(BEGIN_MS, Rollout(), 60, SEED)]  # fmt: skip
    late = [h for h in everyone if h.at_ms < at("12:30:00") or h.at_ms >= at("14:00:00")]
    assert verdicts(told(late)) == []
    assert verdicts(told(rollout_log(BEGIN_MS, Rollout(update_minute=0), 60, SEED))) == []


def test_a_muted_rollout_is_told_when_the_mute_ends():
    chain = DriftChain(policy=policy())
    mute = muted(at("12:00:00"), at("13:40:00"), deployment_group="g")
    chain.control(controls_of((at("12:00:00"), mute)))
    told(rollout_log(BEGIN_MS, Rollout(), 115, SEED), chain)
    said = [(e["notify"], e["reason"]) for e in canary_alerts(chain)]
    assert said == [(False, "canary"), (True, "mute_ended")]
    assert verdicts(chain)[-1][0] == "ROLLBACK"


# The same windows, counted from the log by hand, through the pure step over one state.
def test_verdicts_are_those_of_the_pure_step_over_all_devices_at_once(harmful):
    log = rollout_log(BEGIN_MS, Rollout(back_minute=85), 130, SEED)
    start_ms = harmful.verdicts[0]["started_at"]
    plan = pl.DataFrame([(TENANT, "r", start_ms, None)], schema=ROLLOUT_SCHEMA, orient="row")
    state = empty_state(CANARY).with_rollouts(plan)
    step = on_windows(state, windows_by_hand(log), harmful.verdicts[1]["decided_at"], CANARY)
    rows = step.verdicts.to_dicts()
    assert [row["verdict"] for row in rows] == ["ROLLBACK", "ROLLBACK"]
    for row, metric in zip(rows, harmful.verdicts[1]["metrics"], strict=True):
        assert (row["metric"], row["metric_verdict"]) == (metric["metric"], metric["verdict"])
        assert row["log10_e"] == pytest.approx(metric["log10_e"], rel=1e-6)
        assert row["treatment_devices"] == metric["treatment_devices"]
        assert row["treatment_mean"] == pytest.approx(metric["treatment_mean"], rel=1e-6)


def windows_by_hand(log: list[Heard]) -> pl.DataFrame:
    rows = [
        (h.at_ms, TENANT, "r", h.model == "v2", "", h.device_id, name,
         time_ms // WINDOW_MS * WINDOW_MS, value, 1, 0, 0)
        for h in log
        for name, time_ms, value in h.points
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=WINDOW_SCHEMA, orient="row")


def test_a_policy_whose_looks_do_not_wait_for_their_windows_is_refused():
    drift = policy()
    short = replace(drift.rollouts.canary, lateness_ms=drift.windows.complete_after_ms)
    with pytest.raises(AssertionError, match="looks wait"):
        replace(drift, rollouts=replace(drift.rollouts, canary=short))
