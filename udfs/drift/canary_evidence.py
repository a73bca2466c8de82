"""Evidence that the treatment of a rollout does harm: one signal for each aspect and direction.

Every signal keeps its own share of alpha, so any of them may be believed. All are exact, whatever
the distribution and however windows of one device hang together: see `canary_ranks`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from udfs.drift.canary_cohorts import Cohort
from udfs.drift.canary_policy import ALPHA_SHARES, Aspect, CanaryMetric, CanaryPolicy, Harm
from udfs.drift.canary_ranks import Row, joined, row_of
from udfs.drift.confidence_sequence import (
    distance_above,
    log_distance_evidence,
    log_shift_evidence,
    log_spread_evidence,
)
from udfs.histogram import Floats
from udfs.partition_clocks import Bools

BETTER_SIGMA = 0.2
BETTER_ERRORS = 2.0
"""Who is better by more sigma, and by more standard errors, is not called harmful for spreading
wider: what is larger often does."""
MIN_BAD_SHARE = 0.01
"""So much more of a device's points must be bad before it is harm."""
_SIGNS = {Harm.UP: (1.0,), Harm.DOWN: (-1.0,), Harm.BOTH: (1.0, -1.0)}


@dataclass(frozen=True)
class Signal:
    """Evidence of one aspect, after each device of the row.

    Args:
        aspect: what it looks at.
        log_e: log of the e-process, or -log p of what is looked at once; shape (n,).
        alpha: its part.
    """

    aspect: Aspect
    log_e: Floats
    alpha: float

    @property
    def used(self) -> int:
        """Return after how many devices it is complete, 0 when it never is."""
        reached = np.flatnonzero(self.log_e >= -math.log(self.alpha))
        return int(reached[0]) + 1 if len(reached) else 0


@dataclass(frozen=True)
class Shift:
    """Weighted sums of a row: S and V of `canary_ranks`, after each device."""

    excess: Floats
    information: Floats

    @property
    def effect_sigma(self) -> float:
        """Return the estimate after all devices."""
        return float(self.excess[-1] / self.information[-1])

    def is_surely_over(self, sigma: float, sign: float) -> bool:
        """Say whether the estimate is beyond sigma on one side, and is no chance."""
        errors = sign * self.excess[-1] / np.sqrt(self.information[-1])
        return bool(sign * self.effect_sigma > sigma and errors > BETTER_ERRORS)


def shift_of(devices: Cohort, values: Floats) -> tuple[Shift, Row]:
    """Compare one value of each device within its stratum."""
    rows = []
    for stratum in np.unique(devices.stratum):
        at = devices.stratum == stratum
        rows.append(row_of(values[at], devices.is_treatment[at], devices.hashes[at]))
    row = joined(rows)
    return Shift(np.cumsum(row.weight * row.scores()), np.cumsum(row.weight**2)), row


def value_signals(
    devices: Cohort, metric: CanaryMetric, policy: CanaryPolicy, alpha: float
) -> tuple[Shift, list[Signal]]:
    """Return how far the treatment is shifted upwards, and what speaks for harm.

    Args:
        devices: comparable, each with a level.
        metric: its place in the policy.
        policy: of the rollout.
        alpha: the metric's part in this look.
    """
    signs = _SIGNS[metric.harm]
    share = {aspect: alpha * part for aspect, part in ALPHA_SHARES.items()}
    shift, row = shift_of(devices, devices.level)
    allowed = metric.min_difference * devices.is_treatment
    signals = []
    for sign in signs:
        values = sign * devices.level - allowed
        harm = shift_of(devices, values)[0] if metric.min_difference > 0 else _signed(shift, sign)
        part = share[Aspect.LEVEL] / len(signs)
        signals.append(_shift_signal(Aspect.LEVEL, harm, policy, part))
        part = share[Aspect.DISTRIBUTION] / len(signs)
        signals.append(_distribution_signal(devices, values, policy, part))
    within = shift_of(devices, devices.spread - allowed)[0]
    signals.append(_shift_signal(Aspect.SPREAD_WITHIN, within, policy, share[Aspect.SPREAD_WITHIN]))
    if not _explains_spread(shift, metric):
        log_e = log_spread_evidence(row.square_scores(), row.weight)
        signals.append(Signal(Aspect.SPREAD_BETWEEN, log_e, share[Aspect.SPREAD_BETWEEN]))
    elif _is_better(shift, metric):
        signals = [each for each in signals if each.aspect is not Aspect.SPREAD_WITHIN]
    return shift, signals


def validity_signals(cohort: Cohort, policy: CanaryPolicy, alpha: float) -> list[Signal]:
    """Return what the share of bad points says, of devices with or without any good one.

    Args:
        cohort: all devices of the metric.
        policy: of the rollout.
        alpha: the metric's part in this look.
    """
    devices = cohort.take(cohort.seen_windows >= policy.min_windows).matched()
    if min(devices.count(is_treatment=arm) for arm in (True, False)) < policy.min_devices:
        return []
    shift, _ = shift_of(devices, devices.bad_share - MIN_BAD_SHARE * devices.is_treatment)
    part = alpha * ALPHA_SHARES[Aspect.VALIDITY]
    return [_shift_signal(Aspect.VALIDITY, shift, policy, part)]


def _signed(shift: Shift, sign: float) -> Shift:
    return replace(shift, excess=sign * shift.excess)


def _is_better(shift: Shift, metric: CanaryMetric) -> bool:
    signs = _SIGNS[metric.harm]
    return len(signs) == 1 and shift.is_surely_over(BETTER_SIGMA, -signs[0])


def _explains_spread(shift: Shift, metric: CanaryMetric) -> bool:
    """Say whether a shift that is no harm puts the treatment at one end of all devices."""
    is_allowed = metric.min_difference > 0 and abs(shift.effect_sigma) > BETTER_SIGMA
    return is_allowed or _is_better(shift, metric)


def _shift_signal(aspect: Aspect, shift: Shift, policy: CanaryPolicy, alpha: float) -> Signal:
    excess = shift.excess - policy.min_effect_sigma * shift.information
    return Signal(aspect, log_shift_evidence(excess, shift.information, policy.tau_sigma), alpha)


def _distribution_signal(
    devices: Cohort, values: Floats, policy: CanaryPolicy, alpha: float
) -> Signal:
    """Compare distributions within each stratum; alpha is split among strata."""
    strata = np.unique(devices.stratum)
    # A normal variable that is shifted by m is 2 cdf(m / 2) - 1 away from itself.
    allowed = math.erf(policy.min_effect_sigma / math.sqrt(8))
    best = max(_distance_evidence(devices, values, devices.stratum == s, allowed) for s in strata)
    log_p = np.full(len(devices), -np.inf)
    log_p[-1] = best - math.log(len(strata))
    return Signal(Aspect.DISTRIBUTION, log_p, alpha)


def _distance_evidence(devices: Cohort, values: Floats, at: Bools, allowed: float) -> float:
    treatment, control = values[at & devices.is_treatment], values[at & ~devices.is_treatment]
    distance = max(distance_above(treatment, control) - allowed, 0.0)
    return log_distance_evidence(distance, len(treatment), len(control))
