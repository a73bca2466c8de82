"""Measures canary verdicts: how often they are wrong, how many devices they need, what they cost.

    python -m benchmarks.measure_canary --rollouts 2000 --out benchmarks/out/canary.json

False ROLLBACKs come first, through the whole step, window by window; then how fast harm is found. A
verdict that is always ROLLBACK and one that never is stand beside it: each meets half of the goals.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.canary_fleet import LAWS, START_MS, CanaryFleet
from benchmarks.canary_trials import (
    BOTH_WAYS,
    ONE_WAY,
    Effect,
    devices_to_rollback,
    judged_cohorts,
    naive_rollback_share,
    run_rollouts,
    share_told,
    unpromoted,
    verdict_share,
)
from benchmarks.figures import write_figures
from udfs.drift.canary import absorb, decide
from udfs.drift.canary_metric import Verdict
from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy
from udfs.drift.canary_state import empty_state, pack_canary

PARTS = ("null", "many", "delay", "promote", "anchors", "cost")
LOOKS = 3
STATE_MAX_BYTES = 614  # 0.6 KB, DRIFT.md 4e
FOUND = 0.9
"""Of rollouts, to call a kind of harm found."""
ARM = 25
"""Devices a version in the trials through the whole step: few, as there false alarms are easy."""
SHIFTS = {0.5: (119.0, 800), 0.2: (620.0, 3500), 0.1: (2613.0, 9000)}
"""Goal of DRIFT.md in devices a version, and how many there are."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        name: what was measured.
        goal: as text.
        measured: as text.
        is_met: whether it is; None where there is no goal.
    """

    name: str
    goal: str
    measured: str
    is_met: bool | None = None


def false_rollbacks(rollouts: int, seed: int) -> Iterator[Figure]:
    """Rollouts whose versions are the same, looked at after every window until the horizon."""
    policy = unpromoted(BOTH_WAYS, LOOKS)
    for law in LAWS:
        fleet = CanaryFleet(rollouts=rollouts, treatment=ARM, control=ARM, law=law)
        _, told = run_rollouts(fleet, policy, seed, LOOKS)
        share = share_told(told, Verdict.ROLLBACK, rollouts)
        yield _at_most(f"false ROLLBACK, {law}, {ARM} + {ARM} devices, {LOOKS} looks", share, 0.01)
    fleet = CanaryFleet(rollouts=rollouts // 4, treatment=10, control=90)
    _, told = run_rollouts(fleet, unpromoted(_few(), LOOKS), seed, LOOKS)
    share = share_told(told, Verdict.ROLLBACK, fleet.rollouts)
    yield _at_most("false ROLLBACK, normal, 10 + 90 devices", share, 0.01)
    fleet = CanaryFleet(rollouts=200, treatment=ARM, control=ARM)
    naive = naive_rollback_share(fleet, ONE_WAY, seed)
    yield Figure("false alarm of a z-test on windows, normal", "(33-83 %)", f"{naive:.0%}")


def false_rollbacks_of_many_devices(rollouts: int, seed: int) -> Iterator[Figure]:
    """One look of a thousand devices a version: a long way to be wrong on.

    Ranks of t3 and lognormal means are those of normal ones; ties are another matter.
    """
    for law in ("normal", "five levels"):
        found = list(judged_cohorts(1000, Effect(), law, seed, rollouts, BOTH_WAYS))
        share = verdict_share(found, Verdict.ROLLBACK)
        yield _at_most(f"false ROLLBACK, {law}, 1000 + 1000 devices", share, 0.01)


def delays(trials: int, seed: int) -> Iterator[Figure]:
    """Devices a version until ROLLBACK."""
    for shift, (goal, devices) in SHIFTS.items():
        mean, share = devices_to_rollback(devices, Effect(shift), seed, trials)
        text = f"{mean:.0f} ({share:.0%} found)"
        yield Figure(
            f"devices a version to ROLLBACK at {shift} sigma", f"<= {goal:.0f}", text, mean <= goal
        )
    mean, share = devices_to_rollback(2000, Effect(scale=1.5**0.5), seed, trials)
    text = f"{share:.0%}, after {mean:.0f}"
    yield Figure("devices part, variance x1.5, equal mean: found", "yes", text, share > FOUND)
    for devices in (30, 60):
        fleet = CanaryFleet(
            rollouts=trials, treatment=devices, control=devices, within_scale=1.5**0.5
        )
        _, told = run_rollouts(fleet, unpromoted(ONE_WAY, 1), seed, 1)
        share = share_told(told, Verdict.ROLLBACK, trials)
        name = f"windows vary x1.5, equal mean, {devices} + {devices} devices: found"
        is_met = None if devices < 60 else share > FOUND  # noqa: PLR2004  # fewer: as it comes
        yield Figure(name, "yes", f"{share:.0%}", is_met)


def promotions(trials: int, seed: int) -> Iterator[Figure]:
    """PROMOTE of what harms by the tolerance, and of what does not differ."""
    for devices in (25, 110, 600):
        found = judged_cohorts(devices, Effect(0.5), "normal", seed, trials, ONE_WAY)
        share = verdict_share(list(found), Verdict.PROMOTE)
        yield _at_most(
            f"false PROMOTE at the tolerance, {devices} + {devices} devices", share, 0.05
        )
        found = judged_cohorts(devices, Effect(), "normal", seed, trials, ONE_WAY)
        share = verdict_share(list(found), Verdict.PROMOTE)
        yield Figure(f"PROMOTE of equals, {devices} + {devices} devices", "", f"{share:.0%}")


def always_and_never() -> Iterator[Figure]:
    """What verdicts are worth that do not look."""
    yield Figure("always ROLLBACK: false, devices", "<= 1 %, <= 620", "100 %, 0", is_met=False)
    yield Figure("never ROLLBACK: false, devices", "<= 1 %, <= 620", "0 %, never", is_met=False)


def costs(devices: int, seed: int) -> Iterator[Figure]:
    """Rows a CPU second, and bytes a unit."""
    metrics = tuple(CanaryMetric(f"m{number}") for number in range(5))
    policy = CanaryPolicy(metrics)
    fleet = CanaryFleet(treatment=devices // 10, control=devices - devices // 10)
    state = empty_state(policy).with_rollouts(fleet.announced(0.1))
    rows, spent_s = 0, 0.0
    for _, one in fleet.blocks(np.random.default_rng(seed), policy, policy.look_windows):
        block = pl.concat([one.with_columns(metric=pl.lit(each.name)) for each in metrics])
        start_s = time.process_time()
        state, _ = absorb(state, block, policy)
        spent_s += time.process_time() - start_s
        rows += len(block)
    size = len(pack_canary(state, policy)) / len(state.units)
    start_s = time.process_time()
    decide(state, START_MS + policy.look_ms + policy.lateness_ms, policy)
    verdict_s = time.process_time() - start_s
    name = f"{devices} devices x 5 metrics x {policy.look_windows} windows"
    yield Figure(f"{name}: rows a CPU second", "", f"{rows / spent_s:,.0f}")
    yield Figure(f"{name}: verdict, CPU s a look", "", f"{verdict_s:.2f}")
    yield Figure(
        "state, bytes a device and metric", "<= 614", f"{size:.0f}", size <= STATE_MAX_BYTES
    )


def _few() -> CanaryPolicy:
    return CanaryPolicy(BOTH_WAYS.metrics, min_devices=5)


def _at_most(name: str, share: float, limit: float) -> Figure:
    return Figure(name, f"<= {limit:.0%}", f"{share:.2%}", share <= limit)


def main() -> None:
    """Measure everything and print goal and measured side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--part", action="append", choices=PARTS, help="all by default")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    steps: list[Callable[[], Iterator[Figure]]] = [
        lambda: false_rollbacks(given.rollouts, given.seed),
        lambda: false_rollbacks_of_many_devices(given.rollouts, given.seed),
        lambda: delays(given.trials, given.seed),
        lambda: promotions(given.rollouts, given.seed),
        always_and_never,
        lambda: costs(given.devices, given.seed),
    ]
    parts = dict(zip(PARTS, steps, strict=True))
    print(f"seed {given.seed}, {given.rollouts} rollouts, {given.trials} trials")
    told = {}
    for name in given.part or parts:
        for figure in parts[name]():
            mark = {True: "ok", False: "missed", None: ""}[figure.is_met]
            print(f"{figure.name:<66} {figure.goal:>16} {figure.measured:>20} {mark}", flush=True)
            told[figure.name] = {"goal": figure.goal, "measured": figure.measured}
    write_figures(told, given.out)


if __name__ == "__main__":
    main()
