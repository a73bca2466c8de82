"""Complete windows of devices as canary verdicts take them: which rollout, version and stratum."""

import polars as pl

from udfs.drift.canary import WINDOW_SCHEMA
from udfs.drift.canary_state import ROLLOUT_SCHEMA
from udfs.windows import Scope

PLAN_SCHEMA = {
    **ROLLOUT_SCHEMA,
    "deployment_group": pl.String,
    "treatment_version": pl.String,
    "control_version": pl.String,
}
"""One row a rollout of a model version in a group; announce it with `CanaryState.with_rollouts`."""

STRATUM_SCHEMA = {"tenant_id": pl.String, "device_id": pl.String, "stratum": pl.String}
"""Of the registry: hardware, site, firmware and whatever else is alike only within a stratum."""


def canary_windows(
    complete: pl.DataFrame, plans: pl.DataFrame, strata: pl.DataFrame, completed_ms: int
) -> pl.DataFrame:
    """Return the windows of devices that take part in a rollout, once for each.

    A device whose version changes within a window has a row of each; it is then in both arms, and
    left out of the look. Who is in no stratum shares one with all others that are in none.

    Args:
        complete: columns `COMPLETE_SCHEMA` of `window_rows`.
        plans: columns `PLAN_SCHEMA`, each rollout once.
        strata: columns `STRATUM_SCHEMA`, each device once.
        completed_ms: input clock at which the windows were complete; windows of a look that come
            later than `CanaryPolicy.lateness_ms` after its end do not count.

    Returns:
        Columns `WINDOW_SCHEMA`, in the order of `complete`.
    """
    is_treatment = pl.col("model_version") == pl.col("treatment_version")
    is_control = pl.col("model_version") == pl.col("control_version")
    group = ["tenant_id", "deployment_group"]
    windows = (
        complete.filter(pl.col("scope") == Scope.DEVICE.value)
        .rename({"subject": "device_id", "window_start": "window_start_ms", "mean": "value"})
        .join(plans.select(*PLAN_SCHEMA), on=group, how="inner", maintain_order="left_right")
        .filter(is_treatment | is_control)
        .join(strata, on=["tenant_id", "device_id"], how="left", maintain_order="left")
    )
    return windows.with_columns(
        arrived_ms=pl.lit(completed_ms, pl.Int64),
        is_treatment=is_treatment,
        stratum=pl.col("stratum").fill_null(""),
        nan_count=pl.col("nan_count") + pl.col("out_of_range_count"),
    ).select(*WINDOW_SCHEMA)
