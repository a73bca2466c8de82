"""The verdict on a rollout, from what its metrics say, and the rows that tell it.

ROLLBACK   some metric says so; nothing outweighs it
NODATA     the devices are not shared out as planned, or a mandatory metric has no data, or the
           horizon came: whoever waits for PROMOTE waits in vain
PROMOTE    every mandatory metric is within its tolerance
CONTINUE   otherwise
"""

import math
from dataclasses import dataclass, replace

import polars as pl

from udfs.drift.canary_cohorts import Turnout, no_cohort
from udfs.drift.canary_metric import MetricVerdict, Verdict, judge_metric
from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_state import Rollout
from udfs.drift.confidence_sequence import log_mismatch_evidence, spending_share

VERDICT_SCHEMA = {
    "tenant_id": pl.String,
    "rollout_id": pl.String,
    "decided_at_ms": pl.Int64,  # when the look was due: a function of the rollout, not of blocks
    "look": pl.Int64,
    "verdict": pl.String,
    "reason": pl.String,  # as of the metric that decided; sample_ratio_mismatch; horizon
    "deciding_metric": pl.String,  # empty when none alone did
    "is_final": pl.Boolean,
    "moved_devices": pl.Int64,  # changed version or stratum within the look: left out
    "mismatch_log10_e": pl.Float64,  # of shares other than planned; null when none was planned
    "metric": pl.String,
    "metric_verdict": pl.String,
    "metric_reason": pl.String,
    "metric_detail": pl.String,
    "effect_sigma": pl.Float64,
    "low_sigma": pl.Float64,
    "high_sigma": pl.Float64,
    "log10_e": pl.Float64,
    "log10_e_needed": pl.Float64,
    "treatment_devices": pl.Int64,
    "control_devices": pl.Int64,
    "devices_used": pl.Int64,
    "treatment_mean": pl.Float64,
    "control_mean": pl.Float64,
}
"""One row a metric; those of one rollout and instant belong together."""

_ESTIMATES = list(VERDICT_SCHEMA)[list(VERDICT_SCHEMA).index("effect_sigma") :]


@dataclass(frozen=True)
class Judgement:
    """What one look says.

    Args:
        verdict: on the rollout.
        reason: of it.
        deciding_metric: empty when none alone did.
        metrics: what each says, in the order of the policy.
        mismatch_log10_e: None when no share was planned.
        moved_count: devices left out.
    """

    verdict: Verdict
    reason: str
    deciding_metric: str
    metrics: list[MetricVerdict]
    mismatch_log10_e: float | None
    moved_count: int


def judge_rollout(
    rollout: Rollout, turnout: Turnout, policy: CanaryPolicy
) -> tuple[Rollout, Judgement]:
    """Judge the rollout's next look, and return how it stands then."""
    spent = dict(rollout.spent_looks)
    metrics = []
    for metric in policy.metrics:
        cohort = turnout.cohorts.get(metric.name, no_cohort())
        metrics.append(judge_metric(cohort, metric, policy, spent.get(metric.name, 0)))
        if metrics[-1].is_look_spent:
            spent[metric.name] = spent.get(metric.name, 0) + 1
    log_e = _mismatch(rollout, turnout)
    limit = -math.log(policy.mismatch_alpha * spending_share(rollout.next_look))
    verdict, reason, metric_name = _verdict(metrics, policy, is_mismatch=log_e >= limit)
    next_look = rollout.next_look + 1
    if verdict is Verdict.PROMOTE and next_look < policy.promote_after_looks:
        verdict, reason = Verdict.CONTINUE, "collecting"
    is_over = next_look >= policy.horizon_looks
    if verdict is Verdict.CONTINUE and is_over:
        verdict, reason = Verdict.NODATA, "horizon"
    is_final = verdict in {Verdict.ROLLBACK, Verdict.PROMOTE} or is_over
    after = replace(
        rollout, next_look=next_look, verdict=verdict.value, reason=reason, is_final=is_final,
        spent_looks=spent,
    )  # fmt: skip
    log10_e = None if rollout.treatment_share is None else log_e / math.log(10)
    return after, Judgement(verdict, reason, metric_name, metrics, log10_e, turnout.moved_count)


def verdict_rows(rollout: Rollout, judgement: Judgement, decided_at_ms: int) -> pl.DataFrame:
    """Return the rows that tell a judgement."""
    head = {
        "tenant_id": rollout.tenant_id,
        "rollout_id": rollout.rollout_id,
        "decided_at_ms": decided_at_ms,
        "look": rollout.next_look - 1,
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "deciding_metric": judgement.deciding_metric,
        "is_final": rollout.is_final,
        "moved_devices": judgement.moved_count,
        "mismatch_log10_e": judgement.mismatch_log10_e,
    }
    rows = [head | _metric_fields(metric) for metric in judgement.metrics]
    return pl.DataFrame(rows, schema=VERDICT_SCHEMA)


def _metric_fields(metric: MetricVerdict) -> dict[str, object]:
    told = {
        "metric": metric.metric,
        "metric_verdict": metric.verdict.value,
        "metric_reason": metric.reason,
        "metric_detail": metric.detail,
    }
    return told | {name: getattr(metric, name) for name in _ESTIMATES}


def _verdict(
    metrics: list[MetricVerdict], policy: CanaryPolicy, *, is_mismatch: bool
) -> tuple[Verdict, str, str]:
    """Return verdict, reason and the metric that decided."""
    mandatory = {metric.name for metric in policy.metrics if metric.is_mandatory}
    needed = [each for each in metrics if each.metric in mandatory]
    for each in metrics:
        if each.verdict is Verdict.ROLLBACK:
            return Verdict.ROLLBACK, each.reason, each.metric
    if is_mismatch:
        return Verdict.NODATA, "sample_ratio_mismatch", ""
    for each in needed:
        if each.verdict is Verdict.NODATA:
            return Verdict.NODATA, each.reason, each.metric
    if all(each.verdict is Verdict.PROMOTE for each in needed):
        return Verdict.PROMOTE, "within_tolerance", ""
    return Verdict.CONTINUE, "collecting", ""


def _mismatch(rollout: Rollout, turnout: Turnout) -> float:
    """Return the log of the evidence that devices are not shared out as planned."""
    if rollout.treatment_share is None:
        return 0.0
    counts = turnout.treatment_count, turnout.control_count
    return log_mismatch_evidence(*counts, rollout.treatment_share)
