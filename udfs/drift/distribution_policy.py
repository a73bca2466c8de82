"""How D2 judges: thresholds of the index, the chance that is allowed, and how long it learns."""

import math
from dataclasses import dataclass

from udfs.drift.budget import DISTRIBUTION_SHARE, Budget
from udfs.offline_policy import DAY_MS, HOUR_MS

QUARTER_MS = 6 * HOUR_MS
QUARTER_COUNT = DAY_MS // QUARTER_MS


@dataclass(frozen=True)
class DistributionPolicy:
    """How distributions are judged.

    Args:
        log10_alpha: log10 of the chance that is allowed to one look at one stream.
        warn_psi: from here on it is shown.
        alarm_psi: from here on it pages.
        major_psi: as one standard deviation of a normal.
        critical_psi: as two of them.
        gather_hours: hours that the baseline is learned from.
        gather_points: points that it needs at least.
        first_verdict_hours: hours after them without a verdict: they show what is usual.
        learn_hours: as long it is learned how much hours differ: with the baseline, a week. Until
            then only what is major pages.
        first_verdict_days: as above, of days.
        learn_days: as above.
        points_min: a block of fewer has no verdict.
        least_points_ratio: a block with fewer points than that share of the usual pages nobody:
            some of its devices are missing.
        most_points_ratio: as with more: they are not those that were learned from.
        calm_ratio: below that share of `warn_psi` a block is calm.
        clear_blocks: calm blocks, one after another, that end an alarm.
        cooldown_ms: after an alarm its stream pages no more for so long.
    """

    log10_alpha: float = -8.0
    warn_psi: float = 0.1
    alarm_psi: float = 0.2
    major_psi: float = 1.0
    critical_psi: float = 4.0
    gather_hours: int = 24
    gather_points: int = 300
    first_verdict_hours: int = 24
    learn_hours: int = 144
    first_verdict_days: int = 4
    learn_days: int = 6
    points_min: int = 100
    least_points_ratio: float = 0.7
    most_points_ratio: float = 2.0
    calm_ratio: float = 0.8
    clear_blocks: int = 2
    cooldown_ms: int = 6 * HOUR_MS

    def __post_init__(self) -> None:
        assert self.log10_alpha < 0
        assert 0 < self.warn_psi < self.alarm_psi < self.major_psi < self.critical_psi
        assert self.first_verdict_hours <= self.learn_hours
        assert 1 < self.first_verdict_days <= self.learn_days


def distribution_policy(budget: Budget, metric_count: int) -> DistributionPolicy:
    """Return the policy that keeps a share of a budget.

    Args:
        budget: false pages that are accepted.
        metric_count: streams of a device that share it.

    >>> round(distribution_policy(Budget(), 8).log10_alpha, 1)
    -8.0
    """
    # A look each hour, and one each quarter of a day.
    looks_per_hour = 1 + HOUR_MS / QUARTER_MS
    gamma = budget.gamma(HOUR_MS, metric_count, DISTRIBUTION_SHARE) * looks_per_hour
    return DistributionPolicy(log10_alpha=-math.log10(gamma))
