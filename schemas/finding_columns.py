"""Drift findings as columns of their table: the nested records of the topic laid flat.

baseline {baseline_id, from, until, ...}  ->  baseline_id, baseline_from, baseline_until, ...
before {mean, p05, ...}, after {...}      ->  before_mean, before_p05, ..., after_mean, ...
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import polars as pl
import pyarrow as pa

_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.uint64()
_TIME = pa.timestamp("ms", tz="UTC")
_TEXTS = pa.list_(_TEXT)

_SAMPLE = {
    "count": _COUNT,
    "mean": _NUMBER,
    "p05": _NUMBER,
    "p50": _NUMBER,
    "p95": _NUMBER,
    "edges": pa.list_(_NUMBER),
    "counts": pa.list_(_COUNT),
}
_BASELINE = {
    "baseline_id": ("baseline_id", _TEXT),
    "window_count": ("baseline_window_count", _COUNT),
    "from": ("baseline_from", _TIME),
    "until": ("baseline_until", _TIME),
    "is_provisional": ("is_provisional", pa.bool_()),
}
_WITHOUT_BASELINE = {"baseline_id": "", "window_count": 0, "is_provisional": False}
"""What a finding without a baseline says of it; its times are null."""
_SAMPLES = ("before", "after")

FINDING_COLUMNS: Mapping[str, pa.DataType] = MappingProxyType(
    {
        **dict.fromkeys(("finding_id", "incident_id", "tenant_id", "scope", "subject"), _TEXT),
        **dict.fromkeys(("metric", "rule", "detector", "state", "severity"), _TEXT),
        "window_ms": _COUNT,
        "first_seen": _TIME,
        "detected_at": _TIME,
        "delay_windows": pa.uint32(),
        "log10_e": _NUMBER,
        "expected_false_alarms": _NUMBER,
        "direction": _TEXT,
        **dict.fromkeys(("shift_sigma", "psi", "w1_sigma"), _NUMBER),
        **dict(_BASELINE.values()),
        **{f"{part}_{name}": kind for part in _SAMPLES for name, kind in _SAMPLE.items()},
        "coverage": _NUMBER,
        "peers_affected": pa.uint32(),
        "peers": pa.uint32(),
        **dict.fromkeys(("co_drifting_metrics", "changed_tags", "quality_flags"), _TEXTS),
        "explained_by_network": _NUMBER,
        "reason": _TEXT,
        "suggested_action": _TEXT,
        "notify": pa.bool_(),
    }
)
"""Of the table, in order, without `load_batch`."""


def flat_findings(findings: pl.DataFrame) -> pl.DataFrame:
    """Return decoded findings with the columns of the table beside the nested ones."""
    return findings.with_columns(*_baseline(), *_samples())


def nested_finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table as the record of the topic that it came from, times as UTC ms.

    Args:
        row: `FINDING_COLUMNS` by name, times as datetimes.
    """
    values = {name: _as_ms(row[name]) for name in FINDING_COLUMNS}
    baseline = {name: values.pop(column) for name, (column, _) in _BASELINE.items()}
    for part in _SAMPLES:
        values[part] = {name: values.pop(f"{part}_{name}") for name in _SAMPLE}
    has_baseline = baseline["baseline_id"] != _WITHOUT_BASELINE["baseline_id"]
    return values | {"baseline": baseline if has_baseline else None}


def _as_ms(value: Any) -> Any:
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def _baseline() -> Iterator[pl.Expr]:
    for name, (column, _) in _BASELINE.items():
        value = pl.col("baseline").struct.field(name)
        if name in _WITHOUT_BASELINE:
            value = value.fill_null(_WITHOUT_BASELINE[name])
        yield value.alias(column)


def _samples() -> Iterator[pl.Expr]:
    for part in _SAMPLES:
        for name in _SAMPLE:
            yield pl.col(part).struct.field(name).alias(f"{part}_{name}")
