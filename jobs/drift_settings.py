"""From the settings to the policies of rollouts."""

from dataclasses import replace

from jobs.settings import Settings
from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy, Harm
from udfs.drift.rollout_policy import JUDGED_METRICS, NoticePolicy, RolloutPolicy

SECOND_MS = 1000
LATE_ROOM_MS = 5 * 60 * SECOND_MS
"""How much longer a look waits than any of its windows takes to be complete."""


def rollout_policy(settings: Settings) -> RolloutPolicy:
    """Return how rollouts are noticed and judged."""
    asked = settings.rollouts
    usual = CanaryPolicy(JUDGED_METRICS)
    chosen = tuple(CanaryMetric(name, Harm(harm)) for name, harm in asked.metrics.items())
    complete_ms = (settings.drift.complete_after_s + settings.drift.step_s) * SECOND_MS
    canary = replace(
        usual,
        metrics=chosen or JUDGED_METRICS,
        alpha=asked.alpha,
        min_devices=asked.min_devices,
        tolerance_sigma=asked.tolerance_sigma,
        min_effect_sigma=asked.min_effect_sigma,
        horizon_looks=asked.horizon_looks,
        window_ms=settings.windows.device_window_s * SECOND_MS,
        lateness_ms=complete_ms + LATE_ROOM_MS,
    )
    notice = NoticePolicy(is_on=asked.is_on, settle_ms=asked.settle_s * SECOND_MS)
    return RolloutPolicy(notice, canary)
