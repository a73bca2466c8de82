"""What one metric of a rollout says in one look.

ROLLBACK  evidence of some aspect for harm reached its 1/a: the bound at a lies beyond
          `min_effect_sigma`
PROMOTE   the level's bounds at promote_alpha lie inside the tolerance, where harm is
NODATA    too few devices to compare
CONTINUE  otherwise
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from udfs.drift.canary_cohorts import Cohort
from udfs.drift.canary_evidence import Shift, Signal, validity_signals, value_signals
from udfs.drift.canary_policy import Aspect, CanaryMetric, CanaryPolicy, Harm
from udfs.drift.confidence_sequence import shift_margin, spending_share


class Verdict(StrEnum):
    """What is to be done with a rollout, and what one metric says about it."""

    ROLLBACK = "ROLLBACK"
    PROMOTE = "PROMOTE"
    CONTINUE = "CONTINUE"
    NODATA = "NODATA"


@dataclass(frozen=True)
class MetricVerdict:
    """What one metric says in one look. Sigma is the spread of devices within strata.

    Args:
        metric: name.
        verdict: of this metric alone.
        reason: one word: a ROLLBACK's aspect, within_tolerance, collecting, metric_absent,
            no_control_in_stratum or too_few_devices.
        detail: one sentence.
        effect_sigma: shift of the treatment, positive upwards; None when nobody is comparable.
        low_sigma: its bound below at promote_alpha, at any number of looks.
        high_sigma: above.
        log10_e: of the aspect that is named, else of the level; the highest within the look.
        log10_e_needed: what it has to reach.
        treatment_devices: compared.
        control_devices: compared.
        devices_used: of both, until the evidence was complete; 0 without ROLLBACK.
        treatment_mean: of devices' means, in the unit of the metric.
        control_mean: same; strata weigh as much as their treatment has devices.
        is_look_spent: whether a look's part of alpha was used.
    """

    metric: str
    verdict: Verdict
    reason: str
    detail: str = ""
    effect_sigma: float | None = None
    low_sigma: float | None = None
    high_sigma: float | None = None
    log10_e: float = 0.0
    log10_e_needed: float = 0.0
    treatment_devices: int = 0
    control_devices: int = 0
    devices_used: int = 0
    treatment_mean: float | None = None
    control_mean: float | None = None
    is_look_spent: bool = False


def judge_metric(
    cohort: Cohort, metric: CanaryMetric, policy: CanaryPolicy, spent_looks: int
) -> MetricVerdict:
    """Judge one metric.

    Args:
        cohort: its devices in this look.
        metric: its place in the policy.
        policy: of the rollout.
        spent_looks: how many looks have used their part of alpha for this metric.
    """
    alpha = policy.metric_alpha(metric) * spending_share(spent_looks)
    measured = cohort.take(cohort.value_windows >= policy.min_windows)
    devices = measured.matched()
    signals = validity_signals(cohort, policy, alpha)
    short = _shortage(measured, devices, policy)
    found = MetricVerdict(
        metric.name, Verdict.NODATA, *(short or ("", "")),
        treatment_devices=devices.count(is_treatment=True),
        control_devices=devices.count(is_treatment=False),
    )  # fmt: skip
    if short is None:
        shift, of_values = value_signals(devices, metric, policy, alpha)
        signals = of_values + signals
        levels = [each for each in of_values if each.aspect is Aspect.LEVEL]
        found = _with_evidence(_estimated(found, devices, shift), max(levels, key=_strength))
        found = _bounded(found, shift, metric, policy, spent_looks)
    found = replace(found, is_look_spent=bool(signals))
    harmful = [signal for signal in signals if signal.used]
    return _rolled_back(found, min(harmful, key=lambda each: each.used)) if harmful else found


def _shortage(measured: Cohort, devices: Cohort, policy: CanaryPolicy) -> tuple[str, str] | None:
    """Return why devices cannot be compared, and what is needed; None when they can."""
    all_counts = [measured.count(is_treatment=arm) for arm in (True, False)]
    counts = [devices.count(is_treatment=arm) for arm in (True, False)]
    if min(counts) >= policy.min_devices:
        return None
    need = f"needs {policy.min_devices} devices a version with {policy.min_windows} windows"
    if min(all_counts) >= policy.min_devices:
        text = f"{need} in strata that have both; treatment has {counts[0]}, control {counts[1]}"
        return "no_control_in_stratum", text
    reason = "too_few_devices" if min(all_counts) else "metric_absent"
    return reason, f"{need}; treatment has {all_counts[0]}, control {all_counts[1]}"


def _estimated(found: MetricVerdict, devices: Cohort, shift: Shift) -> MetricVerdict:
    treatment, control = devices.level[devices.is_treatment], devices.level[~devices.is_treatment]
    stratum = devices.stratum
    in_arm = [np.bincount(stratum[devices.is_treatment == arm], minlength=stratum.max() + 1)
              for arm in (True, False)]  # fmt: skip
    weight = (in_arm[0] / np.maximum(in_arm[1], 1))[stratum[~devices.is_treatment]]
    return replace(
        found,
        effect_sigma=shift.effect_sigma,
        treatment_mean=float(treatment.mean()),
        control_mean=float(np.average(control, weights=weight)),
    )


def _bounded(
    found: MetricVerdict,
    shift: Shift,
    metric: CanaryMetric,
    policy: CanaryPolicy,
    spent_looks: int,
) -> MetricVerdict:
    """Return the verdict that the level's bounds allow."""
    alpha = policy.promote_alpha * spending_share(spent_looks)
    margin = shift_margin(float(shift.information[-1]), alpha, policy.tau_sigma)
    low, high = shift.effect_sigma - margin, shift.effect_sigma + margin
    is_low_safe = metric.harm is Harm.UP or low > -policy.tolerance_sigma
    is_high_safe = metric.harm is Harm.DOWN or high < policy.tolerance_sigma
    verdict, reason = Verdict.CONTINUE, "collecting"
    if is_low_safe and is_high_safe:
        verdict, reason = Verdict.PROMOTE, "within_tolerance"
    detail = f"shift of {low:.2f} to {high:.2f} sigma, tolerated {policy.tolerance_sigma:g}"
    return replace(
        found, verdict=verdict, reason=reason, detail=detail, low_sigma=low, high_sigma=high
    )


def _strength(signal: Signal) -> float:
    return float(signal.log_e.max())


def _with_evidence(found: MetricVerdict, signal: Signal) -> MetricVerdict:
    return replace(
        found,
        log10_e=_strength(signal) / math.log(10),
        log10_e_needed=-math.log10(signal.alpha),
    )


def _rolled_back(found: MetricVerdict, signal: Signal) -> MetricVerdict:
    return replace(
        _with_evidence(found, signal),
        verdict=Verdict.ROLLBACK,
        reason=signal.aspect.value,
        detail=f"the evidence was complete after {signal.used} devices",
        devices_used=signal.used,
    )
