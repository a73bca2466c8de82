"""How far the readers of a running engine are behind, in messages."""

from jobs.loader_service import GROUP_ID as LOADER
from jobs.settings import Settings
from jobs.stack_status import group_lags
from jobs.submission import SUBMIT


def job_groups(settings: Settings) -> list[str]:
    """Return the groups of every job and of the loader, with the prefix."""
    return [f"{settings.kafka.topic_prefix}{name}" for name in (*SUBMIT, LOADER)]


def lag_of(settings: Settings, group: str) -> float:
    """Return how far a group is behind in all of its topics; infinity before it commits."""
    lags = [lag.lag for lag in group_lags(settings.kafka) if lag.group == group]
    return sum(lags) if lags else float("inf")


def largest_lag(settings: Settings) -> float:
    """Return how far the slowest group is behind in all of its topics."""
    lags: dict[str, float] = dict.fromkeys(job_groups(settings), 0.0)
    for lag in group_lags(settings.kafka):
        if lag.group in lags:
            lags[lag.group] += lag.lag
    return max(lags.values())
