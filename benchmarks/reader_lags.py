"""How far the readers of a running engine are behind, in messages."""

from jobs.loader_service import GROUP_ID as LOADER
from jobs.settings import Settings
from jobs.stack_status import group_lags
from jobs.submission import SUBMIT


def job_groups(settings: Settings) -> list[str]:
    """Return the groups of every job and of the loader, with the prefix."""
    return [f"{settings.kafka.topic_prefix}{name}" for name in (*SUBMIT, LOADER)]


def lags_of(settings: Settings) -> dict[str, float]:
    """Return how far each group is behind in all of its topics; infinity before it commits."""
    lags: dict[str, float] = {}
    for lag in group_lags(settings.kafka):
        lags[lag.group] = lags.get(lag.group, 0.0) + lag.lag
    return {group: lags.get(group, float("inf")) for group in job_groups(settings)}


def largest_lag(settings: Settings) -> float:
    """Return how far the slowest group is behind in all of its topics."""
    return max(lags_of(settings).values())
