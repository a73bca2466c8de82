"""Which rollouts are noticed, and how they are judged: frozen, filled in by `jobs`."""

from dataclasses import dataclass, field

from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy, Harm
from udfs.offline_policy import DAY_MS, MINUTE_MS

HOUR_MS = 60 * MINUTE_MS
JUDGED_METRICS = (
    CanaryMetric("error_rate", Harm.UP),
    CanaryMetric("prediction_confidence", Harm.DOWN),
    CanaryMetric("prediction_entropy", Harm.UP),
    CanaryMetric("inference_latency_ms", Harm.UP),
    CanaryMetric("cpu_temp_c", Harm.UP),
    CanaryMetric("memory_used_mb", Harm.UP),
    CanaryMetric("power_w", Harm.UP),
)
"""Of a rollout those count that devices with the old version send; of these none may be missing."""


@dataclass(frozen=True)
class NoticePolicy:
    """When a version is a rollout. All spans are of the clock or of windows, ms."""

    is_on: bool = True
    learn_ms: int = HOUR_MS
    """So long a group must have been seen before a version can be new in it."""
    known_ms: int = 7 * DAY_MS
    """A version that was in the group so lately is not new: devices come back."""
    present_ms: int = HOUR_MS
    """What was seen so lately is there now: versions, and what they measure."""
    gone_ms: int = HOUR_MS
    """A version not seen for so long, while another is, has left the group."""
    settle_ms: int = 30 * MINUTE_MS
    """From the new version's first window to the first look: devices are updated meanwhile."""
    open_max_count: int = 4
    """Rollouts of one group at a time; further ones are not noticed."""
    versions_max_count: int = 64
    """Versions that are remembered of a group; the ones not seen for longest go first."""


@dataclass(frozen=True)
class RolloutPolicy:
    """How rollouts are noticed and judged.

    Args:
        notice: when a version is a rollout.
        canary: how it is judged; its metrics are all that may be.
    """

    notice: NoticePolicy = field(default_factory=NoticePolicy)
    canary: CanaryPolicy = field(default_factory=lambda: CanaryPolicy(JUDGED_METRICS))
