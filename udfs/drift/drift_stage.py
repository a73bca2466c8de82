"""Where all shards of drift meet: what nobody sees who has only some of the devices.

    reports of shards ──> how far all have come ──> findings and alerts, in one order ──> out
                                              ├──> groups: who moves together is one incident
                                              └──> rollouts: verdicts ──> topic `rollouts`
    controls ──> mutes, acks ─────────────────────> alerts of its own ──> held while it lags ──> out

It says what lies before the lowest clock of its shards, in the order of the clock: a function of
the logs, however they were cut and over however many shards they were spread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any

import polars as pl

from schemas.records import Record
from udfs.alert_gate import AlertGate
from udfs.alerts import AlertRecord
from udfs.drift.company import Company
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.finding_alerts import FindingAlerts
from udfs.drift.findings import DriftFinding
from udfs.drift.group_incidents import GroupIncidents
from udfs.drift.rollout_judging import RolloutJudging, Spoken
from udfs.drift.shard_reports import Found, found_frame, read_company, read_found, read_report
from udfs.frame_bytes import join_bodies, split_bodies
from udfs.partition_clocks import UNKNOWN_MS
from udfs.shard_journal import ShardSteps
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

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
        gate: what alerts of its own pass on their way to people.
        company: that waits for the other shards.
        groups: of which devices move together.
    """

    clocks_ms: dict[int, int] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    alerts: list[AlertRecord] = field(default_factory=list)
    judging: RolloutJudging = field(default_factory=RolloutJudging)
    incidents: FindingAlerts = field(default_factory=FindingAlerts)
    gate: AlertGate = field(default_factory=AlertGate)
    company: Company = field(default_factory=Company)
    groups: GroupIncidents = field(default_factory=GroupIncidents)

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
        stage.gate.announce(frames["controls"])
        return StageStep([], [], [])
    report = read_report(frames, policy.rollouts.canary)
    stage.clocks_ms[report.shard] = report.clock_ms
    stage.found += report.found
    stage.alerts += report.alerts
    stage.company.add(report.company)
    stage.judging.hear(report.news, policy.rollouts.canary)
    clock_ms = stage.clock_ms(policy.shard_count)
    return (
        StageStep([], [], [])
        if clock_ms == UNKNOWN_MS
        else _advance(stage, clock_ms, now_ms, policy)
    )


def _advance(stage: DriftStage, clock_ms: int, now_ms: int, policy: DriftPolicy) -> StageStep:
    """Say what lies before an instant."""
    findings, passed, own = _of_groups(stage, clock_ms, policy)
    spoken = stage.judging.advance(clock_ms, policy.rollouts.canary)
    own += [event for each in spoken for event in _alerts_of(stage, each, policy)]
    lag_ms = policy.lag_after_ms
    # Shards report once a step: so far behind is no backlog.
    lag_ms = None if lag_ms is None else lag_ms + policy.windows.step_ms
    told = stage.gate.pass_on(own, clock_ms, now_ms, lag_ms)
    findings += [(each.at_ms, each.finding) for each in spoken if each.finding is not None]
    findings.sort(key=itemgetter(0))
    verdicts = [each.verdict for each in spoken if each.verdict is not None]
    events = sorted(passed + told, key=itemgetter("input_clock"))
    return StageStep([finding for _, finding in findings], events, verdicts)


def _of_groups(
    stage: DriftStage, clock_ms: int, policy: DriftPolicy
) -> tuple[list[tuple[int, DriftFinding]], list[AlertRecord], list[AlertRecord]]:
    """Judge groups, step by step; return findings with their time, their alerts, and groups'."""
    due = [each for each in stage.found if each.step_ms <= clock_ms]
    passing = [e for e in stage.alerts if e["input_clock"] <= clock_ms]
    company = stage.company.take_until(clock_ms)
    stage.found = [each for each in stage.found if each.step_ms > clock_ms]
    stage.alerts = [e for e in stage.alerts if e["input_clock"] > clock_ms]
    steps = {each.step_ms for each in due}
    steps |= {*company.near["step_ms"].to_list(), *company.sizes["step_ms"].to_list()}
    findings: list[tuple[int, DriftFinding]] = []
    passed: list[AlertRecord] = []
    own: list[AlertRecord] = []
    for at_ms in sorted(steps | {e["input_clock"] for e in passing}):
        if at_ms in steps:
            found = sorted((f for f in due if f.step_ms == at_ms), key=_place_of_finding)
            said, of_groups = stage.groups.judge(found, company.take_until(at_ms), at_ms)
            findings += [(at_ms, each.finding) for each in (*said, *of_groups)]
            own += [event for each in of_groups for event in _events_of(stage, each, policy)]
        # Alerts of an instant come after its findings, which say what stands for them.
        now = sorted((e for e in passing if e["input_clock"] == at_ms), key=_place_of_alert)
        passed += [stage.groups.hushed(event) for event in now]
    return findings, passed, own


def _alerts_of(stage: DriftStage, spoken: Spoken, policy: DriftPolicy) -> list[AlertRecord]:
    if spoken.finding is None:
        return []
    plan = spoken.plan
    label = plan.deployment_group, plan.treatment_version
    return _events_of(stage, Found(spoken.at_ms, *label, spoken.finding), policy)


def _events_of(stage: DriftStage, each: Found, policy: DriftPolicy) -> list[AlertRecord]:
    label = each.deployment_group, each.model_version
    return stage.incidents.records([each.finding], lambda _: label, each.step_ms, policy.routes)


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
        "groups": stage.groups.to_values(),
        **stage.gate.to_values(),
    }
    company = {"near": stage.company.near, "sizes": stage.company.sizes}
    rest = pack_state(LAYOUT_VERSION, {"found": found_frame(stage.found), **company}, meta)
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
        AlertGate.from_values(stored.meta),
        read_company(stored.frames),
        GroupIncidents.from_values(stored.meta["groups"]),
    )
