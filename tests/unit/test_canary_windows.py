"""From complete windows of the drift job to what canary verdicts take."""

import math

import numpy as np
import polars as pl

from tests.canary_rows import LOOK, MINUTE_MS, POLICY, START_MS, due_ms, noise
from udfs.drift.canary import WINDOW_SCHEMA, on_windows
from udfs.drift.canary_state import empty_state
from udfs.drift.canary_windows import PLAN_SCHEMA, STRATUM_SCHEMA, canary_windows
from udfs.drift.window_rows import COMPLETE_SCHEMA

PLANS = pl.DataFrame(
    [("acme", "r", START_MS, 0.5, "g", "v2", "v1")], schema=PLAN_SCHEMA, orient="row"
)
NO_STRATA = pl.DataFrame(schema=STRATUM_SCHEMA)


def complete(minute, versions, values, *, scope="device"):
    """One window of each device, with its version and its mean; NaN is a window without points."""
    is_good = np.isfinite(values)
    size = len(values)
    columns = {
        "window_start": START_MS + minute * MINUTE_MS, "tenant_id": "acme", "scope": scope,
        "subject": [f"cam-{n}" for n in range(size)], "metric": "latency",
        "deployment_group": "g", "model_version": versions, "window_ms": MINUTE_MS,
        "count": np.where(is_good, 5, 0), "missing_count": 0,
        "nan_count": np.where(is_good, 0, 3), "out_of_range_count": np.where(is_good, 0, 2),
        "mean": values, "min": values, "max": values,
        "bins": [[]] * size, "bin_counts": [[]] * size,
    }  # fmt: skip
    return pl.DataFrame(columns, schema_overrides=COMPLETE_SCHEMA).select(*COMPLETE_SCHEMA)


def test_versions_of_the_plan_are_arms_and_all_others_are_left_out():
    rows = complete(0, ["v1", "v2", "v3", ""], np.array([1.0, math.nan, 3.0, 4.0]))
    strata = pl.DataFrame([("acme", "cam-1", "jetson")], schema=STRATUM_SCHEMA, orient="row")
    found = canary_windows(rows, PLANS, strata, START_MS + MINUTE_MS)
    assert found.schema == pl.Schema(WINDOW_SCHEMA)
    assert found["device_id"].to_list() == ["cam-0", "cam-1"]
    assert found["is_treatment"].to_list() == [False, True]
    assert found["stratum"].to_list() == ["", "jetson"]
    assert found["nan_count"].to_list() == [0, 5]


def test_windows_of_groups_and_of_other_tenants_and_groups_are_none_of_a_rollout():
    group = complete(0, ["v1"], np.array([1.0]), scope="group")
    stranger = complete(0, ["v1"], np.array([1.0])).with_columns(tenant_id=pl.lit("other"))
    neighbour = complete(0, ["v1"], np.array([1.0])).with_columns(deployment_group=pl.lit("h"))
    rows = pl.concat([group, stranger, neighbour])
    assert canary_windows(rows, PLANS, NO_STRATA, START_MS).is_empty()


def test_complete_windows_of_a_drift_job_end_in_a_verdict():
    values = np.concatenate([noise(1, 60) + 3, noise(2, 60)])
    versions = ["v2"] * 60 + ["v1"] * 60
    state = empty_state(POLICY).with_rollouts(PLANS)
    for minute in range(LOOK):
        rows = complete(minute, versions, values[:, minute])
        now_ms = START_MS + (minute + 1) * MINUTE_MS
        windows = canary_windows(rows, PLANS, NO_STRATA, now_ms)
        state = on_windows(state, windows, now_ms, POLICY).state
    step = on_windows(state, windows.clear(), due_ms(0), POLICY)
    assert step.verdicts["verdict"].to_list() == ["ROLLBACK"]
    assert step.verdicts["treatment_devices"].to_list() == [60]
