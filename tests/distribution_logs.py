"""Random logs of windows with histograms, for the laws of D2: hours of classes and confidences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from udfs.drift.distribution_member import DistributionMember
from udfs.drift.distribution_policy import DistributionPolicy
from udfs.drift.distributions import Distributions
from udfs.drift.findings import DriftFinding
from udfs.drift.window_rows import CANONICAL_ORDER, COMPLETE_SCHEMA, MODEL_VERSION
from udfs.histogram import bin_index
from udfs.offline_policy import DAY_MS, HOUR_MS

START_MS = 1_767_225_600_000  # 2026-01-01, midnight
WINDOW_MS = HOUR_MS // 2
SMALL = DistributionPolicy(
    log10_alpha=-4.0,
    gather_hours=8,
    gather_points=50,
    first_verdict_hours=8,
    learn_hours=30,
    first_verdict_days=2,
    learn_days=3,
    points_min=20,
)
"""So that alarms come, and end, within days."""


@dataclass(frozen=True)
class Subject:
    """Whose windows a stream has: scope, name, metric, version."""

    scope: str
    name: str
    metric: str
    version: str = "v1"


SUBJECTS = (
    Subject("group", "g", "prediction_confidence_ratio"),
    Subject("group", "g", "prediction_confidence_ratio", "v2"),
    Subject("group", "g", "cpu_temperature_celsius"),
    Subject(MODEL_VERSION, "v1", "predicted_class"),
    Subject("device", "d1", "predicted_class"),
    Subject("device", "d2", "prediction_confidence_ratio"),
    Subject("device", "d3", "predicted_class"),
)
RARE = SUBJECTS[-1]
"""It sends so little that only days of it can be judged."""


def row(subject: Subject, start_ms: int, values: np.ndarray, window_ms: int = WINDOW_MS) -> dict:
    """Return the complete window of some values."""
    bins, counts = np.unique(bin_index(values), return_counts=True)
    return {
        "window_start": start_ms, "tenant_id": "acme", "scope": subject.scope,
        "subject": subject.name, "metric": subject.metric,
        "deployment_group": "" if subject.scope == MODEL_VERSION else "g",
        "model_version": subject.version, "window_ms": window_ms, "count": len(values),
        "missing_count": 0, "nan_count": 0, "out_of_range_count": 0, "mean": float(values.mean()),
        "min": float(values.min()), "max": float(values.max()),
        "bins": bins.tolist(), "bin_counts": counts.tolist(),
    }  # fmt: skip


def frame(rows: Sequence[dict]) -> pl.DataFrame:
    """Return windows as detectors get them."""
    return pl.DataFrame(list(rows), COMPLETE_SCHEMA).sort(CANONICAL_ORDER)


def values_of(rng: np.random.Generator, subject: Subject, count: int, *, odd: bool) -> np.ndarray:
    """Draw what a window measured, as usual or not."""
    if subject.metric == "predicted_class":
        return rng.choice([1.0, 2.0, 7.0], count, p=[0.1, 0.1, 0.8] if odd else [0.6, 0.3, 0.1])
    if subject.metric == "cpu_temperature_celsius":
        return rng.normal(70 if odd else 50, 3, count)
    return np.clip(rng.normal(0.6 if odd else 0.9, 0.03, count), 0, 1)


def random_windows(seed: int, days: int = 7) -> list[dict]:
    """Return windows of all subjects in the order of their starts: gaps, thin hours, odd spans."""
    rng = np.random.default_rng(seed)
    rows = []
    odd = {subject: _odd_span(rng, days) for subject in SUBJECTS}
    for number in range(days * DAY_MS // WINDOW_MS):
        start_ms = START_MS + number * WINDOW_MS
        for subject in SUBJECTS:
            if rng.random() < 0.03:
                continue
            count = int(rng.integers(1, 5) if rng.random() < 0.05 else rng.integers(20, 40))
            count = int(rng.integers(1, 4)) if subject is RARE else count
            is_odd = odd[subject][0] <= number < odd[subject][1]
            rows.append(row(subject, start_ms, values_of(rng, subject, count, odd=is_odd)))
    return rows


def _odd_span(rng: np.random.Generator, days: int) -> tuple[int, int]:
    day = DAY_MS // WINDOW_MS
    begin = int(rng.integers(2 * day, days * day))
    return begin, begin + int(rng.choice([1, 2, 8, day]))


def small_member() -> DistributionMember:
    """Return a member that alarms soon."""
    return DistributionMember(distributions=Distributions(SMALL))


def restarted(member: DistributionMember) -> DistributionMember:
    """Return the member as its bytes say."""
    packed = member.to_bytes()
    fresh = DistributionMember.from_bytes(packed)
    assert fresh.to_bytes() == packed
    fresh.distributions.policy = SMALL
    return fresh


def said(member: DistributionMember, parts: Sequence[Sequence[dict]]) -> list[DriftFinding]:
    """Return what a member says of windows that come in parts."""
    found = [f for part in parts if part for f in member.observe(frame(part), 0)]
    return in_order(found)


def in_order(found: Sequence[DriftFinding]) -> list[DriftFinding]:
    """Return findings in an order that does not depend on shards."""
    return sorted(found, key=lambda f: (f.detected_at_ms, f.incident_id, f.finding_id))
