"""Rows of windows for tests of canary verdicts, and a run of the step over them."""

from dataclasses import replace

import numpy as np
import polars as pl

from udfs.drift.canary import WINDOW_SCHEMA, on_windows
from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy, Harm
from udfs.drift.canary_state import empty_state

MINUTE_MS = 60_000
START_MS = 1_767_225_600_000
LOOK = 12
POLICY = CanaryPolicy(
    (CanaryMetric("latency", Harm.UP),),
    window_ms=MINUTE_MS,
    look_windows=LOOK,
    min_windows=10,
    lateness_ms=2 * MINUTE_MS,
    horizon_looks=3,
)


def policy_of(*metrics, **numbers):
    return replace(POLICY, metrics=metrics or POLICY.metrics, **numbers)


def arm(values, *, is_treatment, metric="latency", stratum="s", first=0, name=None):
    """Rows of one arm: values of shape (devices, windows); NaN is a window without any value."""
    values = np.asarray(values, dtype=float)
    devices, windows = values.shape
    name = name or ("t" if is_treatment else "c")
    start_ms = START_MS + (first + np.arange(windows)) * MINUTE_MS
    is_good = np.isfinite(values).ravel()
    return pl.DataFrame(
        {
            "arrived_ms": np.tile(start_ms + MINUTE_MS, devices),
            "tenant_id": "acme",
            "rollout_id": "r",
            "is_treatment": is_treatment,
            "stratum": stratum,
            "device_id": [f"{name}{n}" for n in range(devices) for _ in range(windows)],
            "metric": metric,
            "window_start_ms": np.tile(start_ms, devices),
            "value": np.where(is_good, values.ravel(), np.nan),
            "count": np.where(is_good, 5, 0),
            "missing_count": 0,
            "nan_count": np.where(is_good, 0, 5),
        },
        schema_overrides=WINDOW_SCHEMA,
    ).select(*WINDOW_SCHEMA)


def both(treatment, control, **more):
    return pl.concat(
        [arm(treatment, is_treatment=True, **more), arm(control, is_treatment=False, **more)]
    )


def noise(seed, devices, windows=LOOK, *, rho=0.3):
    """Values with mean 0 and standard deviation 1; windows of one device correlate by rho."""
    print(f"seed {seed}")
    chance = np.random.default_rng(seed)
    own = np.sqrt(rho) * chance.standard_normal((devices, 1))
    return own + np.sqrt(1 - rho) * chance.standard_normal((devices, windows))


def announced(share=None, rollout_id="r"):
    return pl.DataFrame(
        {
            "tenant_id": ["acme"],
            "rollout_id": [rollout_id],
            "started_at_ms": [START_MS],
            "treatment_share": pl.Series([share], dtype=pl.Float64),
        }
    )


def due_ms(look, policy=POLICY):
    return START_MS + (look + 1) * policy.look_ms + policy.lateness_ms


def run(rows, policy=POLICY, *, looks=1, share=None):
    """Feed rows window by window in the order of their arrival; return (verdict rows, ignored)."""
    state = empty_state(policy).with_rollouts(announced(share))
    rows = rows.sort("arrived_ms", maintain_order=True)
    told, ignored = [], np.zeros(4, int)
    for (arrived_ms,), block in rows.group_by("arrived_ms", maintain_order=True):
        step = on_windows(state, block, arrived_ms, policy)
        state = step.state
        told.append(step.verdicts)
        ignored += list(vars(step.ignored).values())
    step = on_windows(state, rows.clear(), due_ms(looks - 1, policy), policy)
    names = ("late", "duplicate", "unknown", "outside")
    return pl.concat([*told, step.verdicts]), dict(zip(names, ignored.tolist(), strict=True))


def outcome(rows, policy=POLICY, **more):
    """Return what was told last: (verdict, reason)."""
    told = run(rows, policy, **more)[0].row(-1, named=True)
    return told["verdict"], told["reason"]
