"""Trials of canary verdicts: how often they are wrong, and how many devices they need."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from benchmarks.canary_fleet import METRIC, CanaryFleet, draws
from udfs.drift.canary import on_windows
from udfs.drift.canary_cohorts import Cohort
from udfs.drift.canary_metric import MetricVerdict, Verdict, judge_metric
from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy, Harm
from udfs.drift.canary_state import CanaryState, empty_state
from udfs.histogram import Floats
from udfs.partition_clocks import Bools

BOTH_WAYS = CanaryPolicy((CanaryMetric(METRIC, Harm.BOTH),))
NAIVE_Z = 2.576
"""Two-sided at 1 %."""
ONE_WAY = CanaryPolicy((CanaryMetric(METRIC, Harm.UP),))


@dataclass(frozen=True)
class Effect:
    """What the new version does to devices' means.

    Args:
        shift_sigma: moves them all.
        scale: stretches them about their centre.
    """

    shift_sigma: float = 0.0
    scale: float = 1.0


def run_rollouts(
    fleet: CanaryFleet, policy: CanaryPolicy, seed: int, looks: int
) -> tuple[CanaryState, pl.DataFrame]:
    """Give every window of a fleet to the step as it ends; return the state and what was told."""
    state = empty_state(policy).with_rollouts(fleet.announced())
    chance = np.random.default_rng(seed)
    told, last = [], pl.DataFrame()
    for end_ms, rows in fleet.blocks(chance, policy, looks * policy.look_windows):
        step = on_windows(state, rows, end_ms, policy)
        state, last = step.state, rows.clear()
        told.append(step.verdicts)
    step = on_windows(state, last, end_ms + policy.lateness_ms, policy)
    return step.state, pl.concat([*told, step.verdicts])


def share_told(told: pl.DataFrame, verdict: Verdict, rollouts: int) -> float:
    """Return the share of rollouts that were ever told this verdict."""
    names = told.filter(pl.col("verdict") == verdict.value)["rollout_id"]
    return names.n_unique() / rollouts


def naive_rollback_share(fleet: CanaryFleet, policy: CanaryPolicy, seed: int) -> float:
    """Return how often a z-test at alpha over all windows so far, after each, finds a difference.

    It takes windows for independent and looks as often as it likes.
    """
    is_wrong = np.zeros(fleet.rollouts, dtype=bool)
    total, squares = np.zeros((2, fleet.rollouts, 2))
    devices = fleet.treatment + fleet.control
    blocks = fleet.blocks(np.random.default_rng(seed), policy, policy.look_windows)
    for count, (_, rows) in enumerate(blocks, 1):
        values = rows["value"].to_numpy().reshape(fleet.rollouts, devices)
        arms = values[:, : fleet.treatment], values[:, fleet.treatment :]
        total = total + np.stack([arm.mean(axis=1) for arm in arms], axis=1)
        squares = squares + np.stack([(arm**2).mean(axis=1) for arm in arms], axis=1)
        mean = total / count
        variance = (squares / count - mean**2) / count
        error = np.sqrt(variance[:, 0] / fleet.treatment + variance[:, 1] / fleet.control)
        is_wrong |= np.abs(mean[:, 0] - mean[:, 1]) > NAIVE_Z * error
    return float(is_wrong.mean())


def judged_cohorts(
    devices: int, effect: Effect, law: str, seed: int, trials: int, policy: CanaryPolicy
) -> Iterator[MetricVerdict]:
    """Judge one look of many rollouts with as many devices a version, given by their means."""
    for trial in range(trials):
        chance = np.random.default_rng([seed, trial])
        means = draws(chance, law, 2 * devices)
        is_treatment = np.arange(2 * devices) < devices
        means = np.where(is_treatment, effect.scale * means + effect.shift_sigma, means)
        if law == "five levels":
            means = np.clip(np.round(means), -2, 2)
        yield judge_metric(cohort_of(means, is_treatment, chance), policy.metrics[0], policy, 0)


def cohort_of(means: Floats, is_treatment: Bools, chance: np.random.Generator) -> Cohort:
    """Return devices with these means, equal in all else."""
    size = len(means)
    windows = np.full(size, 60)
    return Cohort(
        hashes=chance.permutation(size), stratum=np.zeros(size, np.int64),
        is_treatment=is_treatment, value_windows=windows, seen_windows=windows,
        level=means, spread=np.ones(size), bad_share=np.zeros(size),
    )  # fmt: skip


def devices_to_rollback(
    devices: int, effect: Effect, seed: int, trials: int, policy: CanaryPolicy = ONE_WAY
) -> tuple[float, float]:
    """Return the mean number of devices a version until ROLLBACK, and the share that had one.

    Who has none counts with all its devices.
    """
    found = list(judged_cohorts(devices, effect, "normal", seed, trials, policy))
    used = [each.devices_used / 2 if each.devices_used else devices for each in found]
    return float(np.mean(used)), verdict_share(found, Verdict.ROLLBACK)


def verdict_share(found: list[MetricVerdict], verdict: Verdict) -> float:
    """Return the share of this verdict."""
    return sum(each.verdict is verdict for each in found) / len(found)


def unpromoted(policy: CanaryPolicy, looks: int) -> CanaryPolicy:
    """Return the policy with this horizon, at which alone it may promote: all alpha is used."""
    return replace(policy, horizon_looks=looks, promote_after_looks=looks)
