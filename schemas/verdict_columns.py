"""Verdicts on rollouts as columns of their table: what each metric says as arrays of one length.

metrics [{metric, verdict, ...}, ...]  ->  metrics_metric [...], metrics_verdict [...], ...
"""

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl
import pyarrow as pa

_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.uint64()
_TIME = pa.timestamp("ms", tz="UTC")

_METRIC = {
    **dict.fromkeys(("metric", "verdict", "reason", "detail"), _TEXT),
    **dict.fromkeys(("effect_sigma", "low_sigma", "high_sigma"), _NUMBER),
    **dict.fromkeys(("log10_e", "log10_e_needed"), _NUMBER),
    **dict.fromkeys(("treatment_devices", "control_devices", "devices_used"), _COUNT),
    **dict.fromkeys(("treatment_mean", "control_mean"), _NUMBER),
}

VERDICT_COLUMNS: Mapping[str, pa.DataType] = MappingProxyType(
    {
        **dict.fromkeys(("verdict_id", "tenant_id", "rollout_id", "deployment_group"), _TEXT),
        **dict.fromkeys(("treatment_version", "control_version"), _TEXT),
        **dict.fromkeys(("started_at", "decided_at"), _TIME),
        "look": pa.int32(),
        **dict.fromkeys(("verdict", "reason", "deciding_metric"), _TEXT),
        "is_final": pa.bool_(),
        **dict.fromkeys(("treatment_devices", "control_devices", "moved_devices"), _COUNT),
        **{f"metrics_{name}": pa.list_(kind) for name, kind in _METRIC.items()},
    }
)
"""Of the table, in order, without `load_batch`."""


def flat_verdicts(verdicts: pl.DataFrame, metrics: pl.DataFrame) -> pl.DataFrame:
    """Return decoded verdicts with arrays of what their metrics say, maybe empty ones.

    Args:
        verdicts: one row a message: `row` and its fields.
        metrics: one row a metric: `row` of its verdict, in order, and its fields.
    """
    names = [pl.col(name).alias(f"metrics_{name}") for name in _METRIC]
    arrays = metrics.group_by("row", maintain_order=True).agg(names)
    # An array of no metrics is empty, not null.
    filled = [pl.col(f"metrics_{name}").fill_null([]) for name in _METRIC]
    return verdicts.join(arrays, on="row", how="left", maintain_order="left").with_columns(filled)
