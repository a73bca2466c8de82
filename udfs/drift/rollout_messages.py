"""What is said of a rollout: as a message for deployment tools, and as a finding for people."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from schemas.records import Record, encode_record
from schemas.topics import Topic
from udfs.drift.canary_metric import MetricVerdict, Verdict
from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_state import Rollout
from udfs.drift.canary_verdicts import Judgement
from udfs.drift.findings import DriftFinding, Rule, Sample, Severity, State
from udfs.drift.version_book import RolloutPlan
from udfs.results import Result

ID_LENGTH = 32
DETECTOR = "canary"
_UNSAID = ("is_look_spent",)
"""Fields of a metric's verdict that only the next look needs."""


def verdict_result(topic: str, schema_id: int, record: Record) -> Result:
    """Return a verdict as a message; its key keeps those of one rollout in order.

    Args:
        topic: name on the broker.
        schema_id: under which RolloutVerdict is registered.
        record: as `verdict_record` returns it.
    """
    key = f"{record['tenant_id']}/{record['rollout_id']}".encode()
    return Result(topic, key, encode_record(Topic.ROLLOUTS, record, schema_id))


def verdict_record(
    plan: RolloutPlan,
    rollout: Rollout,
    at_ms: int,
    judgement: Judgement | None = None,
    counts: tuple[int, int] = (0, 0),
) -> Record:
    """Return a record of `schemas/avro/rollout_verdict.avsc`.

    Args:
        plan: of the rollout.
        rollout: as it stands after the verdict.
        at_ms: when it was due.
        judgement: None when nothing was compared.
        counts: devices of the new and of the old version.
    """
    look = rollout.next_look - 1
    said = (plan.tenant_id, plan.rollout_id, str(look), rollout.verdict, rollout.reason)
    return {
        "verdict_id": _id(*said),
        "tenant_id": plan.tenant_id,
        "rollout_id": plan.rollout_id,
        "deployment_group": plan.deployment_group,
        "treatment_version": plan.treatment_version,
        "control_version": plan.control_version,
        "started_at": plan.started_at_ms,
        "decided_at": at_ms,
        "look": look,
        "verdict": rollout.verdict,
        "reason": rollout.reason,
        "deciding_metric": "" if judgement is None else judgement.deciding_metric,
        "is_final": rollout.is_final,
        "treatment_devices": counts[0],
        "control_devices": counts[1],
        "moved_devices": 0 if judgement is None else judgement.moved_count,
        "metrics": [] if judgement is None else [_metric(each) for each in judgement.metrics],
    }


def _metric(found: MetricVerdict) -> Record:
    values = {name: value for name, value in vars(found).items() if name not in _UNSAID}
    return values | {"verdict": found.verdict.value}


def rollback_finding(
    plan: RolloutPlan, record: Mapping[str, Any], policy: CanaryPolicy
) -> DriftFinding:
    """Return the finding that a rollout does harm.

    Args:
        plan: of the rollout.
        record: of the verdict.
        policy: that judged it.
    """
    metric = next(m for m in record["metrics"] if m["metric"] == record["deciding_metric"])
    incident = _id(plan.tenant_id, plan.rollout_id, DETECTOR)
    effect = metric["effect_sigma"]
    started_ms = record["decided_at"] - policy.lateness_ms - policy.look_ms
    old, new = plan.control_version, plan.treatment_version
    return DriftFinding(
        tenant_id=plan.tenant_id, scope="rollout", subject=plan.rollout_id,
        metric=metric["metric"], rule=Rule.CANARY, detector=DETECTOR, state=State.FIRING,
        severity=Severity.CRITICAL, window_ms=policy.window_ms, first_seen_ms=started_ms,
        detected_at_ms=record["decided_at"], delay_windows=policy.look_windows,
        log10_e=metric["log10_e"], direction=_direction(effect), shift_sigma=effect,
        before=Sample(metric["control_devices"], metric["control_mean"]),
        after=Sample(metric["treatment_devices"], metric["treatment_mean"]),
        peers_affected=metric["treatment_devices"],
        peers=metric["treatment_devices"] + metric["control_devices"],
        co_drifting_metrics=_harmed(record),
        changed_tags=(f"model_version: {old} -> {new}",),
        reason=f"ROLLBACK of {new}, {_reason(metric)}",
        suggested_action=f"roll {plan.deployment_group or 'the devices'} back to {old}",
        notify=True, incident_id=incident, finding_id=_id(incident, State.FIRING.value),
    )  # fmt: skip


def ended_finding(finding: DriftFinding, at_ms: int, reason: str) -> DriftFinding:
    """Return the end of a rollout's finding: one of its versions has left the group."""
    return replace(
        finding, state=State.RESOLVED, detected_at_ms=at_ms, reason=reason, notify=False,
        finding_id=_id(finding.incident_id, State.RESOLVED.value),
    )  # fmt: skip


def _harmed(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the other metrics that say ROLLBACK, the surest first."""
    rows = [
        (-metric["log10_e"], metric["metric"])
        for metric in record["metrics"]
        if metric["verdict"] == Verdict.ROLLBACK.value
        and metric["metric"] != record["deciding_metric"]
    ]
    return tuple(name for _, name in sorted(rows))


def _direction(effect_sigma: float | None) -> str:
    if effect_sigma is None or effect_sigma == 0:
        return ""
    return "up" if effect_sigma > 0 else "down"


def _reason(metric: Mapping[str, Any]) -> str:
    after, before = metric["treatment_mean"], metric["control_mean"]
    counts = f"{metric['treatment_devices']} devices against {metric['control_devices']}"
    if after is None or before is None:
        return f"{metric['reason']}: {metric['detail']}"
    return f"{metric['reason']}: mean {before:.6g} -> {after:.6g}, {counts}"


def _id(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:ID_LENGTH]
