"""Where all shards of drift meet: what nobody sees who has only some of the devices.

    reports of shards ──> how far all have come ──> findings and alerts, in one order ──> out
                                              └──> rollouts: verdicts ──> topic `rollouts`
    controls ──> mutes, acks ─────────────────────> alerts of its own ──> held while it lags ──> out

It says what lies before the lowest clock of its shards, in the order of the clock: a function of
the logs, however they were cut and over however many shards they were spread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import polars as pl

from schemas.records import Record
from udfs.alerts import AlertRecord
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.finding_alerts import FindingAlerts
from udfs.drift.findings import DriftFinding
from udfs.drift.rollout_judging import RolloutJudging, Spoken
from udfs.drift.shard_reports import Found, found_frame, read_found, read_report
from udfs.frame_bytes import join_bodies, split_bodies
from udfs.held_events import HeldEvents
from udfs.partition_clocks import UNKNOWN_MS
from udfs.shard_journal import ShardSteps
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state
from udfs.threshold_notices import ThresholdNotices

LAYOUT_VERSION = 1


@dataclass(frozen=True)
class StageStep:
    """What leaves: findings, alerts, and records of verdicts, each in order."""

    findings: list[DriftFinding]
    alerts: list[AlertRecord]
    verdicts: list[Record]


@dataclass
class DriftStage:
    """What the stage keeps; a step changes it in place.

    Args:
        clocks_ms: how far each shard has come.
        found: that wait for the other shards, as `alerts`.
        judging: rollouts.
        incidents: of which alerts of its own fire.
        notices: what operators silence.
        held: alerts of its own that wait for the end of a backlog.
    """

    clocks_ms: dict[int, int] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    alerts: list[AlertRecord] = field(default_factory=list)
    judging: RolloutJudging = field(default_factory=RolloutJudging)
    incidents: FindingAlerts = field(default_factory=FindingAlerts)
    notices: ThresholdNotices = field(default_factory=ThresholdNotices)
    held: HeldEvents = field(default_factory=HeldEvents)

    def clock_ms(self, shard_count: int) -> int:
        """Return how far all shards have come; unknown until all were heard."""
        return min(self.clocks_ms.values()) if len(self.clocks_ms) >= shard_count else UNKNOWN_MS


def on_stage_block(
    stage: DriftStage, frames: Mapping[str, pl.DataFrame], now_ms: int, policy: DriftPolicy
) -> StageStep:
    """Apply the report of a shard, or control events, and return what leaves.

    Args:
        stage: it is changed in place.
        frames: of `report_bytes`, or `controls`.
        now_ms: wall clock; it decides when alerts leave and whom they notify, and nothing else.
        policy: how to judge.
    """
    if "controls" in frames:
        stage.notices.announce(frames["controls"])
        return StageStep([], [], [])
    report = read_report(frames, policy.rollouts.canary)
    stage.clocks_ms[report.shard] = report.clock_ms
    stage.found += report.found
    stage.alerts += report.alerts
    stage.judging.hear(report.news, policy.rollouts.canary)
    clock_ms = stage.clock_ms(policy.shard_count)
    return (
        StageStep([], [], [])
        if clock_ms == UNKNOWN_MS
        else _advance(stage, clock_ms, now_ms, policy)
    )


def _advance(stage: DriftStage, clock_ms: int, now_ms: int, policy: DriftPolicy) -> StageStep:
    """Say what lies before an instant."""
    due = sorted((f for f in stage.found if f.step_ms <= clock_ms), key=_place_of_finding)
    stage.found = [f for f in stage.found if f.step_ms > clock_ms]
    passed = sorted((e for e in stage.alerts if e["input_clock"] <= clock_ms), key=_place_of_alert)
    stage.alerts = [e for e in stage.alerts if e["input_clock"] > clock_ms]
    spoken = stage.judging.advance(clock_ms, policy.rollouts.canary)
    own = [e for each in spoken for e in _alerts_of(stage, each, policy)]
    told = stage.notices.pass_on(own, clock_ms)
    lag_ms = policy.lag_after_ms
    # Shards report once a step: so far behind is no backlog.
    lag_ms = None if lag_ms is None else lag_ms + policy.windows.step_ms
    findings = [each.finding for each in due]
    findings += [each.finding for each in spoken if each.finding is not None]
    verdicts = [each.verdict for each in spoken if each.verdict is not None]
    return StageStep(
        findings, passed + stage.held.pass_on(told, clock_ms, now_ms, lag_ms), verdicts
    )


def _alerts_of(stage: DriftStage, spoken: Spoken, policy: DriftPolicy) -> list[AlertRecord]:
    if spoken.finding is None:
        return []
    plan = spoken.plan
    label = plan.deployment_group, plan.treatment_version
    return stage.incidents.records([spoken.finding], lambda _: label, spoken.at_ms, policy.routes)


def _place_of_finding(found: Found) -> tuple[Any, ...]:
    """Return what orders findings whatever shard they came from; those of one incident by time."""
    finding = found.finding
    name = (finding.tenant_id, finding.scope, finding.subject, finding.metric)
    return found.step_ms, *name, finding.detected_at_ms, finding.detector, finding.finding_id


def _place_of_alert(event: AlertRecord) -> tuple[Any, ...]:
    return (
        event["input_clock"],
        event["tenant_id"],
        event["subject"],
        event["dedup_key"],
        event["seq"],
    )


def stage_steps(policy: DriftPolicy) -> ShardSteps[DriftStage, StageStep]:
    """Return what the job does with the stage."""

    def apply(stage: DriftStage, frames: Mapping[str, pl.DataFrame], now_ms: int) -> StageStep:
        return on_stage_block(stage, frames, now_ms, policy)

    read, write = partial(stage_from_bytes, policy=policy), partial(stage_to_bytes, policy=policy)
    return ShardSteps(lambda _: DriftStage(), read, write, apply)


def stage_to_bytes(stage: DriftStage, policy: DriftPolicy) -> bytes:
    """Write the stage."""
    values, units = stage.judging.to_bodies(policy.rollouts.canary)
    meta = {
        "clocks_ms": list(stage.clocks_ms.items()),
        "alerts": stage.alerts,
        "rollouts": values,
        "incidents": stage.incidents.to_values(),
        "notices": stage.notices.to_values(),
        "held": stage.held.to_values(),
    }
    rest = pack_state(LAYOUT_VERSION, {"found": found_frame(stage.found)}, meta)
    return join_bodies({"rest": rest, "units": units})


def stage_from_bytes(packed: bytes, policy: DriftPolicy) -> DriftStage:
    """Read what `stage_to_bytes` wrote.

    Raises:
        StateLayoutError: the bytes are of no version that is known, or of looks of other length.
    """
    bodies = {name: bytes(body) for name, body in split_bodies(packed).items()}
    stored = unpack_state(bodies["rest"])
    if stored.version != LAYOUT_VERSION:
        raise StateLayoutError(f"state of the stage of drift of version {stored.version}")
    canary = policy.rollouts.canary
    return DriftStage(
        dict(stored.meta["clocks_ms"]),
        read_found(stored.frames),
        stored.meta["alerts"],
        RolloutJudging.from_bodies(stored.meta["rollouts"], bodies["units"], canary),
        FindingAlerts.from_values(stored.meta["incidents"]),
        ThresholdNotices.from_values(stored.meta["notices"]),
        HeldEvents.from_values(stored.meta["held"]),
    )
