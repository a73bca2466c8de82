"""A fleet in which a new model version is rolled out, as telemetry, for tests of rollouts."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.drift_chain import MINUTE_MS
from tests.oracle.threshold_oracle import Heard
from udfs.drift.canary_policy import CanaryMetric, CanaryPolicy, Harm
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.rollout_policy import NoticePolicy, RolloutPolicy

METRICS = (CanaryMetric("latency_ms", Harm.UP), CanaryMetric("error_rate", Harm.UP))
CANARY = CanaryPolicy(
    METRICS, min_devices=8, look_windows=4, min_windows=3, horizon_looks=2, tau_sigma=1.0,
    alpha=0.4, tolerance_sigma=3.0,
)  # fmt: skip
NOTICE = NoticePolicy(learn_ms=10 * MINUTE_MS, settle_ms=5 * MINUTE_MS, gone_ms=15 * MINUTE_MS)
ROLLOUTS = RolloutPolicy(NOTICE, CANARY)
"""Small looks, so that a log of two hours has a whole rollout."""


def policy(partition_count: int = 2) -> DriftPolicy:
    """Return the policy of these tests."""
    return DriftPolicy(partition_count=partition_count, rollouts=ROLLOUTS)


@dataclass(frozen=True)
class Rollout:
    """One rollout.

    Args:
        harm_ms: that the new version adds to the latency.
        devices: in the group, half of which are updated.
        update_minute: at which they are.
        back_minute: at which they get the old version again; None: never.
        is_mute: whether the new version sends no latency.
    """

    harm_ms: float = 30.0
    devices: int = 24
    update_minute: int = 30
    back_minute: int | None = None
    is_mute: bool = False


def rollout_log(
    begin_ms: int, rollout: Rollout, minutes: int, seed: int, step: int = 5
) -> list[Heard]:
    """Return a message of each device every few minutes, at its own second.

    Args:
        begin_ms: of the log.
        rollout: what happens.
        minutes: length of the log.
        seed: of the values, and of who is late.
        step: minutes between messages.
    """
    chance = random.Random(seed)
    own = [chance.gauss(100, 5) for _ in range(rollout.devices)]
    log = []
    for number in range(rollout.devices):
        for minute in range(0, minutes, step):
            at_ms = begin_ms + minute * MINUTE_MS + 1_000 * (number % 3 + 1)
            is_new = number % 2 == 0 and is_updated(rollout, minute)
            latency = own[number] + chance.gauss(0, 2) + rollout.harm_ms * is_new
            points = [("error_rate", at_ms - 500, abs(chance.gauss(0.1, 0.02)))]
            if not (rollout.is_mute and is_new):
                points.append(("latency_ms", at_ms - 500, latency))
            version = "v2" if is_new else "v1"
            log.append(Heard(at_ms, f"d{number}", "g", tuple(points), version))
    return sorted(log)


def is_updated(rollout: Rollout, minute: int) -> bool:
    back = math.inf if rollout.back_minute is None else rollout.back_minute
    return rollout.update_minute <= minute < back


def shuffled(log: Sequence[Heard], seed: int) -> list[Heard]:
    """Return a log in which some messages come a few minutes late."""
    chance = random.Random(seed)
    late = (0, 0, 0, 0, 0, 0, 1, 3, 7)
    moved = [h._replace(at_ms=h.at_ms + chance.choice(late) * MINUTE_MS) for h in log]
    return sorted(moved)
