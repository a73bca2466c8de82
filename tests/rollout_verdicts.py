"""Verdicts on rollouts for tests, every field of them filled."""

from typing import Any

START_MS = 1_767_225_600_000  # 2026-01-01
HOUR_MS = 3_600_000
METRIC = {
    "metric": "inference_latency_ms",
    "verdict": "ROLLBACK",
    "reason": "level",
    "detail": "the evidence was complete after 61 devices",
    "effect_sigma": 1.5,
    "low_sigma": 0.75,
    "high_sigma": 2.25,
    "log10_e": 4.5,
    "log10_e_needed": 2.5,
    "treatment_devices": 40,
    "control_devices": 60,
    "devices_used": 61,
    "treatment_mean": 31.5,
    "control_mean": 24.5,
}
ABSENT = METRIC | {
    "metric": "power_w", "verdict": "NODATA", "reason": "metric_absent", "effect_sigma": None,
    "low_sigma": None, "high_sigma": None, "treatment_mean": None, "control_mean": None,
}  # fmt: skip
WHOLE = {
    "verdict_id": "v-1",
    "tenant_id": "t0",
    "rollout_id": "g/v2/2026-01-01T00:00:00.000Z",
    "deployment_group": "g",
    "treatment_version": "v2",
    "control_version": "v1",
    "started_at": START_MS,
    "decided_at": START_MS + 6 * HOUR_MS,
    "look": 0,
    "verdict": "ROLLBACK",
    "reason": "level",
    "deciding_metric": "inference_latency_ms",
    "is_final": True,
    "treatment_devices": 40,
    "control_devices": 60,
    "moved_devices": 3,
    "metrics": [METRIC, ABSENT],
}


def verdict(**changes: Any) -> dict[str, Any]:
    """Return a record of the topic with every field filled, some of them changed."""
    return WHOLE | changes
